//! What the host is: the firmware's tables (DMI, as the kernel shows them), its operating system and its kernel.

use std::path::Path;

use callhome_shared::alarm::Device;
use callhome_shared::inventory::{Inventory, Module};
use callhome_shared::time::Time;

use crate::source::SourceKind;

/// What is read of one of these files at most, bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Words that boards have where their maker wrote nothing.
const NOTHING: [&str; 14] = [
    "to be filled by o.e.m.",
    "to be filled by oem",
    "default string",
    "system manufacturer",
    "system product name",
    "system serial number",
    "system version",
    "not specified",
    "not applicable",
    "not available",
    "none",
    "unknown",
    "n/a",
    "oem",
];

/// Reads what the host below `root` (`/`) is. What the configuration says of `device` goes before what is read,
/// and the device keeps its id: an alarm's identity does not depend on what may be read. Blocks.
pub(super) fn read(root: &Path, device: &Device) -> Inventory {
    let dmi = |name: &str| text(&root.join("sys/class/dmi/id").join(name)).and_then(told);
    // Device trees (ARM and others) instead of DMI.
    let tree = |name: &str| text(&root.join("proc/device-tree").join(name)).and_then(told);
    let release = ["etc/os-release", "usr/lib/os-release"];
    let release = release.iter().find_map(|path| text(&root.join(path))).unwrap_or_default();
    let system = value(&release, "PRETTY_NAME").or_else(|| value(&release, "NAME"));
    let kernel = text(&root.join("proc/sys/kernel/osrelease")).and_then(told);
    let vendor = device.vendor.clone().or_else(|| dmi("sys_vendor"));
    let model = device.model.clone().or_else(|| dmi("product_name")).or_else(|| tree("model"));
    // Readable for root alone, mostly.
    let serial = dmi("product_serial").or_else(|| tree("serial-number"));
    let bios = [dmi("bios_vendor"), dmi("bios_version"), dmi("bios_date")];
    let bios = bios.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let chassis = Module {
        index: 1,
        class: "chassis".to_owned(),
        // Not the device's name: that may be told under a pseudonym.
        name: "chassis".to_owned(),
        description: vendor.clone(),
        model: model.clone(),
        serial: serial.clone(),
        hardware: dmi("product_version"),
        firmware: Some(bios).filter(|bios| !bios.is_empty()),
        ..Module::default()
    };
    let mut modules = vec![chassis];
    let mut software = |class: &str, name: &str, version: Option<String>| {
        let index = u32::try_from(modules.len() + 1).unwrap_or(u32::MAX);
        let (class, name) = (class.to_owned(), name.to_owned());
        let inside = Some(1);
        modules.push(Module { index, inside, class, name, software: version, ..Module::default() });
    };
    if let Some(name) = value(&release, "NAME").or_else(|| system.clone()) {
        let version = value(&release, "VERSION").or_else(|| value(&release, "VERSION_ID"));
        software("operating-system", &name, version);
    }
    if kernel.is_some() {
        software("kernel", "Linux", kernel);
    }
    let firmware = device.firmware.clone().or(system);
    let serial = device.serial.clone().or(serial);
    Inventory {
        at: Time::now(),
        device: Device { vendor, model, serial, firmware, ..device.clone() },
        read_by: SourceKind::Host.as_str().to_owned(),
        modules: Some(modules),
        ..Inventory::default()
    }
    .bounded()
}

/// A short file's text; what cannot be read is not known.
fn text(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What it says, unless it says nothing.
fn told(text: String) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let empty = text.chars().all(|c| matches!(c, '0' | '.' | '-' | ' '))
        || NOTHING.contains(&text.to_ascii_lowercase().as_str());
    (!empty).then(|| text.to_owned())
}

/// The value of a variable of os-release(5): the last one counts, as in a shell.
fn value(release: &str, name: &str) -> Option<String> {
    let mut lines = release.lines().filter_map(|line| line.trim().split_once('='));
    let raw = lines.rfind(|(key, _)| *key == name)?.1.trim();
    let quoted = |mark: char| raw.strip_prefix(mark)?.strip_suffix(mark);
    let bare = quoted('"').or_else(|| quoted('\'')).unwrap_or(raw);
    let mut plain = String::with_capacity(bare.len());
    let mut chars = bare.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    told(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Device {
        Device { id: "host-1".into(), name: "host-1".into(), ..Device::default() }
    }

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_server_says_what_it_is_and_what_runs_on_it() {
        let root = written(&[
            ("sys/class/dmi/id/sys_vendor", "Inspur\n"),
            ("sys/class/dmi/id/product_name", "NF5280M6\n"),
            ("sys/class/dmi/id/product_serial", "SN-220011\n"),
            ("sys/class/dmi/id/product_version", "To be filled by O.E.M.\n"),
            ("sys/class/dmi/id/bios_version", "05.06.00\n"),
            ("sys/class/dmi/id/bios_date", "06/01/2024\n"),
            (
                "etc/os-release",
                "NAME=\"openEuler\"\n#x\nVERSION='22.03 (LTS)'\nPRETTY_NAME=\"openEuler 22.03 (LTS)\"\n",
            ),
            ("proc/sys/kernel/osrelease", "5.10.0-60.18.0\n"),
        ]);
        let read = read(root.path(), &host());
        let device = &read.device;
        assert_eq!((device.id.as_str(), read.read_by.as_str()), ("host-1", "host"));
        assert_eq!(device.vendor.as_deref(), Some("Inspur"));
        assert_eq!(device.model.as_deref(), Some("NF5280M6"));
        assert_eq!(device.serial.as_deref(), Some("SN-220011"));
        assert_eq!(device.firmware.as_deref(), Some("openEuler 22.03 (LTS)"));
        let modules = read.modules.as_deref().unwrap();
        let [chassis, system, kernel] = modules else { panic!("{modules:?}") };
        assert_eq!(chassis.firmware.as_deref(), Some("05.06.00 06/01/2024"));
        assert_eq!((chassis.class.as_str(), &chassis.hardware), ("chassis", &None));
        assert_eq!(
            (system.name.as_str(), system.software.as_deref()),
            ("openEuler", Some("22.03 (LTS)"))
        );
        assert_eq!((system.inside, kernel.inside), (Some(1), Some(1)));
        assert_eq!(kernel.software.as_deref(), Some("5.10.0-60.18.0"));
        read.validate().unwrap();
    }

    #[test]
    fn what_a_person_wrote_goes_before_and_nothing_known_is_said() {
        let root = written(&[
            ("sys/class/dmi/id/sys_vendor", "Default string\n"),
            ("sys/class/dmi/id/product_serial", "0\n"),
            ("proc/device-tree/model", "Board X\0"),
        ]);
        let device = Device { vendor: Some("Sugon".into()), ..host() };
        let read = read(root.path(), &device);
        assert_eq!(read.device.vendor.as_deref(), Some("Sugon"));
        assert_eq!(read.device.model.as_deref(), Some("Board X"));
        assert_eq!((&read.device.serial, &read.device.firmware), (&None, &None));
        assert_eq!(read.modules.map(|modules| modules.len()), Some(1));
    }

    #[test]
    fn this_host_is_read() {
        let read = read(Path::new("/"), &host());
        let kernel = read.modules.iter().flatten().find(|module| module.class == "kernel");
        assert!(kernel.is_some_and(|kernel| kernel.software.is_some()), "{read:?}");
        read.validate().unwrap();
    }

    proptest::proptest! {
        #[test]
        fn fuzz_no_release_file_panics(release: String, name in "[A-Z_]{0,8}") {
            let _ = value(&release, &name);
            let _ = value(&format!("{name}={release}"), &name);
        }
    }
}
