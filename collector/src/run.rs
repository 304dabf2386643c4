//! The only wiring file: spawns the long-lived tasks and joins them.

use crate::settings::Settings;

/// Serves.
pub async fn serve(_settings: &Settings) -> anyhow::Result<()> {
    anyhow::bail!("not wired")
}
