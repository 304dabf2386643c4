//! What a customer's person sees. Every query is limited to the person's place: nothing else of the store is
//! asked for such a person.

use std::collections::BTreeSet;

use callhome_shared::time::Time;

use super::rows::{read_as, tuple};
use super::tickets::{self, TicketRow};
use super::{Db, Result, StoreError, Tx, Val};
use crate::args;

/// Which customer somebody is of, and which of its sites he sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The customer's id.
    pub customer: String,
    /// Sites' ids; none: all of the customer.
    pub sites: Vec<String>,
}

/// A device of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Serial number.
    pub serial: String,
    /// Its name.
    pub name: String,
    /// Vendor.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// The site's id.
    pub site: String,
    /// Alarms that stand.
    pub active_alarms: i64,
}

impl Place {
    /// A condition after `WHERE`: the column names one of the person's sites. Adds its arguments.
    fn site_in(&self, column: &str, args: &mut Vec<Val>) -> String {
        if self.sites.is_empty() {
            return String::new();
        }
        let names = tuple(args.len() + 1, self.sites.len());
        args.extend(self.sites.iter().map(Val::from));
        format!(" AND {column} IN {names}")
    }
}

/// The place of a user; `None`: not tied to a customer.
pub async fn place_of(db: &Db, user: &str) -> Result<Option<Place>> {
    let sql = "SELECT customer, sites FROM customer_users WHERE user_name = $1";
    let Some(row) = db.read_one(sql, args![user]).await? else { return Ok(None) };
    let sites = serde_json::from_str(&row.text("sites")?).map_err(|e| {
        StoreError::Schema(format!("customer_users.sites is no list of texts: {e}"))
    })?;
    Ok(Some(Place { customer: row.text("customer")?, sites }))
}

/// Ties a user to a place, in place of any former one, and ends the user's sessions.
pub async fn bind(tx: &mut Tx, user: &str, place: &Place, by: &str, at: Time) -> Result<()> {
    let sql = "INSERT INTO customer_users (user_name, customer, sites, bound_at, bound_by) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_name) DO UPDATE SET \
               customer = excluded.customer, sites = excluded.sites, bound_at = excluded.bound_at, \
               bound_by = excluded.bound_by";
    let sites = serde_json::Value::from(place.sites.clone()).to_string();
    tx.execute(sql, args![user, &place.customer, sites, at, by]).await?;
    tx.execute("DELETE FROM web_sessions WHERE user_name = $1", args![user]).await.map(drop)
}

/// The names of all people of that customer.
pub async fn people(db: &Db, customer: &str) -> Result<BTreeSet<String>> {
    let sql = "SELECT user_name FROM customer_users WHERE customer = $1";
    let names = read_as(db, sql, args![customer], |row| row.text("user_name")).await?;
    Ok(names.into_iter().collect())
}

/// Sites with their names.
pub async fn sites(db: &Db, place: &Place, limit: i64) -> Result<Vec<(String, String)>> {
    let mut args = args![&place.customer, limit];
    let which = place.site_in("id", &mut args);
    let sql = format!("SELECT id, name FROM sites WHERE customer = $1{which} ORDER BY id LIMIT $2");
    read_as(db, sql, args, |row| Ok((row.text("id")?, row.text("name")?))).await
}

/// Whether the site is one of the person's.
pub async fn has_site(db: &Db, place: &Place, site: &str) -> Result<bool> {
    let mut args = args![&place.customer, site];
    let which = place.site_in("id", &mut args);
    let sql = format!("SELECT id FROM sites WHERE customer = $1 AND id = $2{which}");
    Ok(db.read_one(sql, args).await?.is_some())
}

const DEVICE: &str = "SELECT i.id, i.name, i.vendor, i.model, i.site, \
    (SELECT COUNT(*) FROM devices d JOIN alarms l ON l.agent_id = d.agent_id AND l.device_id = d.id \
    WHERE d.serial = i.id AND d.site = i.site AND l.active = 1 AND l.test = 0 AND l.shadow = 0) AS active_alarms \
    FROM installed i JOIN sites s ON s.id = i.site WHERE s.customer = $1";

fn device(row: &super::Row) -> Result<Device> {
    Ok(Device {
        serial: row.text("id")?,
        name: row.text("name")?,
        vendor: row.text("vendor")?,
        model: row.text("model")?,
        site: row.text("site")?,
        active_alarms: row.int("active_alarms")?,
    })
}

/// Devices of the installed base after a serial number.
pub async fn devices(db: &Db, place: &Place, after: &str, limit: i64) -> Result<Vec<Device>> {
    let mut args = args![&place.customer, after, limit];
    let which = place.site_in("i.site", &mut args);
    let sql = format!("{DEVICE} AND i.id > $2{which} ORDER BY i.id LIMIT $3");
    read_as(db, sql, args, device).await
}

/// One of them.
pub async fn device_of(db: &Db, place: &Place, serial: &str) -> Result<Option<Device>> {
    let mut args = args![&place.customer, serial];
    let which = place.site_in("i.site", &mut args);
    let sql = format!("{DEVICE} AND i.id = $2{which}");
    db.read_one(sql, args).await?.as_ref().map(device).transpose()
}

/// Which tickets to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Only those that are not over.
    pub open: bool,
    /// Only those before this ordinal: paging.
    pub before: i64,
    /// At most so many.
    pub limit: i64,
}

const TICKETS: &str = "SELECT * FROM tickets WHERE customer = $1 AND shadow = 0 AND test = 0";

/// Tickets, the latest first. Tests are nobody's faults.
pub async fn tickets(db: &Db, place: &Place, filter: Filter) -> Result<Vec<TicketRow>> {
    let mut args = args![&place.customer, filter.before, filter.limit];
    let which = place.site_in("site", &mut args);
    let open = " AND state NOT IN ('closed', 'reviewed', 'rejected', 'merged')";
    let open = if filter.open { open } else { "" };
    let sql = format!("{TICKETS} AND ordinal < $2{which}{open} ORDER BY ordinal DESC LIMIT $3");
    read_as(db, sql, args, tickets::from_row).await
}

/// One of them, by its number.
pub async fn ticket(db: &Db, place: &Place, number: &str) -> Result<Option<TicketRow>> {
    let Some(ordinal) = tickets::ordinal(number) else { return Ok(None) };
    let mut args = args![&place.customer, ordinal];
    let which = place.site_in("site", &mut args);
    let sql = format!("{TICKETS} AND ordinal = $2{which}");
    db.read_one(sql, args).await?.as_ref().map(tickets::from_row).transpose()
}
