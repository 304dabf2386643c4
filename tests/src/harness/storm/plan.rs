//! What a seed stands for: which system, and which disturbances when. Pure.

use std::fmt;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::harness::world::Broker;

/// What the machine can give a storm.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// mosquitto is installed.
    pub mosquitto: bool,
    /// PostgreSQL's server programs are installed.
    pub postgres: bool,
    /// libfaketime is installed.
    pub clocks: bool,
    /// Small disks can be mounted.
    pub mounts: bool,
}

/// A connection with a proxy in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// The agent's road by MQTT.
    Mqtt,
    /// Its road by MQTT in a WebSocket.
    Wss,
    /// Its road by HTTPS POST.
    Https,
    /// The collector to mosquitto.
    Collector,
}

impl Line {
    /// As it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Line::Mqtt => "agent",
            Line::Wss => "agent-wss",
            Line::Https => "agent-https",
            Line::Collector => "collector",
        }
    }
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The agent.
    Agent,
    /// The collector.
    Collector,
    /// mosquitto.
    Broker,
}

/// One disturbance. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// RST to both ends.
    Reset(Line),
    /// FIN to both ends.
    Finish(Line),
    /// New connections are refused, the old ones reset.
    Refuse(Line, u64),
    /// Everything is swallowed.
    HalfOpen(Line, u64),
    /// Bits are turned over.
    Corrupt(Line, u64),
    /// Each piece later by the first, for the second.
    Delay(Line, u64, u64),
    /// Bytes a second, for so long.
    Throttle(Line, u64, u64),
    /// The old connection's bytes come after the new connection.
    Strand(Line, u64),
    /// kill -9, and a start after so long.
    Kill(Side, u64),
    /// SIGSTOP for so long.
    Freeze(Side, u64),
    /// mosquitto is killed and its memory deleted.
    Amnesia(u64),
    /// Another process holds SQLite's write lock.
    DatabaseBusy(u64),
    /// PostgreSQL is stopped with `-m immediate` and started again.
    DatabaseRestart(u64),
    /// The disk under the process's data is full.
    DiskFull(Side, u64),
    /// The process's wall clock is off by so many days.
    Clock(Side, i64, u64),
}

impl Trouble {
    /// Its sort, for counting.
    pub fn sort(self) -> String {
        let side = |s: Side| match s {
            Side::Agent => "agent",
            Side::Collector => "collector",
            Side::Broker => "mosquitto",
        };
        match self {
            Trouble::Reset(l) => format!("reset:{}", l.name()),
            Trouble::Finish(l) => format!("finish:{}", l.name()),
            Trouble::Refuse(l, _) => format!("refuse:{}", l.name()),
            Trouble::HalfOpen(l, _) => format!("half-open:{}", l.name()),
            Trouble::Corrupt(l, _) => format!("corrupt:{}", l.name()),
            Trouble::Delay(l, ..) => format!("delay:{}", l.name()),
            Trouble::Throttle(l, ..) => format!("throttle:{}", l.name()),
            Trouble::Strand(l, _) => format!("strand:{}", l.name()),
            Trouble::Kill(s, _) => format!("kill:{}", side(s)),
            Trouble::Freeze(s, _) => format!("freeze:{}", side(s)),
            Trouble::Amnesia(_) => "amnesia:mosquitto".into(),
            Trouble::DatabaseBusy(_) => "busy:sqlite".into(),
            Trouble::DatabaseRestart(_) => "restart:postgres".into(),
            Trouble::DiskFull(s, _) => format!("disk-full:{}", side(s)),
            Trouble::Clock(s, days, _) => {
                format!("clock{}:{}", if days < 0 { "-1d" } else { "+1d" }, side(s))
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A disturbance and the pause before it, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// After the one before it ended.
    pub pause: u64,
    /// What.
    pub trouble: Trouble,
}

/// Three lanes of disturbances go on beside each other; in each, one follows the other.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Which broker.
    pub broker: Broker,
    /// PostgreSQL; else SQLite.
    pub postgres: bool,
    /// The agent's roads to the collector, the preferred one first.
    pub roads: Vec<Line>,
    /// Processes run under a clock that can be set.
    pub clocks: bool,
    /// State and data lie on small disks.
    pub small_disks: bool,
    /// The network.
    pub network: Vec<Step>,
    /// Processes.
    pub processes: Vec<Step>,
    /// Disks, clocks, the database.
    pub ground: Vec<Step>,
}

/// More steps than any storm has time for.
const STEPS: usize = 600;

impl Plan {
    /// The plan of a seed on a machine with these means.
    pub fn new(seed: u64, means: Means) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        // Drawn whatever the machine can give: the same seed is the same storm where it can.
        let draws = [rng.random_bool(0.45), rng.random_bool(0.35)];
        let broker = if means.mosquitto && draws[0] { Broker::Mosquitto } else { Broker::Embedded };
        // Numbers of its own: what is drawn about roads changes nothing else of a seed's storm.
        let mut own = SmallRng::seed_from_u64(seed ^ 0x0041_7061);
        let mut plan = Plan {
            seed,
            broker,
            postgres: means.postgres && draws[1],
            roads: roads(broker, &mut own),
            clocks: means.clocks,
            small_disks: means.mounts,
            network: Vec::new(),
            processes: Vec::new(),
            ground: Vec::new(),
        };
        for _ in 0..STEPS {
            let step = Step {
                pause: rng.random_range(300..2_500),
                trouble: plan.network(&mut rng, &mut own),
            };
            plan.network.push(step);
            let step =
                Step { pause: rng.random_range(500..4_000), trouble: plan.processes(&mut rng) };
            plan.processes.push(step);
            if let Some(trouble) = plan.ground(&mut rng) {
                plan.ground.push(Step { pause: rng.random_range(1_000..5_000), trouble });
            }
        }
        plan
    }

    fn network(&self, rng: &mut SmallRng, own: &mut SmallRng) -> Trouble {
        let road = self.roads[own.random_range(0..self.roads.len())];
        let line = match self.broker {
            Broker::Mosquitto if rng.random_bool(0.4) => Line::Collector,
            _ => road,
        };
        // Long enough for the agent to give a road up, where it has another one.
        let longest = if self.roads.len() > 1 { 12_000 } else { 3_000 };
        match rng.random_range(0..8) {
            0 => Trouble::Reset(line),
            1 => Trouble::Finish(line),
            2 => Trouble::Refuse(line, rng.random_range(300..longest)),
            3 => Trouble::HalfOpen(line, rng.random_range(500..8_000)),
            4 => Trouble::Corrupt(line, rng.random_range(300..2_000)),
            5 => Trouble::Delay(line, rng.random_range(5..250), rng.random_range(500..4_000)),
            6 => Trouble::Throttle(
                line,
                rng.random_range(4_000..40_000),
                rng.random_range(500..4_000),
            ),
            _ => Trouble::Strand(line, rng.random_range(200..4_000)),
        }
    }

    fn processes(&self, rng: &mut SmallRng) -> Trouble {
        let sides: &[Side] = match self.broker {
            Broker::Embedded => &[Side::Agent, Side::Collector],
            _ => &[Side::Agent, Side::Collector, Side::Broker],
        };
        let side = sides[rng.random_range(0..sides.len())];
        match rng.random_range(0..10) {
            0..=5 if side == Side::Broker && rng.random_bool(0.4) => {
                Trouble::Amnesia(rng.random_range(0..1_500))
            }
            0..=5 => Trouble::Kill(side, rng.random_range(0..2_000)),
            _ => Trouble::Freeze(side, rng.random_range(300..6_000)),
        }
    }

    fn ground(&self, rng: &mut SmallRng) -> Option<Trouble> {
        let side = if rng.random_bool(0.5) { Side::Agent } else { Side::Collector };
        let for_ms = rng.random_range(1_000..6_000);
        match rng.random_range(0..4) {
            0 if self.postgres => Some(Trouble::DatabaseRestart(rng.random_range(0..2_000))),
            0 => Some(Trouble::DatabaseBusy(rng.random_range(1_000..8_000))),
            1 if self.small_disks && !(self.postgres && side == Side::Collector) => {
                Some(Trouble::DiskFull(side, for_ms))
            }
            2 | 3 if self.clocks => {
                Some(Trouble::Clock(side, if rng.random_bool(0.5) { 1 } else { -1 }, for_ms))
            }
            _ => None,
        }
    }
}

/// Which roads an agent has: often only the usual one, else some of those that there are, in any order.
/// The WebSocket ends in the embedded broker.
fn roads(broker: Broker, rng: &mut SmallRng) -> Vec<Line> {
    let mut all = match broker {
        Broker::Embedded => vec![Line::Mqtt, Line::Wss, Line::Https],
        _ => vec![Line::Mqtt, Line::Https],
    };
    let (only, count) = (rng.random_bool(0.25), rng.random_range(1..=all.len()));
    if only {
        return vec![Line::Mqtt];
    }
    all.shuffle(rng);
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Means = Means { mosquitto: true, postgres: true, clocks: true, mounts: true };
    const NONE: Means = Means { mosquitto: false, postgres: false, clocks: false, mounts: false };

    #[test]
    fn a_seed_is_always_the_same_storm() {
        for seed in 0..20 {
            let (a, b) = (Plan::new(seed, ALL), Plan::new(seed, ALL));
            assert_eq!(format!("{a:?}"), format!("{b:?}"));
        }
        assert_ne!(format!("{:?}", Plan::new(1, ALL)), format!("{:?}", Plan::new(2, ALL)));
    }

    #[test]
    fn every_sort_of_disturbance_comes_up() {
        let mut sorts = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let plan = Plan::new(seed, ALL);
            for step in plan.network.iter().chain(&plan.processes).chain(&plan.ground) {
                sorts.insert(step.trouble.sort());
            }
        }
        // 8 on each of four lines; kill and freeze of three; amnesia; two of databases; two full
        // disks; four clock jumps.
        assert_eq!(sorts.len(), 32 + 6 + 1 + 2 + 2 + 4, "{sorts:?}");
    }

    #[test]
    fn every_set_of_roads_comes_up_and_only_existing_ones_are_disturbed() {
        let mut sets = std::collections::BTreeSet::new();
        for seed in 0..400 {
            let plan = Plan::new(seed, ALL);
            for step in &plan.network {
                let Trouble::Reset(line) = step.trouble else { continue };
                assert!(plan.roads.contains(&line) || line == Line::Collector, "{line:?}");
            }
            sets.insert((plan.broker == Broker::Embedded, plan.roads));
        }
        // Orders of one, two or three of three; of one or two of two.
        assert_eq!(sets.len(), (3 + 6 + 6) + (2 + 2), "{sets:?}");
    }

    #[test]
    fn nothing_is_planned_that_the_machine_cannot_give() {
        for seed in 0..40 {
            let plan = Plan::new(seed, NONE);
            assert_eq!((plan.broker, plan.postgres), (Broker::Embedded, false));
            for step in plan.network.iter().chain(&plan.processes).chain(&plan.ground) {
                let sort = step.trouble.sort();
                let cannot = ["mosquitto", "postgres", "clock", "disk-full"];
                assert!(!cannot.iter().any(|c| sort.contains(c)), "{sort}");
            }
        }
    }
}
