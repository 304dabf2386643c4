//! Windows of maintenance over the control socket. Who asks is what the kernel says.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use callhome_shared::time::Time;
use clap::Subcommand;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use tokio::net::unix::UCred;

use super::board::Board;
use super::prove::{decoded, encoded};
use super::server::{json, trouble};
use super::{client, show};
use crate::bundle::who;
use crate::hold::{Ask, Scope};

/// `callhome-agent maintenance …`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold back what is raised from now on.
    Start {
        /// How long: 90s, 15m, 2h, 1d.
        #[arg(long = "for", value_name = "DURATION")]
        length: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Only this device; may be given several times.
        #[arg(long)]
        device: Vec<String>,
        /// Only devices of this site; may be given several times.
        #[arg(long)]
        site: Vec<String>,
    },
    /// List the windows, those of the configuration too.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// End one that a person began: what still stands is raised.
    End {
        /// Its id, as listed.
        id: String,
    },
}

/// Asks the running agent and prints what there is then.
pub async fn run(command: Command, socket: &Path) -> anyhow::Result<()> {
    let (ask, as_json) = match command {
        Command::List { json } => (Ask::List, json),
        Command::End { id } => (Ask::End { id }, false),
        Command::Start { length, reason, device, site } => {
            let length_ms = length_ms(&length)
                .with_context(|| format!("--for: expected 90s, 15m, 2h or 1d, found {length:?}"))?;
            let scope = Scope { devices: device, sites: site };
            (Ask::Start { scope, length_ms, reason, by: String::new() }, false)
        }
    };
    let shown = client::maintenance(socket, &ask).await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if shown.is_empty() {
        println!("no maintenance");
    }
    let now = Time::now();
    shown.iter().for_each(|window| println!("{}", show::shown(window, now)));
    Ok(())
}

/// `90s`, `15m`, `2h`, `1d`, in ms.
fn length_ms(text: &str) -> Option<i64> {
    let split = text.len().checked_sub(1)?;
    let (digits, unit) = text.split_at_checked(split)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = digits.parse::<u32>().ok()?;
    i64::from(seconds).checked_mul(factor)?.checked_mul(1000)
}

/// The route.
pub(super) const PATH: &str = "/maintenance";
/// Longest window that a person may begin: 30 days.
pub const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Longest reason, bytes.
const MAX_REASON: usize = 400;
/// Devices and sites of one window at most.
const MAX_NAMES: usize = 100;

/// The path of a request.
pub(super) fn path(ask: &Ask) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    match ask {
        // What the centre says comes by its own way, never by this one.
        Ask::List | Ask::Centre(_) => {}
        Ask::End { id } => pairs.push(("end", id.clone())),
        Ask::Start { scope, length_ms, reason, .. } => {
            pairs.push(("for_s", (length_ms / 1000).to_string()));
            pairs.push(("reason", reason.clone()));
            pairs.extend(scope.devices.iter().map(|name| ("device", name.clone())));
            pairs.extend(scope.sites.iter().map(|name| ("site", name.clone())));
        }
    }
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    if pairs.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", pairs.join("&")) }
}

/// What a query asks; the error is for the person who asks.
fn read(query: Option<&str>, by: String) -> Result<Ask, String> {
    let (mut scope, mut length_s, mut reason, mut end) = (Scope::default(), None, None, None);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or_else(|| format!("{key}: not readable"))?;
        if value.chars().any(char::is_control) {
            return Err(format!("{key}: expected no control characters"));
        }
        match key {
            "device" => scope.devices.push(value),
            "site" => scope.sites.push(value),
            "for_s" => length_s = value.parse::<u64>().ok(),
            "reason" => reason = Some(value),
            "end" => end = Some(value),
            _ => return Err(format!("{key:?} is not understood")),
        }
    }
    if let Some(id) = end {
        return Ok(Ask::End { id });
    }
    let length = length_s.map(Duration::from_secs).filter(|d| !d.is_zero() && *d <= LONGEST);
    let length = length.ok_or("expected a duration of 1 s to 30 days")?;
    let reason = reason.filter(|reason| (1..=MAX_REASON).contains(&reason.len()));
    let reason = reason.ok_or(format!("expected a reason of 1 to {MAX_REASON} bytes"))?;
    if scope.devices.len() + scope.sites.len() > MAX_NAMES {
        return Err(format!("expected at most {MAX_NAMES} devices and sites"));
    }
    let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Ok(Ask::Start { scope, length_ms, reason, by })
}

/// Answers.
pub(super) async fn route(
    method: &Method,
    query: Option<&str>,
    board: &Board,
    peer: Option<UCred>,
) -> Response<Full<Bytes>> {
    let ask = match *method {
        Method::GET => Ok(Ask::List),
        Method::POST => read(query, who::person(peer).user),
        _ => Err("no such page".to_owned()),
    };
    let ask = match ask {
        Ok(ask) => ask,
        Err(why) => return trouble(StatusCode::BAD_REQUEST, &why),
    };
    tracing::info!(?ask, "maintenance asked for");
    match board.maintain(ask).await {
        Ok(shown) => json(StatusCode::OK, &shown),
        Err(why) => trouble(StatusCode::CONFLICT, &why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_what_is_asked_reads_back(device in "\\PC{1,20}", site in "\\PC{1,20}", reason in "\\PC{1,90}", seconds in 1i64..2_592_000) {
            let scope = Scope { devices: vec![device], sites: vec![site] };
            let ask = Ask::Start { scope, length_ms: seconds * 1000, reason, by: "root".to_owned() };
            let path = path(&ask);
            let query = path.split_once('?').map(|(_, query)| query);
            prop_assert_eq!(read(query, "root".to_owned()), Ok(ask));
        }

        #[test]
        fn no_query_panics(query in ".{0,120}") {
            let _ = read(Some(&query), String::new());
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(length_ms("15m"), Some(900_000));
        assert_eq!((length_ms("1d"), length_ms("2h")), (Some(86_400_000), Some(7_200_000)));
        for bad in ["", "m", "15", "-1s", "1.5h", "1w", "1时"] {
            assert_eq!(length_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reason_and_a_length_are_needed() {
        let ask = |query| read(Some(query), String::new()).unwrap_err();
        assert!(ask("for_s=60").contains("a reason"));
        assert!(ask("reason=x").contains("1 s to 30 days"));
        assert!(ask("reason=x&for_s=2592001").contains("1 s to 30 days"));
        assert!(ask("reson=x&for_s=1").contains("not understood"));
        assert!(ask("reason=a%0ab&for_s=1").contains("control"));
    }
}
