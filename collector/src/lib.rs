//! callhome's collector.
//!
//! The flow, one way:
//!
//! ```text
//! agents ══MQTT══► broker | link | post ──Delivery──► flow { inbox → diagnosis → ticket: one transaction of the store } ──► ack, receipt
//!                                                                 │
//!                                                                 └── events ──► api + console
//! ```
//!
//! [`broker`] (embedded), [`link`] (external broker) and [`post`] (HTTPS) hand raw deliveries to [`flow`], which loads
//! rows from the [`store`], asks the pure rooms [`inbox`], [`diagnosis`] and [`ticket`] what
//! changes, commits it in one transaction and only then acknowledges. [`api`] serves people,
//! [`enrol`] gives agents their certificates, and what touches trust is recorded in the chain of
//! [`audit`]. [`run`] wires them; nothing else does.

pub mod access;
pub mod alertmanager;
pub mod api;
pub mod audit;
pub mod broker;
pub mod bundle;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnosis;
pub mod enrol;
pub mod entitlement;
pub mod flow;
pub mod health;
pub mod inbox;
pub mod inventory;
pub mod knowledge;
pub mod link;
pub mod masters;
pub mod metrics;
pub mod notice;
pub mod password;
pub mod post;
pub mod report;
pub mod roster;
pub mod run;
pub mod settings;
pub mod store;
pub mod ticket;
