//! Who the device is: what its metadata says, and the id that its alarms carry.
//!
//! The id is part of every alarm's identity, so it must not change while alarms stand. A serial
//! number from the configuration wins; else the one that is read; else the configured name. Once
//! decided it is kept over restarts. Only a start that reads *another* serial number than the
//! one it was decided by (the device was replaced) decides anew.

use std::sync::Arc;

use callhome_shared::alarm::Device;

use super::evaluate::Snapshot;
use super::memory::Memory;
use super::value::Value;
use crate::profile::plan::{Field, Metadatum, Source};

/// Failed polls after which the configured name is the id.
const PATIENCE: u32 = 3;

/// The device as known now.
#[derive(Debug)]
pub struct Identity {
    configured: Arc<Device>,
    device: Arc<Device>,
    decided: bool,
    failures: u32,
}

impl Identity {
    /// As configured.
    pub fn new(configured: Arc<Device>) -> Self {
        let decided = configured.serial.is_some();
        Identity { device: configured.clone(), configured, decided, failures: 0 }
    }

    /// The device for a batch; `None` = its id is not decided yet.
    pub fn device(&self) -> Option<Arc<Device>> {
        self.decided.then(|| self.device.clone())
    }

    /// The metadata was read (perhaps nothing was there).
    /// Says whether it is known as another one than before.
    pub fn read(&mut self, found: &[(Field, String)], memory: &mut Memory) -> bool {
        let text = |field| found.iter().find(|(f, _)| *f == field).map(|(_, text)| text.clone());
        let mut device = Device::clone(&self.device);
        let serial = text(Field::Serial);
        if !self.decided {
            let id = match memory.identity() {
                Some((id, by)) if serial.is_none() || by.is_none() || by == serial.as_deref() => {
                    id.to_owned()
                }
                Some((id, _)) => {
                    let id_now = serial.clone().unwrap_or_default();
                    tracing::warn!(device = %device.name, was = id, now = %id_now, "device replaced");
                    id_now
                }
                None => serial.clone().unwrap_or_else(|| device.name.clone()),
            };
            memory.identify(&id, serial.as_deref());
            device.id = id;
            self.decided = true;
        }
        let configured = &self.configured;
        for (slot, configured, field) in [
            (&mut device.serial, &configured.serial, Field::Serial),
            (&mut device.vendor, &configured.vendor, Field::Vendor),
            (&mut device.model, &configured.model, Field::Model),
            (&mut device.firmware, &configured.firmware, Field::Firmware),
        ] {
            // What is read now goes before what was: firmware is changed, and parts are.
            if let (None, Some(found)) = (configured, text(field)) {
                *slot = Some(found);
            }
        }
        let changed = device != *self.device;
        if changed {
            self.device = Arc::new(device);
        }
        changed
    }

    /// A poll read nothing. After some of them the last id, or the name, must do.
    pub fn failed(&mut self, memory: &mut Memory) {
        if self.decided {
            return;
        }
        self.failures += 1;
        let known = memory.identity().map(|(id, _)| id.to_owned());
        if known.is_none() && self.failures < PATIENCE {
            return;
        }
        let mut device = Device::clone(&self.device);
        if let Some(id) = known {
            device.id = id;
        } else {
            memory.identify(&device.name, None);
            device.id.clone_from(&device.name);
        }
        self.device = Arc::new(device);
        self.decided = true;
    }
}

/// Reads the metadata out of what was polled for it.
pub fn read_metadata(wanted: &[Metadatum], snapshot: &Snapshot) -> Vec<(Field, String)> {
    let mut found: Vec<(Field, String)> = Vec::new();
    for datum in wanted {
        if found.iter().any(|(field, _)| *field == datum.field) {
            continue;
        }
        let text = match &datum.source {
            Source::Fixed(text) => Some(text.clone()),
            Source::Scalar { oid, extract } => {
                snapshot.scalars.get(oid).and_then(Value::text).and_then(|t| extract.apply(&t))
            }
            Source::Row { column, key, values, extract } => values.iter().find_map(|wanted| {
                let keys = &snapshot.columns.get(key)?.rows;
                let rows = &snapshot.columns.get(column)?.rows;
                let fits = keys.iter().filter(|(_, v)| v.text().as_deref() == Some(wanted));
                fits.filter_map(|(index, _)| extract.apply(&rows.get(index)?.text()?))
                    .find(|text| !text.trim().is_empty())
            }),
        };
        let text = text.map(|t| t.trim().to_owned()).filter(|t| meaningful(t));
        if let Some(mut text) = text {
            callhome_shared::limits::cut(&mut text, callhome_shared::limits::MAX_ID_BYTES);
            found.push((datum.field, text));
        }
    }
    found
}

/// Placeholders that makers leave in such fields.
pub(super) fn meaningful(text: &str) -> bool {
    const EMPTY: [&str; 7] = ["", "n/a", "na", "none", "unknown", "not specified", "null"];
    !EMPTY.contains(&text.to_lowercase().as_str()) && text.chars().any(|c| c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(serial: Option<&str>) -> Arc<Device> {
        let id = serial.unwrap_or("array-1").to_owned();
        let serial = serial.map(str::to_owned);
        Arc::new(Device { id, name: "array-1".into(), serial, ..Device::default() })
    }

    fn read(identity: &mut Identity, memory: &mut Memory, serial: &str) -> String {
        identity.read(&[(Field::Serial, serial.to_owned())], memory);
        identity.device().unwrap().id.clone()
    }

    #[test]
    fn the_id_is_decided_once() {
        let mut memory = Memory::default();
        let mut identity = Identity::new(configured(None));
        assert!(identity.device().is_none());
        assert_eq!(read(&mut identity, &mut memory, "SN1"), "SN1");
        assert_eq!(read(&mut identity, &mut memory, "SN2"), "SN1", "stable over a run");
        let mut restarted = Identity::new(configured(None));
        restarted.failed(&mut memory);
        assert_eq!(restarted.device().unwrap().id, "SN1", "known from the last run");
        let mut replaced = Identity::new(configured(None));
        assert_eq!(read(&mut replaced, &mut memory, "SN2"), "SN2");
    }

    #[test]
    fn without_a_serial_number_the_name_after_some_polls() {
        let mut memory = Memory::default();
        let mut identity = Identity::new(configured(None));
        identity.failed(&mut memory);
        identity.failed(&mut memory);
        assert!(identity.device().is_none());
        identity.failed(&mut memory);
        assert_eq!(identity.device().unwrap().id, "array-1");
        let mut next = Identity::new(configured(None));
        assert_eq!(read(&mut next, &mut memory, "SN1"), "array-1", "alarms may stand under it");
        assert_eq!(next.device().unwrap().serial.as_deref(), Some("SN1"));
    }

    #[test]
    fn the_configured_serial_number_wins() {
        let mut memory = Memory::default();
        let mut identity = Identity::new(configured(Some("CFG")));
        assert_eq!(read(&mut identity, &mut memory, "SN1"), "CFG");
        assert_eq!(identity.device().unwrap().serial.as_deref(), Some("CFG"));
    }
}
