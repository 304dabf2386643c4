//! A simulated SNMP v1 and v2c device: an ordered table of objects that a test may change while it is
//! polled, and bad manners on request. Enough BER for GET, GETNEXT and GETBULK (RFC 1157, 3416), nothing
//! more.

mod ber;
mod snmprec;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use ber::{Pdu, Request};

/// A value in the table (RFC 2578).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimValue {
    /// INTEGER.
    Integer(i64),
    /// OCTET STRING.
    OctetString(Vec<u8>),
    /// OBJECT IDENTIFIER, dotted.
    ObjectId(String),
    /// IpAddress.
    IpAddress([u8; 4]),
    /// Counter32.
    Counter32(u32),
    /// Gauge32.
    Gauge32(u32),
    /// TimeTicks, hundredths of a second.
    TimeTicks(u32),
    /// Opaque.
    Opaque(Vec<u8>),
    /// Counter64.
    Counter64(u64),
    /// NULL.
    Null,
}

/// How a device misbehaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Answer nothing at all.
    pub silent: bool,
    /// Drop every n-th request (0 = none).
    pub drop_every: usize,
    /// Send every answer twice.
    pub duplicate: bool,
    /// Wait before each answer.
    pub delay: Duration,
    /// Cut this many bytes off each answer.
    pub truncate: usize,
    /// Answer `tooBig` to a GETBULK of more than this many repetitions (0 = never).
    pub too_big_over: usize,
    /// Answer `genErr` to such a GETBULK, about no binding (0 = never).
    pub gen_err_over: usize,
    /// Answer nothing to such a GETBULK: what is larger gets lost on the way (0 = never).
    pub lost_over: usize,
    /// Answer nothing to any GETBULK.
    pub no_bulk: bool,
    /// Answer `genErr` to what would have a value of this column's second row (its last arc) in it
    /// (0 = never).
    pub broken_column: u32,
}

/// What it was asked and what it answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Requests.
    pub requests: u64,
    /// Variable bindings in its answers.
    pub bindings: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
}

impl Traffic {
    /// What came after `earlier`.
    pub fn since(&self, earlier: &Traffic) -> Traffic {
        Traffic {
            requests: self.requests - earlier.requests,
            bindings: self.bindings - earlier.bindings,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
        }
    }

    /// Both together.
    pub fn plus(&self, other: &Traffic) -> Traffic {
        Traffic {
            requests: self.requests + other.requests,
            bindings: self.bindings + other.bindings,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

type Oid = Vec<u32>;

/// So many arrivals are remembered.
const ARRIVALS: usize = 1024;

#[derive(Default)]
struct State {
    table: BTreeMap<Oid, SimValue>,
    manners: Manners,
    requests: usize,
    traffic: Traffic,
    /// Repetitions of the largest GETBULK since somebody looked.
    largest: usize,
    /// When the newest requests came.
    arrivals: VecDeque<Instant>,
}

/// A running simulated device. Ends when dropped.
pub struct SnmpSim {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl SnmpSim {
    /// Starts on `addr` (port 0 = any). It answers every community.
    pub async fn start(addr: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(addr).await?;
        let addr = socket.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(socket, state.clone()));
        Ok(SnmpSim { addr, state, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets one object.
    pub fn set(&self, oid: &str, value: SimValue) -> Result<()> {
        let oid = parse_oid(oid)?;
        self.lock().table.insert(oid, value);
        Ok(())
    }

    /// Takes one object away.
    pub fn remove(&self, oid: &str) -> Result<()> {
        let oid = parse_oid(oid)?;
        self.lock().table.remove(&oid);
        Ok(())
    }

    /// Adds the objects of a recording in `.snmprec` form (`oid|tag|value` lines; tags with `x` are hex).
    /// Gives their number.
    pub fn load_snmprec(&self, text: &str) -> Result<usize> {
        let objects = snmprec::parse(text)?;
        let count = objects.len();
        self.lock().table.extend(objects);
        Ok(count)
    }

    /// From now on it behaves so.
    pub fn set_manners(&self, manners: Manners) {
        self.lock().manners = manners;
    }

    /// Requests seen so far.
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// What it was asked and what it answered so far.
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    /// Repetitions of the largest GETBULK since the last call; 0 = there was none.
    pub fn largest_bulk(&self) -> usize {
        std::mem::take(&mut self.lock().largest)
    }

    /// Requests after at least `gap` of silence, of the newest ones: the beginnings of polls.
    pub fn beginnings(&self, gap: Duration) -> Vec<Instant> {
        let state = self.lock();
        let pairs = state.arrivals.iter().zip(state.arrivals.iter().skip(1));
        pairs.filter(|(before, at)| at.duration_since(**before) >= gap).map(|(_, at)| *at).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SnmpSim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a dotted OID, with or without a leading dot.
pub fn parse_oid(text: &str) -> Result<Oid> {
    text.trim_start_matches('.')
        .split('.')
        .map(|part| part.parse().with_context(|| format!("{text:?} is no OID")))
        .collect()
}

/// A version 2c trap: its OID, and what it carries besides sysUpTime.
pub fn trap_v2c(community: &str, trap: &str, vars: &[(String, SimValue)]) -> Result<Vec<u8>> {
    let mut bindings = vec![
        (parse_oid("1.3.6.1.2.1.1.3.0")?, SimValue::TimeTicks(100)),
        (parse_oid("1.3.6.1.6.3.1.1.4.1.0")?, SimValue::ObjectId(trap.to_owned())),
    ];
    for (oid, value) in vars {
        bindings.push((parse_oid(oid)?, value.clone()));
    }
    Ok(ber::encode_trap(community, &bindings))
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0_u8; 65_536];
    // Linux tells a UDP socket of a peer's closed port: that is no reason to stop.
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else { continue };
        let (answer, manners) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests += 1;
            if state.arrivals.len() == ARRIVALS {
                state.arrivals.pop_front();
            }
            state.arrivals.push_back(Instant::now());
            state.traffic.requests += 1;
            state.traffic.bytes_in += size as u64;
            let manners = state.manners;
            let dropped =
                manners.drop_every > 0 && state.requests.is_multiple_of(manners.drop_every);
            if manners.silent || dropped {
                continue;
            }
            let request = ber::decode(&buffer[..size]);
            if let Some(Pdu::GetBulk { max_repetitions, .. }) = request.as_ref().map(|r| &r.pdu) {
                state.largest = state.largest.max(*max_repetitions);
            }
            let answer = request.and_then(|request| answer(&state, &request));
            if let Some((bytes, bindings)) = &answer {
                state.traffic.bindings += *bindings as u64;
                state.traffic.bytes_out += bytes.len() as u64;
            }
            (answer.map(|(bytes, _)| bytes), manners)
        };
        let Some(mut answer) = answer else { continue };
        answer.truncate(answer.len().saturating_sub(manners.truncate));
        if manners.delay.is_zero() && !manners.duplicate {
            let _ = socket.send_to(&answer, from).await;
            continue;
        }
        let socket = socket.clone();
        tokio::spawn(async move {
            tokio::time::sleep(manners.delay).await;
            for _ in 0..=usize::from(manners.duplicate) {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

/// Answers stay below one datagram on loopback; a GETBULK that would not fit is cut short.
const MAX_ANSWER: usize = 60_000;

/// What a request asks for by name, with what is there.
type Bindings = Vec<(Oid, Option<SimValue>)>;

/// An answer with the number of its bindings; `None` = silence.
fn answer(state: &State, request: &Request) -> Option<(Vec<u8>, usize)> {
    let manners = &state.manners;
    let mut bindings: Bindings = Vec::new();
    match request.pdu {
        Pdu::Get => {
            for oid in &request.oids {
                bindings.push((oid.clone(), state.table.get(oid).cloned()));
            }
        }
        Pdu::GetNext => {
            bindings.extend(request.oids.iter().map(|oid| next(state, oid, request.is_v1())));
        }
        Pdu::GetBulk { non_repeaters, max_repetitions } => {
            let above = |limit: usize| limit > 0 && max_repetitions > limit;
            if request.is_v1() || manners.no_bulk || above(manners.lost_over) {
                return None;
            }
            let refused = [(manners.too_big_over, 1), (manners.gen_err_over, 5)];
            if let Some((_, error)) = refused.into_iter().find(|(limit, _)| above(*limit)) {
                return Some((ber::encode(request, (error, 0), &[]), 0));
            }
            bulk(state, request, non_repeaters, max_repetitions, &mut bindings);
        }
    }
    let fault = fault(manners, request, &bindings);
    if fault.0 != 0 {
        bindings = request.oids.iter().map(|oid| (oid.clone(), None)).collect();
    }
    Some((ber::encode(request, fault, &bindings), bindings.len()))
}

/// The error that an answer with these bindings is instead.
fn fault(manners: &Manners, request: &Request, bindings: &Bindings) -> ber::Fault {
    let broken = |oid: &Oid| match oid.as_slice() {
        [.., column, 2] => *column == manners.broken_column,
        _ => false,
    };
    let at = |(n, _): (usize, &(Oid, Option<SimValue>))| n % request.oids.len().max(1) + 1;
    let found = bindings.iter().enumerate().find(|(_, (oid, _))| broken(oid));
    if let Some(found) = found.filter(|_| manners.broken_column > 0) {
        return (5, at(found));
    }
    // RFC 1157: one object that is not there refuses all of them; and there is no Counter64.
    let absent = |value: &Option<SimValue>| matches!(value, None | Some(SimValue::Counter64(_)));
    let missing = bindings.iter().enumerate().find(|(_, (_, value))| absent(value));
    missing.filter(|_| request.is_v1()).map_or((0, 0), |found| (2, at(found)))
}

fn bulk(
    state: &State,
    request: &Request,
    non_repeaters: usize,
    max_repetitions: usize,
    bindings: &mut Bindings,
) {
    let split = non_repeaters.min(request.oids.len());
    bindings.extend(request.oids[..split].iter().map(|oid| next(state, oid, false)));
    let mut row: Vec<Oid> = request.oids[split..].to_vec();
    let mut size = 0;
    for _ in 0..max_repetitions {
        let mut ended = true;
        for oid in &mut row {
            let (found, value) = next(state, oid, false);
            ended &= value.is_none();
            size += 32 + found.len() * 2 + value.as_ref().map_or(0, ber::size_hint);
            oid.clone_from(&found);
            bindings.push((found, value));
        }
        if ended || size > MAX_ANSWER {
            break;
        }
    }
}

/// The object after `oid`, passing over what version 1 cannot carry; `None` = endOfMibView.
fn next(state: &State, oid: &Oid, is_v1: bool) -> (Oid, Option<SimValue>) {
    let after = (Bound::Excluded(oid.clone()), Bound::Unbounded);
    let carried = |value: &SimValue| !is_v1 || !matches!(value, SimValue::Counter64(_));
    match state.table.range(after).find(|(_, value)| carried(value)) {
        Some((found, value)) => (found.clone(), Some(value.clone())),
        None => (oid.clone(), None),
    }
}
