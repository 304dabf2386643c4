//! The embedded MQTT broker: identity, topic rights.
