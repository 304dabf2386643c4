//! The words by which tickets are found: kept in the transaction of what they are words of. Tickets from before
//! there was a search are read bit by bit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::knowledge::ticket::{Known, opened as terms_of, said as terms_said};
use crate::masters::Kind;
use crate::store::tickets::{Filter, States, TicketRow};
use crate::store::{Db, Result, Tx, masters, search, tickets};
use crate::ticket;

/// Old tickets read in one transaction: the intake must not wait long.
const SLICE: i64 = 100;
/// Slices of one round.
const SLICES: usize = 40;
/// What people said of an old ticket that is read: the first ones.
const OLD_SAID: i64 = 500;
/// Parts of an entry that are a person's words.
const WORDS: [&str; 5] = ["text", "comment", "reason", "cause", "fix"];

/// New tickets are found from now on. Shadow tickets are nobody's work.
pub(crate) async fn opened(tx: &mut Tx, all: &[&TicketRow]) -> Result<()> {
    let all: Vec<&TicketRow> = all.iter().copied().filter(|row| !row.shadow).collect();
    if all.is_empty() {
        return Ok(());
    }
    let names = Names::load(tx, &all).await?;
    let mut found: Vec<(i64, BTreeSet<String>)> =
        all.into_iter().map(|row| (row.ordinal, names.terms(row))).collect();
    found.sort();
    search::add(tx, &found).await
}

/// What was said about a ticket finds it from now on.
pub(super) async fn said(tx: &mut Tx, row: &TicketRow, entries: &[ticket::Entry]) -> Result<()> {
    let terms = entries.iter().flat_map(|entry| words_of(&entry.detail)).collect();
    found_by(tx, row, terms).await
}

/// These terms find a ticket from now on.
async fn found_by(tx: &mut Tx, row: &TicketRow, terms: BTreeSet<String>) -> Result<()> {
    if terms.is_empty() || row.shadow {
        return Ok(());
    }
    search::add(tx, &[(row.ordinal, terms)]).await
}

fn words_of(detail: &Value) -> BTreeSet<String> {
    let words = WORDS.iter().filter_map(|name| detail.get(name)?.as_str());
    words.flat_map(terms_said).collect()
}

/// The names of sites and customers.
struct Names {
    sites: BTreeMap<String, String>,
    customers: BTreeMap<String, String>,
}

impl Names {
    async fn load(tx: &mut Tx, all: &[&TicketRow]) -> Result<Self> {
        let ids = |of: fn(&TicketRow) -> Option<&String>| -> Vec<String> {
            let ids: BTreeSet<&String> = all.iter().filter_map(|row| of(row)).collect();
            ids.into_iter().cloned().collect()
        };
        Ok(Names {
            sites: named(tx, Kind::Sites, &ids(|row| row.site.as_ref())).await?,
            customers: named(tx, Kind::Customers, &ids(|row| row.customer.as_ref())).await?,
        })
    }

    fn terms(&self, row: &TicketRow) -> BTreeSet<String> {
        let some = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        let (site, customer) = (some(&row.site), some(&row.customer));
        let noted: BTreeMap<String, String> = row
            .service
            .intake
            .as_deref()
            .map(serde_json::from_str)
            .and_then(std::result::Result::ok)
            .unwrap_or_default();
        let name =
            |of: &BTreeMap<String, String>, id: &str| of.get(id).cloned().unwrap_or_default();
        let (site_name, customer_name) =
            (name(&self.sites, &site), name(&self.customers, &customer));
        let (contract, code) = (some(&row.contract), some(&row.fault_code));
        let repair = some(&row.proposed_repair);
        let mut texts = vec![
            row.device_name.as_str(),
            &site,
            &site_name,
            &customer,
            &customer_name,
            &contract,
            &code,
            &row.resource,
            &row.kind,
            &row.agent_id,
        ];
        texts.extend(noted.values().map(String::as_str));
        texts.extend(row.title.arguments.values().map(String::as_str));
        texts.extend([row.text.as_str(), &repair]);
        terms_of(&Known { ordinal: row.ordinal, device: &row.device_id, texts })
    }
}

async fn named(tx: &mut Tx, kind: Kind, ids: &[String]) -> Result<BTreeMap<String, String>> {
    let found = masters::load(tx, kind, ids).await?;
    let name = |one: masters::Master| (one.id, one.values.get("name").cloned().unwrap_or_default());
    Ok(found.into_iter().map(name).collect())
}

/// Reads some tickets from before there was a search; `true`: there may be more.
pub async fn catch_up(db: &Db) -> Result<bool> {
    for _ in 0..SLICES {
        if !slice(db).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn slice(db: &Db) -> Result<bool> {
    let mut tx = db.begin().await?;
    let below = search::below(&mut tx).await?;
    if below <= 1 {
        return Ok(false);
    }
    let filter = Filter {
        states: States::All,
        before: Some(tickets::number(below)),
        limit: SLICE,
        ..Filter::default()
    };
    // They are opened long ago: outside of the transaction they are the same.
    let rows = tickets::list(db, &filter).await?;
    let all: Vec<&TicketRow> = rows.iter().collect();
    opened(&mut tx, &all).await?;
    for row in rows.iter().rev() {
        let said = search::said(&mut tx, &row.id, OLD_SAID).await?;
        let said = said.iter().filter_map(|detail| serde_json::from_str(detail).ok());
        let terms = said.flat_map(|detail: Value| words_of(&detail)).collect();
        found_by(&mut tx, row, terms).await?;
    }
    let next = rows.last().map_or(0, |row| row.ordinal);
    search::set_below(&mut tx, next).await?;
    tx.commit().await?;
    Ok(next > 1)
}
