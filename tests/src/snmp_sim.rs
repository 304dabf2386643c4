//! SNMP simulator.
