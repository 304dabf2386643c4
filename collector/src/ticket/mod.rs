//! Tickets: the state machine and what a case's alarms make of them. Pure.
