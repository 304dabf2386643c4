//! The PostgreSQL server of the harness, under the name that the tests know it by.

pub use callhome_tests::harness::postgres::Server;
