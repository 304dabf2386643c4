//! End-to-end tests: one binary, one harness. They see the programs only from outside.

mod hostile;
mod kills;
mod tidy;
