//! The only wiring file: spawns the long-lived tasks and joins them.
