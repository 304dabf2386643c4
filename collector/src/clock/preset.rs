//! The plans that come with the program. They are data (`plans/`); any of them may be copied and changed.

use super::plan::Plan;

/// Name and text.
const FILES: &[(&str, &str)] = &[
    ("carrier", include_str!("../../plans/carrier.json")),
    ("third-party", include_str!("../../plans/third-party.json")),
    ("third-party-emergency", include_str!("../../plans/third-party-emergency.json")),
    ("third-party-normal", include_str!("../../plans/third-party-normal.json")),
    ("third-party-windows", include_str!("../../plans/third-party-windows.json")),
    ("vendor-diamond", include_str!("../../plans/vendor-diamond.json")),
    ("vendor-gold", include_str!("../../plans/vendor-gold.json")),
    ("vendor-platinum", include_str!("../../plans/vendor-platinum.json")),
    ("vendor-standard", include_str!("../../plans/vendor-standard.json")),
];

/// One of them.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Itself.
    pub plan: Plan,
}

/// All of them; what stands before others that are based on it. A text that cannot be read is left out: a
/// test reads them all.
pub fn presets() -> Vec<Preset> {
    let read = |(name, text): &(&'static str, &str)| {
        let plan = serde_json::from_str(text).ok()?;
        Some(Preset { name, plan })
    };
    FILES.iter().filter_map(read).collect()
}

#[cfg(test)]
pub(super) const COUNT: usize = FILES.len();
