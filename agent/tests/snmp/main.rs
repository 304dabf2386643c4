//! The SNMP source against devices: a simulated one with bad manners, the real `snmpd`, recordings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bent;
mod changes;
#[path = "../data/mod.rs"]
mod data;
mod device;
mod identity;
mod manners;
mod portions;
mod record;
mod recordings;
mod snmpd;

// The simulator of the end-to-end tests, without the rest of that crate.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../tests/src/snmp_sim/mod.rs"]
mod snmp_sim;
