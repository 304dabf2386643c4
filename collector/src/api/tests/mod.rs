//! The API over real TLS, on a real (SQLite) store.

mod account;
mod alertmanager;
mod audit;
mod bulk;
mod bundles;
mod clocks;
mod console;
mod document;
mod events;
mod fuzz;
mod limits;
mod mine;
mod oidc;
mod probes;
mod record;
mod rights;
mod schema;
mod site;
mod tickets;
mod tokens;
