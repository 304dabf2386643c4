//! `[[serial]]` and `[[logfile]]`: lines, with patterns and silence.

use callhome_shared::severity::Severity;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Count, Flapping, Text, defaults, text};

/// A serial console.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serial {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Text,
    /// Device file, for instance `/dev/ttyUSB0` or a link in `/dev/serial/by-id/`.
    #[schemars(with = "String")]
    pub port: Text,
    /// Line speed.
    #[serde(default = "baud")]
    #[schemars(range(min = 50, max = 4_000_000))]
    pub baud: u32,
    /// A prompt without end of line counts as a line after this much silence, milliseconds.
    #[serde(default = "five_hundred")]
    #[schemars(range(min = 10, max = 60_000))]
    pub idle_flush_ms: u64,
    /// Longer lines are cut and marked.
    #[serde(default = "serial_line")]
    #[schemars(range(min = 80, max = 1_048_576))]
    pub max_line_bytes: usize,
    /// Faults in lines that come by themselves.
    #[serde(default)]
    pub pattern: Vec<Pattern>,
    /// Commands sent on a schedule.
    #[serde(default)]
    pub command: Vec<Command>,
    /// An alarm when the console says nothing for long.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub silence: Option<Silence>,
}

/// A command sent on a schedule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Unique within the console: letters, digits, `-`, `_`.
    #[schemars(with = "String")]
    pub id: Text,
    /// What is sent, its end of line included.
    #[schemars(with = "String")]
    pub send: Text,
    /// From one sending to the next, seconds.
    #[schemars(range(min = 1, max = 604_800))]
    pub every_s: u64,
    /// The answer must be complete by then, milliseconds.
    #[serde(default = "five_thousand")]
    #[schemars(range(min = 50, max = 600_000))]
    pub timeout_ms: u64,
    /// Regular expression of the line (usually the prompt) that ends the answer.
    #[schemars(with = "String")]
    pub until: Text,
    /// Faults in lines of the answer. An alarm that no line of a complete later answer raises again is
    /// cleared.
    #[serde(default)]
    pub pattern: Vec<Pattern>,
}

/// A log file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logfile {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Text,
    /// The file.
    #[schemars(with = "String")]
    pub path: Text,
    /// Where a file begins that was never seen before.
    #[serde(default = "end")]
    pub from: From,
    /// Longer lines are cut and marked.
    #[serde(default = "logfile_line")]
    #[schemars(range(min = 80, max = 1_048_576))]
    pub max_line_bytes: usize,
    /// Faults in its lines.
    #[serde(default)]
    pub pattern: Vec<Pattern>,
    /// An alarm when nothing is written for long.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub silence: Option<Silence>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// At the first byte.
    Start,
    /// At the end: only what is written from now on.
    End,
}

/// A fault recognised in a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Unique within its source: letters, digits, `-`, `_`, `.`.
    #[schemars(with = "String")]
    pub id: Text,
    /// Regular expression of the line that raises; named groups fill `${name}` in the texts.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pub raise: Text,
    /// Regular expression of the line that clears the alarm with the same resource and qualifier.
    #[serde(default)]
    #[schemars(with = "String")]
    pub clear: Option<Text>,
    /// Alarm type, for instance `psu-failed`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: Text,
    /// How bad it is.
    #[schemars(with = "SeverityName")]
    pub severity: Severity,
    /// No line that clears may follow for so many seconds; needs `clear`, not together with `count`.
    #[serde(default)]
    #[schemars(with = "u64", range(min = 1, max = 604_800))]
    pub for_s: Option<Spanned<u64>>,
    /// It must happen so often before it raises.
    #[serde(default)]
    #[schemars(with = "Count")]
    pub count: Option<Count>,
    /// One alarm for a fault that comes and goes; needs `clear`.
    #[serde(default)]
    #[schemars(with = "Flapping")]
    pub flapping: Option<Flapping>,
    /// What has the fault, for instance `PSU ${psu}`; empty: the device itself.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub resource: Text,
    /// Tells apart several alarms of one type on one resource.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub qualifier: Text,
    /// The alarm's text; empty: the line.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub text: Text,
    /// Stable key of a knowledge article.
    #[serde(default)]
    #[schemars(with = "String")]
    pub fault_code: Option<Text>,
    /// What usually mends it.
    #[serde(default)]
    #[schemars(with = "String")]
    pub repair: Option<Text>,
}

/// An alarm when nothing comes for long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// After so many seconds.
    #[schemars(with = "u64", range(min = 1, max = 31_536_000))]
    pub after_s: Spanned<u64>,
    /// How bad it is.
    #[serde(default = "warning")]
    #[schemars(with = "SeverityName")]
    pub severity: Severity,
}

/// How bad a fault is.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "stands for the shared Severity in the schema")]
pub enum SeverityName {
    /// Service is affected and must be mended at once.
    Critical,
    /// Service is affected and must be mended soon.
    Major,
    /// No service is affected yet.
    Minor,
    /// A potential fault.
    Warning,
    /// It could not be told.
    Indeterminate,
}

defaults! {
    baud: u32 = 9600;
    empty: Text = text("");
    end: From = From::End;
    five_hundred: u64 = 500;
    five_thousand: u64 = 5000;
    logfile_line: usize = 1024 * 1024;
    serial_line: usize = 8192;
    warning: Severity = Severity::Warning;
}
