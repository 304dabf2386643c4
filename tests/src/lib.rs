//! The end-to-end harness: real collector, real agent, real brokers, real devices where they can be
//! started here, simulators of our own where not. The demo, the kill tests and the benchmarks all
//! stand on it. It knows the programs only from outside: command lines, HTTPS, log marks.

pub mod harness;
pub mod snmp_sim;
