//! `[bundle]`.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::check::Checker;
use super::written;
use crate::settings::Bundles;

const MIB: u64 = 1024 * 1024;
/// The largest room, MiB: a PiB.
const MOST: i64 = 1_073_741_824;

impl Checker<'_> {
    /// What is allowed together: a bundle fits into its agent's room, and that into all of it.
    pub(super) fn bundles(&mut self, written: &written::Bundle, data_dir: &Path) -> Bundles {
        let default = Bundles::default();
        let dir = match &written.dir {
            Some(dir) if dir.get_ref().is_empty() => {
                self.problem(dir.span(), "bundle.dir: expected a path, found an empty text");
                data_dir.to_owned()
            }
            Some(dir) => dir.get_ref().into(),
            None => data_dir.join("bundles"),
        };
        let mib = |bytes: u64| bytes / MIB;
        let max =
            self.number(&written.max_mib, "bundle.max_mib", mib(default.max_bytes), 1..=1_048_576);
        let agent =
            self.number(&written.agent_mib, "bundle.agent_mib", mib(default.agent_bytes), 1..=MOST);
        let total =
            self.number(&written.total_mib, "bundle.total_mib", mib(default.total_bytes), 1..=MOST);
        let free = &written.keep_free_mib;
        let free =
            self.number(free, "bundle.keep_free_mib", mib(default.keep_free_bytes), 0..=MOST);
        let fits = [
            ("max_mib", max, &written.max_mib, "agent_mib", agent, &written.agent_mib),
            ("agent_mib", agent, &written.agent_mib, "total_mib", total, &written.total_mib),
        ];
        for (small, less, here, large, more, there) in fits {
            if less > more {
                let span = here.as_ref().or(there.as_ref()).map(Spanned::span).unwrap_or_default();
                let message =
                    format!("bundle.{small} ({less}) is larger than bundle.{large} ({more})");
                self.problem(span, message);
            }
        }
        let open = &written.open_per_agent;
        let open = self.number(open, "bundle.open_per_agent", default.open_per_agent, 1..=1000);
        let hours = default.idle.as_secs() / 3600;
        let idle: u64 = self.number(&written.idle_h, "bundle.idle_h", hours, 1..=87_600);
        let days = default.keep.as_secs() / 86_400;
        let keep: u64 = self.number(&written.keep_days, "bundle.keep_days", days, 1..=36_500);
        let pace = &written.max_bytes_per_s;
        let range = 65_536..=1_073_741_824;
        let pace = self.number(pace, "bundle.max_bytes_per_s", default.bytes_per_second, range);
        Bundles {
            dir,
            shared: written.shared.unwrap_or(default.shared),
            max_bytes: max * MIB,
            agent_bytes: agent * MIB,
            total_bytes: total * MIB,
            keep_free_bytes: free * MIB,
            open_per_agent: open,
            idle: Duration::from_secs(idle * 3600),
            keep: Duration::from_secs(keep * 86_400),
            bytes_per_second: pace,
        }
    }
}
