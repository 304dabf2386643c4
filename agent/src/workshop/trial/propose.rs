//! A case for a recording as it is, for a person to read, check and keep.

use std::sync::Arc;

use crate::profile::Profile;
use crate::workshop::Recording;
use crate::workshop::rig::Rig;
use crate::workshop::yaml::quoted;

/// The case's text: the recording by its file, and the alarms that stand on it now.
pub fn propose(file: &str, recording: &Recording, profiles: &[Arc<Profile>]) -> String {
    let mut rig = Rig::new(profiles);
    let snapshot = recording.snapshot(&rig.plan);
    rig.settle(&snapshot);
    let mut text = format!("  - name: {}\n    recording: {}\n", quoted(file), quoted(file));
    let alarms = rig.active();
    if alarms.is_empty() {
        text.push_str("    alarms: []\n");
        return text;
    }
    text.push_str("    alarms:\n");
    for alarm in alarms {
        text.push_str(&format!(
            "      - {{ type: {}, resource: {}, severity: {}, text: {} }}\n",
            quoted(&alarm.kind),
            quoted(&alarm.resource),
            alarm.severity.as_str(),
            quoted(&alarm.text)
        ));
    }
    text
}
