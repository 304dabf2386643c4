//! Control socket (`status`, `test`), health and metrics.
