//! Which alarms call home and to which case they belong. Pure.
