//! callhome-collector.

fn main() {}
