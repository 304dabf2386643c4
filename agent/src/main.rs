//! callhome-agent.

fn main() {}
