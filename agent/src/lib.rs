//! callhome's agent.
//!
//! The flow, one way:
//!
//! ```text
//! source ──Batch──► line { rule → findings → alarm → transitions → outbox: one transaction } ──nudge──► link ══MQTT══► collector
//!                                                                     ▲                                  │
//!                                                                     └──────────── ack, receipt ────────┘
//! ```
//!
//! [`source`] reads the outside world into batches of readings. [`rule`], [`redact`] and [`alarm`] are
//! pure; every word that leaves the rules has been through [`redact`].
//! [`line`] is the one place where a batch becomes what is stored: rule state, alarm set, source
//! positions and envelopes in one transaction of the [`outbox`]. [`link`] sends what is stored and
//! hands acknowledgements back. [`carry`] shows
//! what waits, and writes it to a file that is carried by hand. [`bundle`] packs larger evidence and uploads
//! it beside the link. [`run`] wires them; nothing else does.

pub mod alarm;
pub mod bundle;
pub mod carry;
pub mod config;
pub mod control;
pub mod enrol;
pub mod hold;
pub mod ledger;
pub mod line;
pub mod link;
pub mod lock;
pub mod outbox;
pub mod probe;
pub mod profile;
pub mod redact;
pub mod rule;
pub mod run;
pub mod settings;
pub mod source;
pub mod workshop;
