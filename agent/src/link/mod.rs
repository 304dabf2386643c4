//! The link: MQTT 5 to the collector.
