//! Why these profiles.

use serde::Serialize;

use crate::profile::Library;
use crate::profile::oid::Oid;
use crate::profile::plan::{Head, Pattern};
use crate::workshop::Survey;

/// Other profiles that are told.
const MAX_OTHERS: usize = 10;

/// The profiles of a device, and why.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// What the device says it is; `None` = nothing.
    pub sysobjectid: Option<String>,
    /// The profiles.
    pub profiles: Vec<String>,
    /// Why these.
    pub why: String,
    /// Others that were near, and why not those.
    pub others: Vec<(String, String)>,
}

/// Says why the survey's profiles were chosen.
pub fn choice(survey: &Survey, library: &Library, named: bool) -> Choice {
    let id = survey.sysobjectid.as_ref();
    let profiles: Vec<String> = survey.profiles.iter().map(|p| p.name.clone()).collect();
    let why = match survey.profiles.first() {
        _ if named => "asked for by name".to_owned(),
        Some(profile) if !profile.head.fits_any() => by(&profile.head, id),
        _ => "no profile is for this device: all those for any device are used".to_owned(),
    };
    let names = library.names().into_iter().filter(|name| !profiles.iter().any(|p| p == name));
    let near = names.filter_map(|name| {
        let head = library.head(name).filter(|head| !head.fits_any())?;
        Some((name.to_owned(), against(head, id?)?))
    });
    let others = near.take(MAX_OTHERS);
    let others = if named { Vec::new() } else { others.collect() };
    Choice { sysobjectid: id.map(Oid::to_string), profiles, why, others }
}

fn by(profile: &Head, id: Option<&Oid>) -> String {
    let best = best(profile, id);
    let because = match best {
        Some(pattern) => format!("its sysobjectid {} fits best", shown(pattern)),
        None => "the device has what its `match` asks for".to_owned(),
    };
    if best.is_some() && !profile.matches.is_empty() {
        return format!("{because}, and the device has what its `match` asks for");
    }
    because
}

/// Why a profile whose sysObjectID fits was not chosen; `None` = it does not fit anyway.
fn against(profile: &Head, id: &Oid) -> Option<String> {
    let pattern = shown(best(profile, Some(id))?);
    Some(match profile.matches.is_empty() {
        true => format!("its sysobjectid {pattern} fits, but no better"),
        false => {
            format!("its sysobjectid {pattern} fits, but not better, or its `match` does not hold")
        }
    })
}

fn best<'p>(profile: &'p Head, id: Option<&Oid>) -> Option<&'p Pattern> {
    let id = id?;
    let fits = profile.sysobjectids.iter().filter(|pattern| pattern.fit(id).is_some());
    fits.max_by_key(|pattern| pattern.fit(id))
}

fn shown(pattern: &Pattern) -> String {
    let arc = |arc: &Option<u32>| arc.map_or_else(|| "*".to_owned(), |arc| arc.to_string());
    pattern.arcs.iter().map(arc).collect::<Vec<_>>().join(".")
}

impl Choice {
    /// For people.
    pub fn text(&self) -> String {
        let id = self.sysobjectid.as_deref().unwrap_or("(the device does not say)");
        let mut text = format!("sysObjectID {id}\nprofiles: {}\n", self.profiles.join(", "));
        text.push_str(&format!("  because {}\n", self.why));
        for (name, why) in &self.others {
            text.push_str(&format!("  not {name}: {why}\n"));
        }
        text
    }
}
