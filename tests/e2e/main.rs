//! End-to-end tests: one binary, one harness. They see the programs only from outside.

mod attacks;
mod browser;
mod bundle_failures;
mod bundles;
mod carried;
mod clear_all;
mod disks;
mod entropy;
mod everyday;
mod hostile;
mod kills;
mod ledger;
mod limits;
mod lives;
mod one_fault;
mod pki;
mod postgres;
mod proven;
mod reload_sources;
mod reloads;
mod rights;
mod roads;
mod storms;
mod systemd;
mod tidy;
mod trust;
