//! Structured logs on standard error: text for a terminal, JSON for machines.

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` is a level or a list of directives (`info,callhome_agent=debug`); the
/// environment variable `CALLHOME_LOG` goes before it.
pub fn start(filter: &str, format: Format) -> Result<(), String> {
    let wanted = std::env::var("CALLHOME_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|e| format!("log filter {wanted:?}: {e}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|e| e.to_string())
}

/// Tracing target of the marks that say which stage a fault has reached. They are at level TRACE;
/// tests that kill processes read them to know where the process was.
pub const STAGE: &str = "stage";
