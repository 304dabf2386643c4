//! Host source.

/// What to read.
#[derive(Clone, Debug)]
pub struct HostSettings {}
