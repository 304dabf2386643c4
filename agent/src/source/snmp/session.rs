//! Requests to one device: time-outs, retries, and which answer counts.

use std::net::SocketAddr;
use std::time::Duration;

use callhome_shared::time::Time;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::error::SnmpError;
use super::message::{self, Operation, Response, Version};
use super::transport::{Datagram, Expected, Transport, port_is_closed};
use super::usm::{Credentials, Discovered, Engine, Opened, Report, discovered, discovery};
use crate::profile::oid::Oid;

/// A request is asked anew at most so often because the device's clock was taken over.
const MAX_RESYNCHRONISATIONS: u32 = 2;
/// What silence may mean.
const NO_COMMUNITY: &str = "the device is down or not reachable, or the community is wrong";
/// The same, for the discovery of a v3 engine, which needs no credentials.
const NO_DISCOVERY: &str = "the device is down or not reachable, or does not speak SNMPv3";
/// The same, where discovery was answered.
pub(super) const NO_V3: &str =
    "the device was found, so the privacy password or the context may be wrong";
/// How long to wait for an ICMP message once a device is silent.
const PROBE_WAIT: Duration = Duration::from_millis(300);

/// How to talk to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Security {
    /// Versions 1 and 2c.
    Community(Version, Community),
    /// Version 3.
    User(Credentials),
}

/// A community: a password sent in clear, so never shown.
#[derive(Clone, PartialEq)]
pub struct Community(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Community {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Community(…)")
    }
}

/// Patience.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// For one answer.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
}

/// An answer and when it came.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// When it was received.
    pub at: Time,
    /// Octets of the whole message.
    pub octets: usize,
}

/// One device's session.
pub struct Session {
    transport: Transport,
    peer: SocketAddr,
    security: Security,
    patience: Patience,
    /// The device's engine with our keys (v3), once known; kept over polls.
    engine: Option<Engine>,
    /// Whether the engine's id, boots and time must be asked again.
    stale: bool,
    /// Until when this poll may take.
    pub deadline: Instant,
}

impl Session {
    /// A session that has not spoken yet.
    pub fn new(
        transport: Transport,
        peer: SocketAddr,
        security: Security,
        patience: Patience,
    ) -> Self {
        let deadline = Instant::now() + Duration::from_secs(3600);
        Session { transport, peer, security, patience, engine: None, stale: true, deadline }
    }

    /// The device's address has changed (its name resolves to another).
    pub fn move_to(&mut self, peer: SocketAddr) {
        if self.peer != peer {
            self.peer = peer;
            self.stale = true;
        }
    }

    /// Id and boots of the device's engine (v3), once known.
    pub fn engine(&self) -> Option<(&[u8], i64)> {
        self.engine.as_ref().map(Engine::boots)
    }

    /// Asks and waits for the answer.
    pub async fn request(
        &mut self,
        operation: Operation,
        oids: &[&Oid],
    ) -> Result<Answer, SnmpError> {
        let outcome = match &self.security {
            Security::Community(version, community) => {
                self.request_plain(*version, &community.0, operation, oids).await
            }
            Security::User(credentials) => {
                let credentials = credentials.clone();
                Box::pin(self.request_v3(&credentials, operation, oids)).await
            }
        };
        if outcome.is_err() {
            // Whatever it was: the next request starts from what the device says of itself.
            self.stale = true;
        }
        outcome
    }

    async fn request_plain(
        &self,
        version: Version,
        community: &[u8],
        operation: Operation,
        oids: &[&Oid],
    ) -> Result<Answer, SnmpError> {
        let expected = self.expect()?;
        let id = expected.id;
        let bytes = message::encode(version, community, operation, id, oids);
        self.exchange(expected, &bytes, NO_COMMUNITY, |datagram| {
            let response =
                message::decode(version, &datagram.bytes, community).map_err(|e| e.to_string())?;
            right_id(&response, id)?;
            Ok(Answer { response, at: datagram.at, octets: datagram.bytes.len() })
        })
        .await
    }

    async fn request_v3(
        &mut self,
        credentials: &Credentials,
        operation: Operation,
        oids: &[&Oid],
    ) -> Result<Answer, SnmpError> {
        let mut engine = self.fresh_engine(credentials).await?;
        let mut outcome =
            Err(SnmpError::Refused { address: self.peer.to_string(), report: Report::TimeWindow });
        for _ in 0..=MAX_RESYNCHRONISATIONS {
            match self.sealed_request(&mut engine, operation, oids).await {
                Ok(Judged::Answer(answer)) => outcome = Ok(answer),
                Ok(Judged::Refused(Report::TimeWindow)) => {
                    // Its authenticated clock was taken over: ask again by it.
                    continue;
                }
                Ok(Judged::Refused(report)) => {
                    let address = self.peer.to_string();
                    outcome = Err(SnmpError::Refused { address, report });
                }
                Err(error) => outcome = Err(error),
            }
            break;
        }
        self.engine = Some(engine);
        outcome
    }

    async fn sealed_request(
        &self,
        engine: &mut Engine,
        operation: Operation,
        oids: &[&Oid],
    ) -> Result<Judged, SnmpError> {
        let expected = self.expect()?;
        let id = expected.id;
        let bytes =
            engine.seal(operation, id, oids).map_err(|e| SnmpError::Security(e.to_string()))?;
        self.exchange(expected, &bytes, NO_V3, |datagram| match engine.open(&datagram.bytes) {
            Opened::Response(response) => {
                right_id(&response, id)?;
                let (at, octets) = (datagram.at, datagram.bytes.len());
                Ok(Judged::Answer(Answer { response, at, octets }))
            }
            Opened::Resynchronised => Ok(Judged::Refused(Report::TimeWindow)),
            Opened::Refused(report) => Ok(Judged::Refused(report)),
            Opened::Ignored(why) => Err(why),
        })
        .await
    }

    /// The engine with a fresh clock; asks the device where that is not known.
    async fn fresh_engine(&mut self, credentials: &Credentials) -> Result<Engine, SnmpError> {
        let known = self.engine.take();
        if let (Some(engine), false) = (known.as_ref(), self.stale) {
            let _ = engine;
            return known.ok_or(SnmpError::Busy);
        }
        let found = self.discover().await?;
        let engine = match known {
            // Keys cost milliseconds; they hang on the engine id alone.
            Some(mut engine) if engine.is(&found) => {
                engine.adopt(found.boots, found.time);
                engine
            }
            _ => derive(credentials.clone(), found).await?,
        };
        self.stale = false;
        Ok(engine)
    }

    async fn discover(&self) -> Result<Discovered, SnmpError> {
        let expected = self.expect()?;
        let bytes = discovery(expected.id);
        self.exchange(expected, &bytes, NO_DISCOVERY, |datagram| discovered(&datagram.bytes)).await
    }

    fn expect(&self) -> Result<Expected, SnmpError> {
        self.transport.expect(self.peer).ok_or(SnmpError::Busy)
    }

    /// Sends, waits, sends again; `judge` says whether a datagram is the answer. Every attempt has
    /// the same id, so that a slow answer to the first counts during the second.
    async fn exchange<T>(
        &self,
        expected: Expected,
        bytes: &[u8],
        because: &'static str,
        mut judge: impl FnMut(Datagram) -> Result<T, String>,
    ) -> Result<T, SnmpError> {
        let began = Instant::now();
        let mut unusable = None;
        let mut attempts = 0;
        while attempts <= self.patience.retries {
            if Instant::now() >= self.deadline {
                // Time for one attempt was there, and nothing came: that is silence.
                if attempts > 0 {
                    break;
                }
                return Err(SnmpError::Budget);
            }
            attempts += 1;
            expected
                .send(bytes)
                .await
                .map_err(|source| SnmpError::Send { address: self.peer.to_string(), source })?;
            let until = (Instant::now() + self.patience.timeout).min(self.deadline);
            while let Ok(datagram) = timeout_at(until, expected.next()).await {
                match judge(datagram) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => unusable = Some(why),
                }
            }
        }
        let address = self.peer.to_string();
        Err(match unusable {
            Some(reason) => SnmpError::Unusable { address, reason },
            None => SnmpError::Silent { address, attempts, waited: began.elapsed(), because },
        })
    }

    /// Turns silence into "port closed" where the operating system is told so.
    pub async fn explain(&self, error: SnmpError) -> SnmpError {
        if !error.is_silence() {
            return error;
        }
        if port_is_closed(self.peer, &discovery(1), PROBE_WAIT).await {
            return SnmpError::PortClosed { address: self.peer.to_string() };
        }
        error
    }
}

/// A v3 answer or a refusal.
enum Judged {
    Answer(Answer),
    Refused(Report),
}

fn right_id(response: &Response, id: i32) -> Result<(), String> {
    if response.request_id == id { Ok(()) } else { Err("an answer with another request id".into()) }
}

/// Key derivation hashes a megabyte or more: not on the runtime's thread.
async fn derive(credentials: Credentials, found: Discovered) -> Result<Engine, SnmpError> {
    tokio::task::spawn_blocking(move || Engine::new(&credentials, &found))
        .await
        .map_err(|e| SnmpError::Security(e.to_string()))?
        .map_err(|e| SnmpError::Security(e.to_string()))
}
