//! `callhome-agent profile …`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::config_error::Problems;
use clap::{Args, Subcommand};

use super::device::{self, Access};
use super::{Recording, Rig, Survey, read};
use crate::profile::{Library, Profile};

/// What can be done with profiles.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print what the matching profiles read of a device, and the alarms that follow.
    Read {
        /// A recording (`*.snmprec`), or an address: host, host:port, [v6]:port.
        device: String,
        /// JSON lines.
        #[arg(long)]
        json: bool,
        /// Which profiles.
        #[command(flatten)]
        choice: Choice,
        /// How to speak to an address.
        #[command(flatten)]
        access: Box<Access>,
    },
}

/// Which profiles.
#[derive(Args, Debug)]
pub struct Choice {
    /// Use this profile, whatever the device says it is; may be given several times.
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
    /// A directory of further profiles; they go before shipped ones of the same name.
    #[arg(long, value_name = "DIR")]
    profiles_dir: Option<PathBuf>,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// Files with faults, by place.
    #[error(transparent)]
    Files(#[from] Problems),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<std::io::Error> for WorkshopError {
    fn from(error: std::io::Error) -> Self {
        WorkshopError::Other(error.into())
    }
}

/// Carries it out.
pub async fn run(command: Command) -> Result<(), WorkshopError> {
    match command {
        Command::Read { device, json, choice, access } => {
            let survey = survey(&device, &choice, &access).await?;
            let lines = read::lines(&survey);
            let mut out = std::io::stdout().lock();
            if json {
                for line in &lines {
                    let line = serde_json::to_string(line).map_err(anyhow::Error::from)?;
                    writeln!(out, "{line}")?;
                }
            } else {
                out.write_all(read::text(&lines).as_bytes())?;
            }
            out.flush()?;
            about(&survey);
        }
    }
    Ok(())
}

async fn survey(device: &str, choice: &Choice, access: &Access) -> Result<Survey, WorkshopError> {
    let library = Arc::new(Library::load(choice.profiles_dir.as_deref())?);
    let chosen = chosen(&library, &choice.profiles)?;
    let path = Path::new(device);
    if path.extension().is_some_and(|e| e == "snmprec") || path.is_file() {
        let recording = Recording::load(path)?;
        return Ok(match chosen.is_empty() {
            true => Survey::of_recording(&recording, &library)?,
            false => Survey::with(&recording, chosen),
        });
    }
    Ok(device::survey(device, access, &library, &choice.profiles).await?)
}

fn chosen(library: &Library, names: &[String]) -> Result<Vec<Arc<Profile>>, WorkshopError> {
    let known = library.names();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let near = library.near(name).map(|near| format!("; {near}")).unwrap_or_default();
        return Err(anyhow::anyhow!("no profile is called {name:?}{near}").into());
    }
    Ok(library.all(names.iter().map(String::as_str))?)
}

/// What was read, by what, and what could not be, on the standard error output.
fn about(survey: &Survey) {
    let device = Rig::new(&survey.profiles).device(&survey.snapshot);
    let known = [&device.vendor, &device.model, &device.serial, &device.firmware];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    let names: Vec<&str> = survey.profiles.iter().map(|p| p.name.as_str()).collect();
    eprintln!("device: {}; profiles: {}", known.join(", ").escape_debug(), names.join(", "));
    for fault in &survey.faults {
        eprintln!("not read: {}", fault.escape_debug());
    }
}
