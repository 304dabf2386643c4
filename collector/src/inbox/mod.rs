//! Decides what an envelope changes. Pure.
