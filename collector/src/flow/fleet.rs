//! Problems of the fleet: noticed when a ticket has just been opened, told once on each ticket.

use callhome_shared::time::Time;
use serde_json::json;

use super::diagnosis::Guide;
use super::tickets::write;
use crate::diagnosis::fleet::problems;
use crate::store::{Result, Tx, fleet, tickets};
use crate::ticket;

/// Looks who else has a fault of this type; answers the numbers of the tickets that were told.
pub(super) async fn notice(
    tx: &mut Tx,
    guide: &Guide,
    kind: &str,
    now: Time,
) -> Result<Vec<String>> {
    let since = now.plus_ms(-guide.rules.fleet_ms);
    let sightings = fleet::sightings(tx, kind, since).await?;
    let mut told = Vec::new();
    for problem in problems(&guide.rules, kind, &sightings) {
        let new = fleet::note(tx, kind, &problem, now).await?;
        for mut row in tickets::load(tx, &new).await? {
            let detail = json!({
                "type": kind, "rule": problem.rule, "model": problem.model,
                "sites": problem.sites, "tickets": problem.tickets.len(),
            });
            let entry = ticket::Entry { what: "fleet", detail };
            write(tx, &mut row, "collector", now, vec![entry]).await?;
            told.push(row.number);
        }
    }
    Ok(told)
}
