//! `metrics:` and `metadata:` of a profile, in Datadog's words and ours.

use std::sync::Arc;

use super::name;
use super::node::Node;
use super::oid::Oid;
use super::plan::{
    Conversion, Convert, Exponent, Extract, Field, Metadatum, Metric, Name, Part, Source, Tag,
    TagSource, Unit,
};
use super::reader::{Map, Reader};

/// Keys of Datadog's that say nothing to us.
const UNUSED: &[&str] = &["MIB", "metric_type", "forced_type", "options", "format", "static_tags"];

/// Reads `metrics:`.
pub fn metrics(reader: &Reader<'_>, profile: &str, node: &Node) -> Vec<Metric> {
    let mut all = Vec::new();
    for entry in reader.list(node) {
        let Some(map) = reader.map(entry) else { continue };
        let tags = map.get("metric_tags").map(|n| tags(reader, n)).unwrap_or_default();
        let tags: Arc<[Tag]> = tags.into();
        let resource =
            map.get("resource").and_then(|n| name::resource(reader, n, &tag_names(&tags)));
        if let Some(symbols) = map.get("symbols") {
            let table = map.need("table", "a metric with `symbols`");
            let table = table.and_then(|n| table_name(reader, n)).unwrap_or_default();
            for symbol in reader.list(symbols) {
                all.extend(metric(
                    reader,
                    profile,
                    symbol,
                    (&tags, resource.as_ref()),
                    Some(&table),
                ));
            }
        } else if let Some(symbol) = map.get("symbol") {
            all.extend(metric(reader, profile, symbol, (&tags, resource.as_ref()), None));
        } else if map.get("OID").is_some() {
            // Datadog's oldest way: the entry is itself the symbol.
            all.extend(metric(reader, profile, entry, (&tags, resource.as_ref()), None));
            continue;
        } else {
            reader.error(map.at, "a metric needs `symbol` (a scalar) or `table` and `symbols`");
        }
        map.tolerate_others(UNUSED);
    }
    all
}

fn tag_names(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.name.to_string()).collect()
}

/// `table: {OID, name}` or `table: name`.
fn table_name(reader: &Reader<'_>, node: &Node) -> Option<String> {
    if !matches!(node.kind, super::node::Kind::Map(_)) {
        return reader.text(node);
    }
    let map = reader.map(node)?;
    let oid = map.get("OID").and_then(|n| reader.oid(n));
    let name = map.get("name").and_then(|n| reader.text(n)).or(oid.map(|oid| oid.to_string()));
    if name.is_none() {
        reader.error(map.at, "a table needs `name` or `OID`");
    }
    map.tolerate_others(UNUSED);
    name
}

fn metric(
    reader: &Reader<'_>,
    profile: &str,
    node: &Node,
    (tags, resource): (&Arc<[Tag]>, Option<&Name>),
    table: Option<&str>,
) -> Option<Metric> {
    let map = reader.map(node)?;
    let symbol = map.need("name", "a symbol").and_then(|n| reader.text(n))?;
    // `constant_value_one` has a name only; there is nothing to poll.
    let constant = map.get("constant_value_one").is_some();
    let oid = if constant {
        map.get("OID").and_then(|n| reader.oid(n))
    } else {
        map.need("OID", "a symbol").and_then(|n| reader.oid(n))
    };
    let conversion = conversion(reader, &map);
    map.tolerate_others(UNUSED);
    let column = table.is_some();
    Some(Metric {
        name: format!("{profile}.{symbol}").into(),
        oid: if column { oid? } else { instance(oid?) },
        column,
        tags: tags.clone(),
        conversion,
        resource: Arc::new(resource.cloned().unwrap_or_else(|| default_resource(tags, table))),
        symbol,
        limits: Arc::new([]),
        skip: Arc::new([]),
        after: Arc::new([]),
        states: Arc::new([]),
        stateful: false,
        counted: false,
        alarmed: false,
    })
}

/// Datadog writes scalars with and without the instance `.0`; no scalar of any MIB ends in 0.
pub(super) fn instance(oid: Oid) -> Oid {
    if oid.arcs().last() == Some(&0) { oid } else { oid.with(&[0]) }
}

/// Without a better name: the first tag, else the table and the index.
fn default_resource(tags: &[Tag], table: Option<&str>) -> Name {
    let Some(table) = table else { return Name::default() };
    match tags.first() {
        Some(tag) => Name { parts: vec![Part::Tags(vec![tag.name.to_string(), "index".into()])] },
        None => {
            Name { parts: vec![Part::Text(format!("{table} ")), Part::Tags(vec!["index".into()])] }
        }
    }
}

fn conversion(reader: &Reader<'_>, map: &Map<'_>) -> Conversion {
    let exponents = map.get("exponents").map(|n| reader.list(n)).unwrap_or_default();
    Conversion {
        ignore: map.get("ignore").map(|n| raw_values(reader, n)).unwrap_or_default(),
        convert: map.get("convert").map(|n| conversions(reader, n)).unwrap_or_default(),
        scale: map.get("scale_factor").and_then(|n| reader.number(n)).unwrap_or(1.0),
        exponents: exponents.iter().filter_map(|n| exponent(reader, n)).collect(),
        percent_of: map.get("percent_of").and_then(|n| reader.oid(n)),
        bits: map.get("bits").map(|n| bits(reader, n)).unwrap_or_default(),
        extract: extract(reader, map),
        unit: map.get("unit").map_or_else(|| Unit::Fixed("".into()), |n| unit(reader, n)),
    }
}

fn raw_values(reader: &Reader<'_>, node: &Node) -> Vec<String> {
    reader.texts(node).into_iter().map(|(_, text)| text).collect()
}

fn conversions(reader: &Reader<'_>, node: &Node) -> Vec<Convert> {
    let names = || Convert::ALL.iter().map(|(name, _)| *name);
    let known = |text: &str| Convert::ALL.iter().find(|(name, _)| *name == text).map(|(_, c)| *c);
    let mut all = Vec::new();
    for (at, text) in reader.texts(node) {
        match known(&text) {
            Some(convert) => all.push(convert),
            None => {
                let valid = names().collect::<Vec<_>>().join(", ");
                let message = format!("expected one of {valid}, found {text:?}");
                reader.error_near(at, message, &text, names());
            }
        }
    }
    all
}

fn extract(reader: &Reader<'_>, map: &Map<'_>) -> Extract {
    if let Some(node) = map.get("extract_value") {
        return reader.regex(node).map(Extract::First).unwrap_or_default();
    }
    let template = map.get("match_value").and_then(|n| reader.text(n));
    match (map.get("match_pattern").and_then(|n| reader.regex(n)), template) {
        (Some(regex), Some(template)) => Extract::Filled { regex, template },
        (Some(regex), None) => Extract::First(regex),
        _ => Extract::Whole,
    }
}

fn exponent(reader: &Reader<'_>, node: &Node) -> Option<Exponent> {
    let map = reader.map(node)?;
    let column = map.need("OID", "an exponent").and_then(|n| reader.oid(n));
    map.get("name");
    let negative = map.get("negative").and_then(|n| reader.text(n)).is_some_and(|t| t == "true");
    let mapping = match map.get("mapping") {
        None => Vec::new(),
        Some(node) => {
            let entries = reader.map(node)?;
            let read = |n: &Node| reader.number(n).map(|x| x as i32);
            entries.entries.iter().filter_map(|(k, n)| Some((k.name.clone(), read(n)?))).collect()
        }
    };
    map.no_others();
    Some(Exponent { column: column?, mapping, sign: if negative { -1 } else { 1 } })
}

fn bits(reader: &Reader<'_>, node: &Node) -> Vec<(u32, String)> {
    let Some(map) = reader.map(node) else { return Vec::new() };
    let mut bits = Vec::new();
    for (key, name) in map.entries {
        match key.name.parse() {
            Ok(bit) => bits.extend(reader.text(name).map(|name| (bit, name))),
            Err(_) => {
                reader.error(key.at, format!("expected a bit's number, found {:?}", key.name))
            }
        }
    }
    bits
}

fn unit(reader: &Reader<'_>, node: &Node) -> Unit {
    if !matches!(node.kind, super::node::Kind::Map(_)) {
        return Unit::Fixed(reader.text(node).unwrap_or_default().into());
    }
    let Some(map) = reader.map(node) else { return Unit::Fixed("".into()) };
    let column = map.need("OID", "a unit by column").and_then(|n| reader.oid(n));
    map.get("name");
    let mapping = map.need("mapping", "a unit by column").map(|n| reader.pairs(n));
    map.no_others();
    match (column, mapping) {
        (Some(column), Some(mapping)) => Unit::ByColumn {
            column,
            mapping: mapping.into_iter().map(|(k, v)| (k, v.into())).collect(),
        },
        _ => Unit::Fixed("".into()),
    }
}

/// Reads `metric_tags:`.
fn tags(reader: &Reader<'_>, node: &Node) -> Vec<Tag> {
    reader.list(node).iter().filter_map(|n| tag(reader, n)).collect()
}

fn tag(reader: &Reader<'_>, node: &Node) -> Option<Tag> {
    if let super::node::Kind::Text(text) = &node.kind {
        // Datadog's "name:value".
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let source = TagSource::Fixed(value.to_owned());
        return Some(Tag {
            name: name.into(),
            source,
            mapping: Vec::new(),
            extract: Extract::Whole,
        });
    }
    let map = reader.map(node)?;
    let symbol = map.get("symbol").or(map.get("column")).and_then(|n| reader.map(n));
    let mut name = map.get("tag").and_then(|n| reader.text(n));
    let mut extract = Extract::Whole;
    let source = if let Some(symbol) = symbol {
        let own = symbol.need("name", "a tag's symbol").and_then(|n| reader.text(n));
        name = name.or(own);
        extract = self::extract(reader, &symbol);
        let oid = symbol.need("OID", "a tag's symbol").and_then(|n| reader.oid(n));
        symbol.tolerate_others(UNUSED);
        let transform =
            map.get("index_transform").map(|n| transform(reader, n)).unwrap_or_default();
        match map.get("index_from").and_then(|n| reader.oid(n)) {
            Some(index) => TagSource::Reference { oid: oid?, index },
            None => TagSource::Column { oid: oid?, transform },
        }
    } else if let Some(index) = map.get("index") {
        TagSource::Index(usize::try_from(reader.whole(index, 1)?).unwrap_or(1))
    } else if let Some(range) = map.get("index_text").and_then(|n| reader.map(n)) {
        let whole = |key| {
            let node = range.get(key)?;
            usize::try_from(reader.whole(node, 0)?).ok()
        };
        let source = TagSource::IndexText(whole("start").unwrap_or(0), whole("end"));
        range.no_others();
        source
    } else {
        reader.error(map.at, "a tag needs `symbol`, `index` or `index_text`");
        return None;
    };
    let mapping = map.get("mapping").map(|n| reader.pairs(n)).unwrap_or_default();
    map.tolerate_others(&["MIB", "table", "match", "tags", "metric_type"]);
    match name {
        Some(name) => Some(Tag { name: name.into(), source, mapping, extract }),
        None => {
            reader.error(map.at, "a tag needs `tag`, its name");
            None
        }
    }
}

fn transform(reader: &Reader<'_>, node: &Node) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    for item in reader.list(node) {
        let Some(map) = reader.map(item) else { continue };
        let whole = |key| {
            let node = map.need(key, "an index_transform")?;
            usize::try_from(reader.whole(node, 0)?).ok()
        };
        if let (Some(start), Some(end)) = (whole("start"), whole("end")) {
            if start > end {
                reader.error(map.at, format!("start {start} is behind end {end}"));
            }
            parts.push((start, end));
        }
        map.tolerate_others(&[]);
    }
    parts
}

/// Reads `metadata:`; of Datadog's resources only `device` means something to us.
pub fn metadata(reader: &Reader<'_>, node: &Node) -> Vec<Metadatum> {
    let mut all = Vec::new();
    let Some(map) = reader.map(node) else { return all };
    let device = map.get("device").and_then(|n| reader.map(n));
    map.tolerate_others(&["interface"]);
    let Some(device) = device else { return all };
    let fields = device.get("fields").and_then(|n| reader.map(n));
    device.tolerate_others(&["id_tags"]);
    let Some(fields) = fields else { return all };
    for (key, field) in [
        ("serial_number", Field::Serial),
        ("vendor", Field::Vendor),
        ("model", Field::Model),
        ("product_name", Field::Model),
        ("version", Field::Firmware),
        ("os_version", Field::Firmware),
    ] {
        let Some(map) = fields.get(key).and_then(|n| reader.map(n)) else { continue };
        if let Some(value) = map.get("value").and_then(|n| reader.text(n)) {
            all.push(Metadatum { field, source: Source::Fixed(value) });
        }
        let one = map.get("symbol").into_iter();
        let many = map.get("symbols").map(|n| reader.list(n)).unwrap_or_default();
        for symbol in one.chain(many) {
            all.extend(source(reader, symbol).map(|source| Metadatum { field, source }));
        }
        map.tolerate_others(&[]);
    }
    fields.tolerate_others(&[
        "name",
        "description",
        "sys_object_id",
        "location",
        "type",
        "os_name",
        "os_hostname",
        "integration",
    ]);
    all
}

fn source(reader: &Reader<'_>, node: &Node) -> Option<Source> {
    let map = reader.map(node)?;
    let oid = map.need("OID", "a symbol").and_then(|n| reader.oid(n));
    map.get("name");
    let extract = extract(reader, &map);
    let row = map.get("where").and_then(|n| reader.map(n));
    map.tolerate_others(UNUSED);
    let Some(row) = row else { return Some(Source::Scalar { oid: oid?, extract }) };
    let key = row.need("OID", "`where`").and_then(|n| reader.oid(n));
    row.get("name");
    let values = row.need("is", "`where`").map(|n| reader.texts(n)).unwrap_or_default();
    row.no_others();
    let values = values.into_iter().map(|(_, text)| text).collect();
    Some(Source::Row { column: oid?, key: key?, values, extract })
}
