//! The payload of an `inventory` envelope: what a device is, and what it is made of.
//!
//! Told when it changes, and once a day when it does not. A later one of the same device replaces an earlier
//! one; where its modules are not known ([`Inventory::modules`] is absent), those that were known stand.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::alarm::Device;
use crate::limits::{MAX_ID_BYTES, MAX_PAYLOAD_BYTES, cut};
use crate::time::Time;

/// Modules of one device; further ones are counted.
pub const MAX_MODULES: usize = 512;
/// Longest text of a module, bytes; longer ones are cut.
pub const MAX_MODULE_TEXT: usize = 128;
/// Profiles that are named; further ones are left out.
pub const MAX_PROFILES: usize = 8;
/// Longest text of the device, bytes; longer ones are cut.
const MAX_DEVICE_TEXT: usize = MAX_ID_BYTES;

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// When it was read, by the agent's clock.
    pub at: Time,
    /// The device as it is known now.
    pub device: Device,
    /// How it is known: the kind of the source (`snmp`, `serial`, `logfile`, `host`, …). Sources that read no
    /// identity tell what the configuration says.
    pub read_by: String,
    /// What the device says it is (sysObjectID, RFC 3418).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sysobjectid: Option<String>,
    /// The profiles that it is read by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Its parts; absent: it tells none, or they could not be read whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<Module>>,
    /// Parts that found no place in the list: more than [`MAX_MODULES`], or than a payload holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// One part of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its entPhysicalIndex (RFC 6933). It may be another one after a restart of the device.
    pub index: u32,
    /// The index of the nearest part in this list that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<u32>,
    /// `chassis`, `module`, `power-supply`, `fan`, … (PhysicalClass).
    pub class: String,
    /// What the device calls it; its description where it has no name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The maker's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Hardware revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// Firmware revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Software revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
}

impl Module {
    /// Its texts that may be absent.
    fn texts(&self) -> [(&'static str, &Option<String>); 6] {
        [
            ("description", &self.description),
            ("model", &self.model),
            ("serial", &self.serial),
            ("hardware", &self.hardware),
            ("firmware", &self.firmware),
            ("software", &self.software),
        ]
    }

    /// All of its texts, each to be changed.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let some = [
            &mut self.description,
            &mut self.model,
            &mut self.serial,
            &mut self.hardware,
            &mut self.firmware,
            &mut self.software,
        ];
        [&mut self.class, &mut self.name].into_iter().chain(some.into_iter().flatten())
    }
}

impl Inventory {
    /// The same within its limits: texts are cut, parts beyond the limits are counted instead.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let device = &mut self.device;
        let some = [
            &mut device.serial,
            &mut device.vendor,
            &mut device.model,
            &mut device.firmware,
            &mut device.site,
            &mut device.customer,
            &mut device.contract,
            &mut device.parent,
            &mut device.parent_resource,
        ];
        let device =
            [&mut device.id, &mut device.name].into_iter().chain(some.into_iter().flatten());
        let own = self.profiles.iter_mut().chain(&mut self.sysobjectid);
        for text in device.chain(own).chain([&mut self.read_by]) {
            cut(text, MAX_DEVICE_TEXT);
        }
        self.profiles.truncate(MAX_PROFILES);
        let Some(modules) = self.modules.take() else { return self };
        let left_out = std::mem::take(&mut self.left_out);
        // Room for what is left out here, and for the list itself.
        let mut room = MAX_PAYLOAD_BYTES.saturating_sub(json(&self).len() + 64);
        let all = modules.len();
        let mut kept = Vec::with_capacity(all.min(MAX_MODULES));
        for mut module in modules.into_iter().take(MAX_MODULES) {
            for text in module.texts_mut() {
                cut(text, MAX_MODULE_TEXT);
            }
            let size = json(&module).len() + 1;
            if size > room {
                break;
            }
            room -= size;
            kept.push(module);
        }
        self.left_out = left_out.saturating_add((all - kept.len()) as u64);
        self.modules = Some(kept);
        self
    }

    /// Whether it holds to its limits. The text says what does not.
    pub fn validate(&self) -> Result<(), String> {
        let device = &self.device;
        if device.id.is_empty() {
            return Err("device.id is empty".to_owned());
        }
        let some = [
            ("device.serial", &device.serial),
            ("device.vendor", &device.vendor),
            ("device.model", &device.model),
            ("device.firmware", &device.firmware),
            ("device.site", &device.site),
            ("device.customer", &device.customer),
            ("device.contract", &device.contract),
            ("device.parent", &device.parent),
            ("device.parent_resource", &device.parent_resource),
            ("sysobjectid", &self.sysobjectid),
        ];
        let some = some.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let own =
            [("device.id", &device.id), ("device.name", &device.name), ("read_by", &self.read_by)];
        for (name, text) in own.into_iter().chain(some) {
            if text.len() > MAX_DEVICE_TEXT {
                return Err(format!("{name} is longer than {MAX_DEVICE_TEXT} bytes"));
            }
        }
        if self.profiles.len() > MAX_PROFILES {
            return Err(format!("more than {MAX_PROFILES} profiles"));
        }
        if self.profiles.iter().any(|name| name.len() > MAX_DEVICE_TEXT) {
            return Err(format!("profiles: a name is longer than {MAX_DEVICE_TEXT} bytes"));
        }
        let modules = self.modules.as_deref().unwrap_or_default();
        if modules.len() > MAX_MODULES {
            return Err(format!("more than {MAX_MODULES} modules"));
        }
        for (place, module) in modules.iter().enumerate() {
            let own = [("class", &module.class), ("name", &module.name)];
            let some = module.texts().into_iter().filter_map(|(n, text)| Some((n, text.as_ref()?)));
            for (name, text) in own.into_iter().chain(some) {
                if text.len() > MAX_MODULE_TEXT {
                    return Err(format!(
                        "modules[{place}].{name} is longer than {MAX_MODULE_TEXT} bytes"
                    ));
                }
            }
        }
        Ok(())
    }

    /// SHA-256 over all that it says but the time: two that are equal tell the same.
    pub fn digest(&self) -> [u8; 32] {
        let timeless = Inventory { at: Time::default(), ..self.clone() };
        Sha256::digest(json(&timeless)).into()
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and options only: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn module(index: u32, serial: &str) -> Module {
        let serial = Some(serial.to_owned());
        Module {
            index,
            class: "module".into(),
            name: format!("Slot {index}"),
            serial,
            ..Module::default()
        }
    }

    fn inventory(modules: Vec<Module>) -> Inventory {
        let device = Device { id: "SN-1".into(), name: "sw-1".into(), ..Device::default() };
        Inventory { device, read_by: "snmp".into(), modules: Some(modules), ..Inventory::default() }
    }

    #[test]
    fn the_time_is_no_part_of_the_digest_and_everything_else_is() {
        let one = inventory(vec![module(1, "A")]);
        let later = Inventory { at: Time(5), ..one.clone() };
        assert_eq!(one.digest(), later.digest());
        for other in [
            inventory(vec![module(1, "B")]),
            inventory(vec![]),
            Inventory { modules: None, ..one.clone() },
            Inventory { left_out: 1, ..one.clone() },
            Inventory { sysobjectid: Some("1.3".into()), ..one.clone() },
        ] {
            assert_ne!(one.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_counted() {
        let many = inventory((0..600).map(|n| module(n, "A")).collect()).bounded();
        assert_eq!((many.modules.as_ref().unwrap().len(), many.left_out), (MAX_MODULES, 88));
        // Six characters of JSON for each byte: 512 of them do not fit into a payload.
        let long = "\u{1}".repeat(1000);
        let fat = |n| Module {
            description: Some(long.clone()),
            model: Some(long.clone()),
            ..module(n, &long)
        };
        let fat = inventory((0..512).map(fat).collect()).bounded();
        let told = fat.modules.as_ref().unwrap().len();
        assert!((40..80).contains(&told), "{told}");
        assert_eq!(fat.left_out, 512 - told as u64);
        assert!(json(&fat).len() <= MAX_PAYLOAD_BYTES);
        assert_eq!(fat.validate(), Ok(()));
        let text =
            inventory(vec![Module { model: Some("x".repeat(129)), ..module(1, "A") }]).validate();
        assert_eq!(text.unwrap_err(), "modules[0].model is longer than 128 bytes");
        let nobody = Inventory::default().validate();
        assert_eq!(nobody.unwrap_err(), "device.id is empty");
    }

    proptest! {
        #[test]
        fn prop_bounded_is_valid_fits_a_payload_and_is_bounded_already(
            texts in prop::collection::vec(prop_oneof![".{0,300}", "[\u{0}-\u{20}]{0,300}"], 12),
            parts in prop_oneof![9 => 0usize..8, 1 => 508usize..516], left_out: u64,
        ) {
            let some = |n: usize| Some(texts[n].clone());
            let part = |index: usize| Module {
                index: index as u32, inside: None, class: texts[0].clone(), name: texts[1].clone(),
                description: some(2), model: some(3), serial: some(4), hardware: some(5),
                firmware: some(6), software: some(7),
            };
            let device = Device {
                id: format!("x{}", texts[8]), name: texts[9].clone(), vendor: some(10), parent: some(11),
                ..Device::default()
            };
            let one = Inventory {
                at: Time(1), device, read_by: texts[3].clone(), sysobjectid: some(2), profiles: texts.clone(),
                modules: Some((0..parts).map(part).collect()), left_out,
            };
            let bounded = one.bounded();
            prop_assert_eq!(bounded.validate(), Ok(()));
            prop_assert!(json(&bounded).len() <= MAX_PAYLOAD_BYTES);
            let read: Inventory = serde_json::from_slice(&json(&bounded)).unwrap();
            prop_assert_eq!(&read, &bounded);
            prop_assert_eq!(bounded.clone().bounded(), bounded);
        }

        #[test]
        fn prop_no_payload_panics(bytes: Vec<u8>, text in ".{0,40}", index: i64) {
            let _ = serde_json::from_slice::<Inventory>(&bytes);
            let nearly = format!(
                r#"{{"at":"2026-01-31T08:00:00Z","device":{{"id":"{text}","name":""}},"read_by":"snmp",
                "modules":[{{"index":{index},"class":"{text}","name":"","serial":"{text}"}}]}}"#
            );
            if let Ok(read) = serde_json::from_str::<Inventory>(&nearly) {
                let _ = read.validate();
                let _ = read.digest();
                prop_assert!(read.device.id.is_empty() || read.bounded().validate().is_ok());
            }
        }
    }
}
