//! A series of storms added up, as Markdown: what `docs/measurements.md` is written from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::plan::Line;
use super::report::Report;
use crate::harness::oracle::Wrong;

/// What storms on one kind of system came to.
#[derive(Clone, Debug, Default)]
struct Column {
    storms: usize,
    /// Those that went wrong; the others are in the numbers below, too.
    wrong: usize,
    faults: usize,
    lives: usize,
    declared: usize,
    lost: usize,
    twice: usize,
    tickets: usize,
    disturbances: usize,
    rotations: usize,
    settled: Vec<Duration>,
}

/// The sum of a series.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    by_system: BTreeMap<&'static str, Column>,
    all: Column,
    troubles: BTreeMap<String, usize>,
    others: BTreeMap<String, usize>,
    /// Storms in which the agent had this road, connections on it, bytes carried.
    roads: BTreeMap<Line, (usize, u64, u64)>,
}

impl Sum {
    /// Takes a storm in.
    pub fn add(&mut self, report: &Report) {
        for column in [self.by_system.entry(report.system()).or_default(), &mut self.all] {
            let total = report.verdict.total();
            column.storms += 1;
            column.wrong += usize::from(!report.faults_found().is_empty());
            column.faults += total.faults;
            column.lives += total.lives;
            column.declared += total.declared;
            column.lost += total.lost;
            column.twice += report.verdict.of(&Wrong::Twice);
            column.tickets += total.tickets;
            column.disturbances += report.disturbances();
            column.rotations += report.rotations;
            column.settled.extend(report.settled);
        }
        for (from, to) in
            [(&report.troubles, &mut self.troubles), (&report.verdict.others, &mut self.others)]
        {
            for (what, n) in from {
                *to.entry(what.clone()).or_default() += n;
            }
        }
        for (line, counts) in &report.lines {
            let (storms, connections, carried) = self.roads.entry(*line).or_default();
            *storms += 1;
            *connections += counts.connections;
            *carried += counts.carried;
        }
    }

    /// The tables.
    pub fn tables(&self) -> String {
        let mut columns: Vec<(&str, &Column)> =
            self.by_system.iter().map(|(name, column)| (*name, column)).collect();
        columns.push(("all", &self.all));
        let mut out = String::from("|");
        for (name, _) in &columns {
            let _ = write!(out, " | {name}");
        }
        out.push_str(" |\n| ---");
        out.push_str(&" | ---:".repeat(columns.len()));
        out.push_str(" |\n");
        let mut row = |name: &str, cell: &dyn Fn(&Column) -> String| {
            let _ = write!(out, "| {name}");
            for (_, column) in &columns {
                let _ = write!(out, " | {}", cell(column));
            }
            out.push_str(" |\n");
        };
        row("storms", &|c| c.storms.to_string());
        row("storms that went wrong", &|c| c.wrong.to_string());
        row("faults that came", &|c| c.faults.to_string());
        row("alarm lives at the centre", &|c| c.lives.to_string());
        row("only inside a declared loss", &|c| c.declared.to_string());
        row("lost", &|c| c.lost.to_string());
        row("twice", &|c| c.twice.to_string());
        row("tickets", &|c| c.tickets.to_string());
        row("disturbances", &|c| c.disturbances.to_string());
        row("log rotations", &|c| c.rotations.to_string());
        row("all live again, s (median / longest)", &|c| c.settled());
        let _ = writeln!(
            out,
            "\n| line | storms | connections | MiB carried |\n| --- | ---: | ---: | ---: |"
        );
        for (line, (storms, connections, carried)) in &self.roads {
            let mib = carried / (1024 * 1024);
            let _ = writeln!(out, "| {} | {storms} | {connections} | {mib} |", line.name());
        }
        for (title, counts) in [("disturbance", &self.troubles), ("other tickets", &self.others)] {
            let _ = writeln!(out, "\n| {title} | times |\n| --- | ---: |");
            for (what, n) in counts {
                let _ = writeln!(out, "| {what} | {n} |");
            }
        }
        out
    }
}

impl Column {
    fn settled(&self) -> String {
        let mut all = self.settled.clone();
        all.sort();
        match (all.get(all.len() / 2), all.last()) {
            (Some(median), Some(longest)) => {
                format!("{:.1} / {:.1}", median.as_secs_f64(), longest.as_secs_f64())
            }
            _ => "never".into(),
        }
    }
}
