//! One poll of one device, and what is kept between polls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::readout::Readout;
use callhome_shared::time::Time;
use tokio::time::{Instant, timeout};

use super::appetite::Appetite;
use super::error::SnmpError;
use super::evaluate::{Snapshot, evaluate, examine};
use super::identity::{Identity, read_metadata};
use super::memory::Memory;
use super::modules;
use super::names::Names;
use super::outlet::Outlet;
use super::plan::Plan;
use super::restart::Restarts;
use super::session::Session;
use super::settings::{Address, SnmpSettings};
use super::stock::{LAST_CHANGE, Stock};
use super::tally::Tally;
use super::transport::Transport;
use super::value::Value;
use super::walk::{get, next, walk};
use crate::profile::oid::Oid;
use crate::profile::plan::Metric;
use crate::rule::RuleSet;
use crate::source::Reading;

const SYS_OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
const SYS_UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
/// The metadata is read again after so long, and after a restart of the device.
const METADATA_EVERY: Duration = Duration::from_secs(3600);
/// Readings wait at most so long for those that the same poll has yet to read.
const HOLD: Duration = Duration::from_millis(250);
/// A name must resolve within this.
const RESOLVE: Duration = Duration::from_secs(5);

/// One device between polls.
pub struct Poller<'a> {
    pub(super) settings: &'a SnmpSettings,
    transport: Transport,
    pub(super) session: Option<Session>,
    pub(super) appetite: Appetite,
    pub(super) plan: Option<(Option<Oid>, Arc<Plan>)>,
    /// The plan's rules, until they are handed over.
    announced: Option<RuleSet>,
    restarts: Restarts,
    metadata_at: Option<Instant>,
    pub(super) stock: Stock,
    /// What the present poll, or the last one, was like.
    tally: Tally,
    /// What is remembered of its resources.
    pub memory: Memory,
    /// Who it is.
    pub identity: Identity,
    /// Who asks what rows are called.
    pub names: Names,
}

/// What a poll that got answers has to say besides its readings.
#[derive(Debug, Default)]
pub struct Remarks {
    /// What could not be read.
    pub faults: Vec<String>,
}

impl<'a> Poller<'a> {
    /// Before the first poll.
    pub fn new(
        settings: &'a SnmpSettings,
        transport: Transport,
        memory: Memory,
        identity: Identity,
    ) -> Self {
        let appetite = Appetite::new(settings.bulk, settings.max_repetitions);
        Poller {
            settings,
            transport,
            session: None,
            appetite,
            plan: None,
            announced: None,
            restarts: Restarts::default(),
            metadata_at: None,
            stock: Stock::default(),
            tally: Tally::default(),
            memory,
            identity,
            names: Names::default(),
        }
    }

    /// Polls. Readings are handed to `out` as they come; an error means that the device did not
    /// answer at all.
    pub async fn poll(&mut self, deadline: Instant, out: &Outlet) -> Result<Remarks, SnmpError> {
        self.tally = Tally::default();
        self.connect(deadline).await?;
        let mut remarks = Remarks::default();
        if let Err(error) = self.greet().await {
            return Err(match &self.session {
                Some(session) => session.explain(error).await,
                None => error,
            });
        }
        let outcome = self.read(&mut remarks, out).await;
        if let Err(error) = outcome {
            remarks.faults.insert(0, error.chain());
        }
        Ok(remarks)
    }

    /// What the last poll was like.
    pub fn readout(&self, took: Duration, outcome: Result<usize, &SnmpError>) -> Readout {
        let configured = self.settings.chosen.is_some();
        self.tally.readout(took, self.plan.as_ref(), configured, outcome)
    }

    /// How it is known that the device was restarted lately.
    pub fn restarted(&self) -> Option<&str> {
        self.restarts.told(std::time::Instant::now())
    }

    /// Asks for sysUpTime, and for nothing else: a probe. Says what answered.
    pub async fn up_time(&mut self, deadline: Instant) -> Result<String, SnmpError> {
        self.connect(deadline).await?;
        let up = Oid::new(SYS_UP_TIME);
        let (found, _) = get(self.session()?, &[&up]).await?;
        match found.get(&up).and_then(Value::number) {
            Some(_) => Ok(format!("SNMP {up} of {}", self.settings.address)),
            None => Err(SnmpError::Unusable {
                address: self.settings.address.to_string(),
                reason: "it has no sysUpTime".to_owned(),
            }),
        }
    }

    /// Reads everything at one go and hands nothing on: for a person who wants to see it.
    pub async fn survey(
        &mut self,
        deadline: Instant,
    ) -> Result<(Arc<Plan>, Snapshot, Remarks), SnmpError> {
        self.connect(deadline).await?;
        if let Err(error) = self.greet().await {
            return Err(match &self.session {
                Some(session) => session.explain(error).await,
                None => error,
            });
        }
        let (mut snapshot, mut remarks) = (Snapshot::default(), Remarks::default());
        let Some(plan) = self.plan() else { return Err(SnmpError::Busy) };
        let (mut scalars, columns) = plan.metadata_needs();
        scalars.extend(plan.scalars.iter().cloned());
        scalars.insert(Oid::new(SYS_OBJECT_ID));
        self.read_scalars(scalars.iter(), &mut snapshot, &mut remarks).await?;
        let modules = modules::columns();
        let tables = plan.tables.iter().flat_map(|table| &table.columns);
        for group in columns.iter().chain(tables).chain([&modules]) {
            self.read_columns(group, &mut snapshot, &mut remarks).await?;
        }
        Ok((plan, snapshot, remarks))
    }

    pub(super) async fn connect(&mut self, deadline: Instant) -> Result<(), SnmpError> {
        let peer = resolve(&self.settings.address).await?;
        let session = self.session.get_or_insert_with(|| {
            let security = self.settings.security.clone();
            Session::new(self.transport.clone(), peer, security, self.settings.patience)
        });
        session.move_to(peer);
        session.deadline = deadline;
        Ok(())
    }

    fn session(&mut self) -> Result<&mut Session, SnmpError> {
        self.session.as_mut().ok_or(SnmpError::Busy)
    }

    /// The first question: whether it answers, what it is, and whether it was restarted.
    async fn greet(&mut self) -> Result<(), SnmpError> {
        let (id, up) = (Oid::new(SYS_OBJECT_ID), Oid::new(SYS_UP_TIME));
        let last_change = Oid::new(LAST_CHANGE);
        let mut wanted = vec![&id, &up];
        if self.stock.asks_for_change() {
            wanted.push(&last_change);
        }
        let (found, _) = get(self.session()?, &wanted).await?;
        let sysobjectid = match found.get(&id) {
            Some(Value::Oid(oid)) => Some(oid.clone()),
            _ => None,
        };
        let up_time = found.get(&up).and_then(Value::number);
        let engine = self.session.as_ref().and_then(Session::engine);
        if let Some(why) = self.restarts.look(up_time, engine, std::time::Instant::now()) {
            let device = self.identity.device().map(|device| device.name.clone());
            tracing::warn!(address = %self.settings.address, device, why, "the device was restarted");
            self.metadata_at = None;
            self.stock.begin(Instant::now());
        }
        let changed = found.get(&last_change).and_then(Value::number);
        self.stock.change(changed, self.settings.interval, Instant::now());
        // One that does not say what it is just now is what it was.
        let known = |(id, _): &(Option<Oid>, _)| sysobjectid.is_none() || *id == sysobjectid;
        if !self.plan.as_ref().is_some_and(known) {
            let plan = self.choose(sysobjectid.as_ref()).await?;
            tracing::info!(address = %self.settings.address, profiles = ?plan.names(), "SNMP plan");
            self.announced = Some(plan.rules.clone());
            self.plan = Some((sysobjectid, plan));
            self.metadata_at = None;
            self.stock.begin(Instant::now());
        }
        Ok(())
    }

    /// The plan for a device that says it is this.
    async fn choose(&mut self, sysobjectid: Option<&Oid>) -> Result<Arc<Plan>, SnmpError> {
        let (settings, plans) = (self.settings, &self.settings.plans);
        let plan = match &settings.chosen {
            Some(names) => plans.of(names),
            None => {
                let library = plans.library();
                let questions = library.questions(sysobjectid);
                let found = next(self.session()?, &questions).await?;
                let find = |oid: &Oid| found.get(oid).and_then(Value::text);
                let names = library.choose(sysobjectid, &find);
                let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                plans.of(&names)
            }
        };
        plan.map_err(|problems| SnmpError::Unusable {
            address: settings.address.to_string(),
            reason: format!("profile: {problems}"),
        })
    }

    fn plan(&self) -> Option<Arc<Plan>> {
        self.plan.as_ref().map(|(_, plan)| plan.clone())
    }

    async fn read(&mut self, remarks: &mut Remarks, out: &Outlet) -> Result<(), SnmpError> {
        let Some(plan) = self.plan() else { return Ok(()) };
        self.read_plan(&plan, remarks, out).await
    }

    async fn read_plan(
        &mut self,
        plan: &Plan,
        remarks: &mut Remarks,
        out: &Outlet,
    ) -> Result<(), SnmpError> {
        let mut snapshot = Snapshot::default();
        if self.metadata_at.is_none_or(|at| at.elapsed() >= METADATA_EVERY) {
            let (scalars, columns) = plan.metadata_needs();
            self.read_scalars(scalars.iter(), &mut snapshot, remarks).await?;
            for group in &columns {
                self.read_columns(group, &mut snapshot, remarks).await?;
            }
            let found = read_metadata(&plan.metadata, &snapshot);
            if self.identity.read(&found, &mut self.memory) {
                self.stock.begin(Instant::now());
            }
            self.metadata_at = Some(Instant::now());
            // What metadata and metrics share need not be asked twice in one poll.
            snapshot.scalars.clear();
        }
        let mut waiting = Vec::new();
        let mut since = Instant::now();
        self.read_scalars(plan.scalars.iter(), &mut snapshot, remarks).await?;
        for metric in &plan.scalar_metrics {
            self.judged(plan, metric, &snapshot, &mut waiting);
        }
        let (names, all) = (self.names.clone(), self.settings.unjudged);
        for table in &plan.tables {
            for group in table.walked(|metric| all || names.wants(&metric.oid)).iter() {
                if let Err(error) = self.read_columns(group, &mut snapshot, remarks).await {
                    self.hand_out(out, waiting).await;
                    return Err(error);
                }
            }
            if waiting.is_empty() {
                since = Instant::now();
            }
            for metric in &table.metrics {
                self.tell_names(metric, &snapshot);
                self.judged(plan, metric, &snapshot, &mut waiting);
            }
            if since.elapsed() >= HOLD && !waiting.is_empty() {
                self.hand_out(out, std::mem::take(&mut waiting)).await;
            }
        }
        self.hand_out(out, waiting).await;
        if self.tally.is_empty() {
            // Nothing that any rule looks at: whether anything else is there tells what to check.
            for table in &plan.tables {
                for group in &table.columns {
                    self.read_columns(group, &mut snapshot, remarks).await?;
                }
                let values = |metric: &Arc<Metric>| snapshot.values(metric);
                self.tally.read(table.metrics.iter().map(values).sum());
            }
        }
        Ok(())
    }

    /// The readings of a metric, if any rule looks at them; else its values are only counted.
    fn judged(
        &mut self,
        plan: &Plan,
        metric: &Metric,
        snapshot: &Snapshot,
        waiting: &mut Vec<Reading>,
    ) {
        if self.settings.unjudged || !plan.rules.on(&metric.name).is_empty() {
            let found = evaluate(metric, snapshot, &mut self.memory);
            self.tally.read(found.len());
            waiting.extend(found);
        } else {
            self.tally.read(snapshot.values(metric));
        }
    }

    /// What the rows are called, for who hears of them otherwise.
    fn tell_names(&self, metric: &Metric, snapshot: &Snapshot) {
        let Some(device) = self.identity.device().filter(|_| self.names.wants(&metric.oid)) else {
            return;
        };
        let rows = examine(metric, snapshot)
            .into_iter()
            .filter_map(|row| Some((row.oid.after(&metric.oid)?.to_vec(), row.reading.resource)));
        self.names.tell(&device.name, &metric.oid, rows);
    }

    /// Hands readings over with what is known of the device by now.
    pub async fn hand_out(&mut self, out: &Outlet, readings: Vec<Reading>) {
        if let Some(device) = self.identity.device() {
            out.send(device, self.announced.take(), readings, self.memory.position()).await;
        }
    }

    async fn read_scalars(
        &mut self,
        wanted: impl Iterator<Item = &Oid>,
        snapshot: &mut Snapshot,
        remarks: &mut Remarks,
    ) -> Result<(), SnmpError> {
        let wanted: Vec<&Oid> = wanted.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let answered = get(self.session()?, &wanted).await;
        if let Some(first) = wanted.first() {
            self.tally.waited(first, began.elapsed());
        }
        let (found, faults) = answered?;
        snapshot.scalars.extend(found);
        snapshot.scalars_at = Time::now();
        remarks.faults.extend(faults);
        Ok(())
    }

    /// Walks the columns that this poll has not walked yet.
    async fn read_columns(
        &mut self,
        wanted: &[Oid],
        snapshot: &mut Snapshot,
        remarks: &mut Remarks,
    ) -> Result<(), SnmpError> {
        let missing: Vec<&Oid> =
            wanted.iter().filter(|oid| !snapshot.columns.contains_key(oid)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let session = self.session.as_mut().ok_or(SnmpError::Busy)?;
        let began = Instant::now();
        let walked = walk(session, &mut self.appetite, &missing).await;
        if let Some(first) = missing.first() {
            self.tally.waited(first, began.elapsed());
        }
        let walked = walked?;
        remarks.faults.extend(walked.iter().filter_map(|column| column.fault.clone()));
        snapshot.columns.extend(missing.into_iter().cloned().zip(walked));
        Ok(())
    }
}

/// A name's first address.
pub async fn resolve(address: &Address) -> Result<SocketAddr, SnmpError> {
    if let Ok(ip) = address.host.parse() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let failed = |source| SnmpError::Resolve { address: address.to_string(), source };
    let found = timeout(RESOLVE, tokio::net::lookup_host((address.host.as_str(), address.port)))
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let mut found: Vec<SocketAddr> = found.collect();
    // IPv4 first: management networks rarely have anything else.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}
