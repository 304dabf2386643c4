//! End-to-end tests: one binary, one harness. They see the programs only from outside.

mod browser;
mod carried;
mod everyday;
mod hostile;
mod kills;
mod ledger;
mod lives;
mod postgres;
mod proven;
mod rights;
mod roads;
mod storms;
mod systemd;
mod tidy;
mod trust;
