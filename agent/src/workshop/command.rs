//! `callhome-agent profile …`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use callhome_shared::config_error::Problems;
use clap::{Args, Subcommand};

use super::device::{self, Access};
use super::{Recording, Rig, Survey, explain, import, lint, read, record, trial};
use crate::profile::oid::Oid;
use crate::profile::{Library, Profile};
use crate::source::snmp::modules;

/// What can be done with profiles.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check profiles for what does not load, and for what loads and was probably not meant.
    ///
    /// The exit status is 0 if nothing was found, 1 for warnings alone, 2 for errors.
    Lint {
        /// Files (`*.yaml`) and folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Run the tests that are kept beside profiles (`<profile>.test.yaml`).
    ///
    /// The exit status is 0 if all hold, 1 if some do not, 78 if a file is wrong.
    Test {
        /// Profiles, test files, and folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Further profiles, where they are not in the tests' own folder.
        #[arg(long, value_name = "DIR")]
        profiles_dir: Option<PathBuf>,
        /// Print a case that holds for this recording now, to be checked by a person and kept.
        #[arg(long, value_name = "RECORDING")]
        propose: Option<PathBuf>,
        /// JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Make profiles out of snmp_exporter's snmp.yml or a Zabbix template (YAML).
    ///
    /// What could not be taken over is told on the standard error output, with the reason.
    Import {
        /// The file.
        file: PathBuf,
        /// Only these modules or templates, by the profile's name; may be given several times.
        #[arg(long = "only", value_name = "NAME")]
        only: Vec<String>,
        /// A directory for the profiles; without it they are printed.
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Walk a device into a recording, without what must not be seen.
    ///
    /// Communities, passwords, addresses, names, contact and location are taken out; what was is told.
    Record {
        /// An address: host, host:port, [v6]:port.
        address: String,
        /// The file (`*.snmprec`); it must not be there yet.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Only below this object; may be given several times.
        #[arg(long = "root", value_name = "OID")]
        roots: Vec<String>,
        /// Replace serial numbers, too.
        #[arg(long)]
        hide_serials: bool,
        /// A directory of further profiles; they say where serial numbers are.
        #[arg(long, value_name = "DIR")]
        profiles_dir: Option<PathBuf>,
        /// How to speak to the device.
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Say how each value came about, and why it did or did not become an alarm.
    Explain {
        /// A recording (`*.snmprec`), or an address: host, host:port, [v6]:port.
        device: String,
        /// Only objects at or below this one.
        #[arg(long)]
        oid: Option<String>,
        /// Only parts whose name holds this.
        #[arg(long)]
        resource: Option<String>,
        /// Only symbols of this name.
        #[arg(long)]
        name: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Which profiles.
        #[command(flatten)]
        choice: Choice,
        /// How to speak to an address.
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Print a device's parts, what the matching profiles read of it, and the alarms that follow.
    Read {
        /// A recording (`*.snmprec`), or an address: host, host:port, [v6]:port.
        device: String,
        /// JSON lines: one for each object that is read, and one for each alarm.
        #[arg(long)]
        json: bool,
        /// Every reading of an object, also those that say nothing now.
        #[arg(long)]
        all: bool,
        /// With `--json`: the device's parts, too.
        #[arg(long)]
        modules: bool,
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

/// Carries it out. Gives the exit status.
pub async fn run(command: Command) -> Result<u8, WorkshopError> {
    match command {
        Command::Lint { paths, json } => {
            let report = lint::lint(&paths)?;
            print(&if json { report.json() } else { report.text() })?;
            return Ok(report.exit());
        }
        Command::Test { paths, profiles_dir, propose, json } => {
            let further = profiles_dir.as_deref();
            if let Some(recording) = propose {
                print(&proposed(&recording, &paths, further)?)?;
                return Ok(0);
            }
            let (text, status) = trial::told(&trial::run(&paths, further)?, json);
            print(&text)?;
            return Ok(status);
        }
        Command::Import { file, only, output } => {
            import_file(&file, &only, output.as_deref())?;
        }
        Command::Record { address, output, roots, hide_serials, profiles_dir, access } => {
            let roots: Vec<Oid> = roots.iter().map(|r| oid_of(r)).collect::<Result<_, _>>()?;
            let library = Arc::new(Library::load(profiles_dir.as_deref())?);
            if output.exists() {
                return Err(anyhow::anyhow!("{} is there already", output.display()).into());
            }
            let walked = record::walk(&address, &access, &library, &roots).await?;
            let scrubbed = record::scrubbed(&walked, &access, &library, hide_serials)?;
            record::write(&output, &scrubbed.text)?;
            eprintln!(
                "{}: {} of {} objects, {} requests",
                output.display(),
                scrubbed.objects,
                walked.objects.len(),
                walked.requests
            );
            for (what, count) in &scrubbed.counts {
                eprintln!("taken out: {count:>6} {what}");
            }
            for remark in &walked.remarks {
                eprintln!("remark: {}", remark.escape_debug());
            }
        }
        Command::Explain { device, oid, resource, name, json, choice, access } => {
            let oid = oid.map(|text| oid_of(&text)).transpose()?;
            let (survey, library) = survey(&device, &choice, &access).await?;
            let wanted = explain::Wanted { oid, resource, name };
            let named = !choice.profiles.is_empty();
            let explained = explain::explain(&survey, &library, named, &wanted);
            print(&if json { json_lines(&[explained])? } else { explained.text() })?;
        }
        Command::Read { device, json, all, modules, choice, access } => {
            let (survey, _) = survey(&device, &choice, &access).await?;
            let extent = read::Extent { all, modules: modules || !json };
            let lines = read::lines(&survey, extent);
            print(&if json { json_lines(&lines)? } else { read::text(&lines) })?;
            about(&survey);
            if lines.is_empty() {
                eprintln!("nothing was read");
                return Ok(1);
            }
        }
    }
    Ok(0)
}

/// On the standard output. Who reads it may have seen enough and gone.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn json_lines<T: serde::Serialize>(lines: &[T]) -> Result<String, WorkshopError> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).map_err(anyhow::Error::from)?);
        text.push('\n');
    }
    Ok(text)
}

fn oid_of(text: &str) -> anyhow::Result<Oid> {
    let oid = Oid::parse(text);
    oid.ok_or_else(|| anyhow::anyhow!("expected an object identifier in numbers, found {text:?}"))
}

async fn survey(
    device: &str,
    choice: &Choice,
    access: &Access,
) -> Result<(Survey, Arc<Library>), WorkshopError> {
    let library = Arc::new(Library::load(choice.profiles_dir.as_deref())?);
    let chosen = chosen(&library, &choice.profiles)?;
    let path = Path::new(device);
    if path.extension().is_some_and(|e| e == "snmprec") || path.is_file() {
        let recording = Recording::load(path)?;
        let survey = match chosen.is_empty() {
            true => Survey::of_recording(&recording, &library)?,
            false => Survey::with(&recording, chosen),
        };
        return Ok((survey, library));
    }
    let survey = device::survey(device, access, &library, &choice.profiles).await?;
    Ok((survey, library))
}

fn import_file(file: &Path, only: &[String], output: Option<&Path>) -> Result<(), WorkshopError> {
    let shown = file.display().to_string();
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {shown}"))?.len();
    if size > import::MAX_FILE_BYTES {
        let most = import::MAX_FILE_BYTES;
        return Err(
            anyhow::anyhow!("{shown}: {size} bytes are more than the allowed {most}").into()
        );
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let mut drafts = import::import(&shown, &text)?;
    let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        let names = names.join(", ");
        return Err(anyhow::anyhow!("{shown} has no {unknown:?}; it has {names}").into());
    }
    drafts.retain(|draft| only.is_empty() || only.contains(&draft.name));
    if let Some(folder) = output {
        let cannot = || format!("cannot create the folder {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot)?;
    }
    for draft in &drafts {
        match output {
            Some(folder) => {
                let path = folder.join(format!("{}.yaml", draft.name));
                record::write(&path, &draft.yaml())?;
                eprintln!("{}", path.display());
            }
            None if drafts.len() > 1 => print(&format!("---\n# {}\n{}", draft.name, draft.yaml()))?,
            None => print(&draft.yaml())?,
        }
        for left in &draft.left {
            eprintln!("{}: left: {}", draft.name, left.escape_debug());
        }
    }
    Ok(())
}

/// A case on `recording` for the profiles in `paths`.
fn proposed(
    recording: &Path,
    paths: &[PathBuf],
    further: Option<&Path>,
) -> Result<String, WorkshopError> {
    let mut text = String::from("cases:\n");
    let read = Recording::load(recording)?;
    for path in paths {
        let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let library = Library::load(Some(further.or(beside).unwrap_or(Path::new("."))))?;
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let profiles = chosen(&library, &[name])?;
        text.push_str(&trial::propose::propose(&recording.display().to_string(), &read, &profiles));
    }
    Ok(text)
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
    let parts = modules::read(&survey.snapshot.columns);
    if !parts.list.is_empty() {
        let left_out = match parts.left_out {
            0 => String::new(),
            more => format!(" and {more} more that are not shown"),
        };
        eprintln!("parts: {}{left_out}", parts.list.len());
    }
    for fault in &survey.faults {
        eprintln!("not read: {}", fault.escape_debug());
    }
}
