//! The outbox: one redb file with envelopes, positions, rule state and the alarm set.
