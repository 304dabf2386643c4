//! What callhome's agent and collector must agree on.
//!
//! Nothing here knows either of them: ids, the alarm, the envelope and its
//! MQTT form, topics, acknowledgements, TLS and certificate identity, and the
//! small tools both need (back-off, configuration errors, logging, time).

pub mod ack;
pub mod alarm;
pub mod backoff;
pub mod bundle;
pub mod carried;
pub mod clear_all;
pub mod config_error;
pub mod control;
pub mod envelope;
pub mod heartbeat;
pub mod id;
pub mod inventory;
pub mod limits;
pub mod logging;
pub mod maintenance;
pub mod post;
pub mod probe;
pub mod readout;
pub mod resync;
pub mod severity;
pub mod time;
pub mod tls;
pub mod token;
pub mod topic;
pub mod websocket;
