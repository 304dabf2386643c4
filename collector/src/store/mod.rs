//! The data store: SQLite or PostgreSQL, one set of queries.
