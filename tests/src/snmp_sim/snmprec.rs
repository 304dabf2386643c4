//! Reads recordings: one object a line, `oid|tag|value`; the tag is the BER tag in decimal, with `x` the
//! value is in hexadecimal.

use anyhow::{Context, Result, bail};

use super::{Oid, SimValue, parse_oid};

/// All objects of a recording; an error names the line.
pub fn parse(text: &str) -> Result<Vec<(Oid, SimValue)>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(n, line)| object(line).with_context(|| format!("line {}", n + 1)))
        .collect()
}

fn object(line: &str) -> Result<(Oid, SimValue)> {
    let mut parts = line.splitn(3, '|');
    let oid = parse_oid(parts.next().unwrap_or_default())?;
    let tag = parts.next().context("no tag")?;
    let value = parts.next().unwrap_or_default();
    let (number, hex) = match tag.strip_suffix('x') {
        Some(number) => (number, true),
        None => (tag, false),
    };
    let bytes = || if hex { unhex(value) } else { Ok(value.as_bytes().to_vec()) };
    let value = match number {
        "2" => SimValue::Integer(value.trim().parse()?),
        "4" => SimValue::OctetString(bytes()?),
        "5" => SimValue::Null,
        "6" => SimValue::ObjectId(value.trim().to_owned()),
        "64" => SimValue::IpAddress(address(&bytes()?, hex)?),
        "65" => SimValue::Counter32(value.trim().parse()?),
        "66" => SimValue::Gauge32(value.trim().parse()?),
        "67" => SimValue::TimeTicks(value.trim().parse()?),
        "68" => SimValue::Opaque(bytes()?),
        "70" => SimValue::Counter64(value.trim().parse()?),
        other => bail!("unknown tag {other}"),
    };
    Ok((oid, value))
}

fn address(bytes: &[u8], hex: bool) -> Result<[u8; 4]> {
    if hex {
        return bytes.try_into().context("an address has four bytes");
    }
    let text = std::str::from_utf8(bytes)?;
    Ok(text.trim().parse::<std::net::Ipv4Addr>()?.octets())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let text = text.trim();
    if !text.is_ascii() || text.len() % 2 == 1 {
        bail!("{text:?} is no hexadecimal text");
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).context("hexadecimal digit"))
        .collect()
}
