//! The line: batches → rules → alarms → one transaction of the outbox.
