//! `profile lint`: everything that the loader checks, and what a person gets wrong that still loads.
//!
//! ```text
//! files, folders ─► Shelf (texts beside the shipped ones, compiled) ─► loader's faults, notes ─┐
//!                                                          └─► checks on tree and profile ─────┴─► findings
//! ```

mod alarms;
mod checks;
mod overlap;
mod shelf;
mod traps;
pub(super) mod view;

#[cfg(test)]
mod datadog;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use callhome_shared::config_error::{Problem, Problems, did_you_mean};
use serde_json::json;

use crate::profile::Profile;
use crate::profile::node::{Node, Place};

pub use checks::UNITS;
pub use shelf::Shelf;
use view::View;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The profile does not load.
    Error,
    /// It loads, and probably does not do what was meant.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it.
    pub check: &'static str,
    /// What and where.
    pub problem: Problem,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Files that were looked at.
    pub files: usize,
    /// Those of them that load.
    pub loaded: usize,
    /// By file and line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// 0 = nothing found, 1 = warnings only, 2 = errors.
    pub fn exit(&self) -> u8 {
        match self.findings.iter().map(|f| f.severity).min() {
            None => 0,
            Some(Severity::Warning) => 1,
            Some(Severity::Error) => 2,
        }
    }

    /// One JSON object a line: what was found, then the sum.
    pub fn json(&self) -> String {
        let mut text = String::new();
        for Finding { severity, check, problem } in &self.findings {
            let line = json!({
                "kind": "finding", "severity": severity.as_str(), "check": check, "file": problem.file,
                "line": problem.line, "column": problem.column, "message": problem.message,
                "hint": problem.hint,
            });
            text.push_str(&format!("{line}\n"));
        }
        let (errors, warnings) = self.counts();
        let sum = json!({
            "kind": "sum", "files": self.files, "loaded": self.loaded, "errors": errors,
            "warnings": warnings,
        });
        text.push_str(&format!("{sum}\n"));
        text
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Finding { severity, check, problem } in &self.findings {
            text.push_str(&format!("{}[{check}]: {problem}\n", severity.as_str()));
        }
        let (errors, warnings) = self.counts();
        text.push_str(&format!(
            "{} of {} files load; {errors} errors, {warnings} warnings\n",
            self.loaded, self.files
        ));
        text
    }

    /// Errors and warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.findings.iter().filter(|f| f.severity == Severity::Error).count();
        (errors, self.findings.len() - errors)
    }
}

/// Looks at files (`*.yaml`) and at all of a folder. An error is one of reading them.
pub fn lint(paths: &[PathBuf]) -> Result<Report, Problems> {
    let shelf = Shelf::of_paths(paths)?;
    Ok(report(&shelf))
}

/// Looks at texts, by name.
pub fn lint_texts(texts: &[(&str, &str)]) -> Report {
    report(&Shelf::of_texts(texts))
}

fn report(shelf: &Shelf) -> Report {
    let mut report = Report::default();
    let broken = traps::all(shelf, &mut report.findings);
    for (name, entry) in shelf.given() {
        report.files += 1;
        if entry.is_traps() {
            report.loaded += usize::from(!broken.contains(&entry.file));
            continue;
        }
        let found = &mut report.findings;
        for problem in &entry.problems {
            found.push(Finding {
                severity: Severity::Error,
                check: "load",
                problem: problem.clone(),
            });
        }
        for problem in &entry.notes {
            let check = "unknown-key";
            found.push(Finding { severity: Severity::Warning, check, problem: problem.clone() });
        }
        report.loaded += usize::from(entry.problems.is_empty());
        let Some(root) = &entry.root else { continue };
        let view = View::new(root);
        let mut about = About { shelf, name, entry, root, view: &view, found: Vec::new() };
        checks::all(&mut about);
        alarms::all(&mut about);
        overlap::all(&mut about);
        report.findings.append(&mut about.found);
    }
    report.findings.sort_by(|a, b| {
        let place = |f: &Finding| (f.problem.file.clone(), f.problem.line, f.problem.column);
        place(a).cmp(&place(b))
    });
    report
}

/// One file under the checks.
struct About<'a> {
    shelf: &'a Shelf,
    name: &'a str,
    entry: &'a shelf::Entry,
    root: &'a Node,
    view: &'a View<'a>,
    found: Vec<Finding>,
}

impl<'a> About<'a> {
    /// As compiled; `None` = it does not load.
    fn profile(&self) -> Option<&'a Profile> {
        self.entry.profile.as_deref()
    }

    fn warn(&mut self, check: &'static str, at: Place, message: String) {
        self.warn_near(check, at, message, None);
    }

    fn warn_near(&mut self, check: &'static str, at: Place, message: String, hint: Option<String>) {
        let (file, text) = (&self.entry.file, &self.entry.text);
        let problem = Problem::at_line(file, text, at.line, at.column, message).hint(hint);
        self.found.push(Finding { severity: Severity::Warning, check, problem });
    }

    /// `did you mean`, only for what is nearly the same.
    fn near<'n>(found: &str, valid: impl IntoIterator<Item = &'n str>) -> Option<String> {
        let length = found.chars().count();
        let similar = valid.into_iter().filter(|v| v.chars().count().abs_diff(length) <= 2);
        did_you_mean(found, similar)
    }
}
