//! Alarms: findings → raise, change, clear. Pure.
