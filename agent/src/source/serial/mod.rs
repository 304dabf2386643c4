//! Serial source.

/// What to read.
#[derive(Clone, Debug)]
pub struct SerialSettings {}
