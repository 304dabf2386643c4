//! Load → decide (pure) → one transaction → acknowledge.
