//! What a device is made of, as it is told.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::inventory::Inventory;

use super::{Redactor, searched, span};

impl Redactor {
    /// An inventory as it is told, within its limits. Names are told like the parts of an alarm's identity,
    /// descriptions like any text; models, revisions and serial numbers of parts lose secrets only: a version
    /// looks like an address, and the support centre knows a part by its number.
    pub fn inventory(&self, raw: &Inventory) -> Inventory {
        let device: Arc<Device> = self.device(&Arc::new(raw.device.clone()));
        let mut told = Inventory { device: (*device).clone(), ..raw.clone() };
        for profile in &mut told.profiles {
            *profile = self.id(profile).into_owned();
        }
        for module in told.modules.iter_mut().flatten() {
            module.name = self.id(&module.name).into_owned();
            if let Some(text) = &mut module.description {
                *text = self.text(text).into_owned();
            }
            let some = [
                &mut module.model,
                &mut module.serial,
                &mut module.hardware,
                &mut module.firmware,
                &mut module.software,
            ];
            for text in some.into_iter().flatten() {
                *text = self.without_secrets(text);
            }
        }
        told.bounded()
    }

    /// A text without secrets; addresses and names stay.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let (raw, mut found) = (searched(text), Vec::new());
        self.secrets(raw, &raw.to_ascii_lowercase(), &mut found);
        let spans = span::merge(raw, found);
        self.replace(raw, &spans, 0..raw.len(), false).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::inventory::Module;

    use super::*;
    use crate::redact::{Key, Kind, Settings};

    #[test]
    fn names_become_pseudonyms_secrets_go_and_numbers_stay() {
        let settings = Settings {
            pseudonyms: vec![Kind::Ipv4, Kind::Device],
            devices: vec!["sw-1".into()],
            ..Settings::default()
        };
        let redactor = Redactor::new(settings, Key::zero());
        let some = |text: &str| Some(text.to_owned());
        let module = Module {
            index: 1,
            class: "module".into(),
            name: "sw-1 slot 1".into(),
            description: some("uplink to 192.0.2.7, password: hunter2"),
            model: some("WS-C3850"),
            serial: some("FOC1"),
            firmware: some("12.2.55.3"),
            software: some("15.1 password=hunter2"),
            ..Module::default()
        };
        let device = Device { id: "sw-1".into(), name: "sw-1".into(), ..Device::default() };
        let raw = Inventory { device, modules: Some(vec![module]), ..Inventory::default() };
        let told = redactor.inventory(&raw);
        let text = serde_json::to_string(&told).unwrap();
        for gone in ["sw-1", "192.0.2.7", "hunter2"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        let part = &told.modules.unwrap()[0];
        assert_eq!(part.firmware.as_deref(), Some("12.2.55.3"), "a version is no address");
        assert_eq!(part.serial.as_deref(), Some("FOC1"));
        assert_eq!(told.device.name, redactor.id("sw-1"), "as in its alarms");
    }
}
