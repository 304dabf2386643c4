//! Devices as their polls know them: an event must carry the same device id as the polled state.
//!
//! A device's id is its serial number, which may be known only from its first poll (see
//! [`super::snmp`]). A listener that hears of a device before that waits with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use callhome_shared::alarm::Device;

/// The polled devices by their configured name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<BTreeMap<String, Option<Arc<Device>>>>>);

impl Known {
    /// This device is polled. Unless its serial number is configured, its id is not known yet.
    pub fn expect(&self, device: &Arc<Device>) {
        let told = device.serial.is_some().then(|| device.clone());
        self.lock().entry(device.name.clone()).or_insert(told);
    }

    /// Of the others it is not known any more that they are polled.
    pub fn only(&self, polled: &BTreeSet<&str>) {
        self.lock().retain(|name, _| polled.contains(name.as_str()));
    }

    /// Its poll knows it as this.
    pub fn tell(&self, device: &Arc<Device>) {
        let mut devices = self.lock();
        match devices.get_mut(&device.name) {
            Some(Some(known)) if Arc::ptr_eq(known, device) => {}
            Some(known) => *known = Some(device.clone()),
            None => {
                devices.insert(device.name.clone(), Some(device.clone()));
            }
        }
    }

    /// A configured device as it is known now: as its poll says, or, if it is not polled, as it is
    /// configured. `None`: it is polled, and its id is not decided yet.
    pub fn device(&self, configured: &Arc<Device>) -> Option<Arc<Device>> {
        match self.lock().get(&configured.name) {
            Some(known) => known.clone(),
            None => Some(configured.clone()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Arc<Device>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, id: &str, serial: Option<&str>) -> Arc<Device> {
        let (name, id) = (name.to_owned(), id.to_owned());
        Arc::new(Device { id, name, serial: serial.map(str::to_owned), ..Device::default() })
    }

    #[test]
    fn an_id_is_known_from_the_poll_or_from_the_configuration() {
        let known = Known::default();
        let polled = device("a", "a", None);
        known.expect(&polled);
        assert_eq!(known.device(&polled), None, "not decided yet");
        known.tell(&device("a", "SN1", Some("SN1")));
        assert_eq!(known.device(&polled).unwrap().id, "SN1");
        known.expect(&polled);
        assert_eq!(known.device(&polled).unwrap().id, "SN1", "a second poll changes nothing");
        let configured = device("b", "CFG", Some("CFG"));
        known.expect(&configured);
        assert_eq!(known.device(&configured).unwrap().id, "CFG");
        known.only(&["b"].into());
        assert_eq!(known.device(&polled).unwrap().id, "a", "nobody polls it any more");
        let alone = device("c", "c", None);
        assert_eq!(known.device(&alone).unwrap().id, "c", "nobody polls it");
    }
}
