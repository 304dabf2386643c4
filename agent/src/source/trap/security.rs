//! Who may say something by SNMPv3, and how an inform is answered (RFC 3414, RFC 3412). Pure: the
//! caller says what time it is and gives the random salt.
//!
//! A trap is secured with its sender's engine: its boots and time are taken from authenticated messages
//! only. An inform is secured with *our* engine: the sender asks for our id, boots and time, and is
//! told by reports.

use std::collections::HashMap;
use std::time::Instant;

use snmp2::asn1::{TYPE_OCTETSTRING, TYPE_SEQUENCE};
use snmp2::snmp::{MSG_REPORT, MSG_RESPONSE};

use super::decode::{
    self, AUTHENTICATED, ENCRYPTED, Kind, Notification, REPORTABLE, V3, notification, scoped,
};
use crate::profile::oid::Oid;
use crate::source::snmp::keys::{Clock, Key, User, same};
use crate::source::snmp::message::{integer, tlv};

/// A clock may be so far off (RFC 3414, 2.2.3), seconds.
const WINDOW: i64 = 150;
/// Engines whose clocks are kept; at the limit the one that was quiet longest makes room.
const MAX_ENGINES: usize = 4096;
/// Largest message that we say we accept.
const MAX_MESSAGE: i64 = 65_507;
/// usmStats, without the number.
const USM_STATS: [u32; 9] = [1, 3, 6, 1, 6, 3, 15, 1, 1];

/// Why a message is not taken: the last arc of its usmStats counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It is not authenticated or not encrypted as the user must.
    UnsupportedLevel,
    /// It is old, or its clock is.
    NotInTimeWindow,
    /// No such user.
    UnknownUser,
    /// An engine that is not ours and says nothing either.
    UnknownEngine,
    /// Not made with the user's authentication password.
    WrongDigest,
    /// Not made with the user's privacy password.
    Decryption,
}

impl Refusal {
    fn number(self) -> u32 {
        match self {
            Refusal::UnsupportedLevel => 1,
            Refusal::NotInTimeWindow => 2,
            Refusal::UnknownUser => 3,
            Refusal::UnknownEngine => 4,
            Refusal::WrongDigest => 5,
            Refusal::Decryption => 6,
        }
    }

    /// A stable word for counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::UnsupportedLevel => "wrong-security-level",
            Refusal::NotInTimeWindow => "not-in-time-window",
            Refusal::UnknownUser => "unknown-user",
            Refusal::UnknownEngine => "unknown-engine",
            Refusal::WrongDigest => "wrong-digest",
            Refusal::Decryption => "decryption-failed",
        }
    }
}

/// Our own engine: informs are secured with it.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its id (RFC 3411, SnmpEngineID).
    pub id: Vec<u8>,
    /// How often it was started; counted over restarts.
    pub boots: i64,
    /// When it was started this time.
    pub since: Instant,
}

impl Own {
    fn clock(&self, now: Instant) -> Clock {
        let time = now.saturating_duration_since(self.since).as_secs();
        Clock { boots: self.boots, time: i64::try_from(time).unwrap_or(i64::MAX) }
    }
}

/// What becomes of a version 3 message.
#[derive(Debug)]
pub enum Judged {
    /// It may speak.
    Accepted {
        /// What it says.
        notification: Notification,
        /// What an inform is answered with, once it is stored.
        reply: Option<Reply>,
    },
    /// It asked for our engine's id or clock: nothing is wrong with that.
    Asked {
        /// What to send back.
        report: Vec<u8>,
    },
    /// It may not.
    Refused {
        /// Why.
        why: Refusal,
        /// What to send back, where an answer is wanted.
        report: Option<Vec<u8>>,
    },
    /// It cannot be read.
    Malformed(String),
}

/// An inform's answer before it is sealed.
#[derive(Debug)]
pub struct Reply {
    user: usize,
    id: i64,
    flags: u8,
    /// Context and response PDU.
    scoped: Vec<u8>,
}

/// Another engine's clock, from its authenticated messages.
#[derive(Debug)]
struct Engine {
    clock: Clock,
    at: Instant,
    /// Privacy keys by user: they may cost much.
    keys: HashMap<usize, Key>,
}

/// Users, engines and our own engine.
#[derive(Debug)]
pub struct Security {
    users: Vec<User>,
    own: Own,
    own_keys: HashMap<usize, Key>,
    engines: HashMap<Vec<u8>, Engine>,
    /// How often each report was sent: its value.
    told: [u32; 6],
}

impl Security {
    /// No message has come yet.
    pub fn new(users: Vec<User>, own: Own) -> Self {
        Security { users, own, own_keys: HashMap::new(), engines: HashMap::new(), told: [0; 6] }
    }

    /// Our engine's id.
    pub fn engine_id(&self) -> &[u8] {
        &self.own.id
    }

    /// Engines whose clocks are known.
    pub fn engines(&self) -> usize {
        self.engines.len()
    }

    /// Judges a message; `datagram` is all of it.
    pub fn judge(&mut self, message: &V3<'_>, datagram: &[u8], now: Instant) -> Judged {
        let ours = message.engine == self.own.id;
        let wants_answer = message.flags & REPORTABLE != 0;
        // An inform's sender that does not know our engine; a trap's sender is its own authority.
        if !ours && (message.engine.is_empty() || wants_answer) {
            if !wants_answer {
                return Judged::Refused { why: Refusal::UnknownEngine, report: None };
            }
            let report = self.report(message, Refusal::UnknownEngine, None, now);
            return Judged::Asked { report };
        }
        let refused = |security: &mut Self, why| {
            let report = wants_answer.then(|| security.report(message, why, None, now));
            Judged::Refused { why, report }
        };
        let candidates: Vec<usize> = self.candidates(message, ours);
        if candidates.is_empty() {
            return refused(self, Refusal::UnknownUser);
        }
        let level = message.flags & (AUTHENTICATED | ENCRYPTED);
        let fits = |user: &User| level == level_of(user);
        if !candidates.iter().any(|n| self.users.get(*n).is_some_and(fits)) {
            return refused(self, Refusal::UnsupportedLevel);
        }
        // Devices may have one user name with different passwords.
        let genuine = candidates.iter().copied().find(|n| {
            self.users.get(*n).is_some_and(|u| fits(u) && is_genuine(u, message, datagram))
        });
        let Some(user) = genuine else {
            return refused(self, Refusal::WrongDigest);
        };
        if level & AUTHENTICATED != 0 && !self.is_timely(message, ours, now) {
            // Told authenticated, so that the sender believes our clock.
            let report = wants_answer
                .then(|| self.report(message, Refusal::NotInTimeWindow, Some(user), now));
            return match report {
                Some(report) if ours => Judged::Asked { report },
                report => Judged::Refused { why: Refusal::NotInTimeWindow, report },
            };
        }
        let Some(plain) = self.plain(message, user, ours) else {
            return refused(self, Refusal::Decryption);
        };
        match self.opened(message, user, &plain) {
            Ok(judged) => judged,
            // A wrong key makes noise of it.
            Err(_) if level & ENCRYPTED != 0 => refused(self, Refusal::Decryption),
            Err(error) => Judged::Malformed(error.to_string()),
        }
    }

    /// Seals an inform's answer; `salt` is random.
    pub fn seal(&mut self, reply: &Reply, salt: [u8; 8], now: Instant) -> Option<Vec<u8>> {
        let clock = self.own.clock(now);
        let key = self.key(reply.user, true, &[])?;
        let user = self.users.get(reply.user)?;
        let scoped = tlv(TYPE_SEQUENCE, &reply.scoped);
        let (data, salt) = match reply.flags & ENCRYPTED {
            0 => (scoped, Vec::new()),
            _ => {
                let sealed = user.encrypt(&key?, clock, salt, &scoped)?;
                (tlv(TYPE_OCTETSTRING, &sealed), salt.to_vec())
            }
        };
        Some(self.message(reply.id, reply.flags, Some(user), clock, &salt, &data))
    }

    fn candidates(&self, message: &V3<'_>, ours: bool) -> Vec<usize> {
        let right = |user: &User| {
            let engine = user.engine.as_deref();
            user.name == message.user && (ours || engine.is_none_or(|e| e == message.engine))
        };
        self.users.iter().enumerate().filter(|(_, u)| right(u)).map(|(n, _)| n).collect()
    }

    /// RFC 3414, 3.2, 7: whether the message is of now. Of other engines it is learnt what is.
    fn is_timely(&mut self, message: &V3<'_>, ours: bool, now: Instant) -> bool {
        let said = Clock { boots: message.boots, time: message.time };
        let exhausted = i64::from(i32::MAX);
        if ours {
            let clock = self.own.clock(now);
            return said.boots == clock.boots
                && said.boots != exhausted
                && (said.time - clock.time).abs() <= WINDOW;
        }
        if said.boots == exhausted {
            return false;
        }
        if !self.engines.contains_key(message.engine) && self.engines.len() >= MAX_ENGINES {
            self.make_room();
        }
        let known = self.engines.entry(message.engine.to_vec()).or_insert_with(|| Engine {
            clock: said,
            at: now,
            keys: HashMap::new(),
        });
        let passed = now.saturating_duration_since(known.at).as_secs();
        let there = known.clock.time.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let old = said.boots < known.clock.boots
            || (said.boots == known.clock.boots && said.time < there - WINDOW);
        if old {
            return false;
        }
        if said.boots > known.clock.boots || said.time > known.clock.time {
            known.clock = said;
            known.at = now;
        }
        true
    }

    fn make_room(&mut self) {
        let mut all: Vec<(Instant, Vec<u8>)> =
            self.engines.iter().map(|(id, engine)| (engine.at, id.clone())).collect();
        all.sort_unstable();
        for (_, id) in all.into_iter().take(MAX_ENGINES / 8) {
            self.engines.remove(&id);
        }
    }

    /// The user's privacy key at an engine. Outer `None` = there is none though there should be one.
    fn key(&mut self, user: usize, ours: bool, engine: &[u8]) -> Option<Option<Key>> {
        let known = self.users.get(user)?;
        if !known.encrypts() {
            return Some(None);
        }
        let (keys, id) = match ours {
            true => (&mut self.own_keys, self.own.id.as_slice()),
            false => (&mut self.engines.get_mut(engine)?.keys, engine),
        };
        if let Some(key) = keys.get(&user) {
            return Some(Some(key.clone()));
        }
        let key = known.privacy_key(id)?;
        keys.insert(user, key.clone());
        Some(Some(key))
    }

    /// The contents of the scoped PDU.
    fn plain(&mut self, message: &V3<'_>, user: usize, ours: bool) -> Option<Vec<u8>> {
        if message.flags & ENCRYPTED == 0 {
            return Some(message.data.to_vec());
        }
        let key = self.key(user, ours, message.engine)??;
        let clock = Clock { boots: message.boots, time: message.time };
        let plain = self.users.get(user)?.decrypt(&key, clock, message.salt, message.data)?;
        decode::decrypted(&plain).ok().map(<[u8]>::to_vec)
    }

    fn opened(
        &mut self,
        message: &V3<'_>,
        user: usize,
        plain: &[u8],
    ) -> Result<Judged, crate::source::snmp::message::DecodeError> {
        let scoped = scoped(plain)?;
        let notification = notification(&mut scoped.pdu.clone())?;
        let ours = message.engine == self.own.id;
        let reply = (notification.kind == Kind::Inform && ours).then(|| Reply {
            user,
            id: message.id,
            flags: message.flags & (AUTHENTICATED | ENCRYPTED),
            scoped: [
                tlv(TYPE_OCTETSTRING, scoped.engine),
                tlv(TYPE_OCTETSTRING, scoped.name),
                response(&notification),
            ]
            .concat(),
        });
        Ok(Judged::Accepted { notification, reply })
    }

    /// A report; authenticated by `user`, where one is given.
    fn report(
        &mut self,
        message: &V3<'_>,
        why: Refusal,
        user: Option<usize>,
        now: Instant,
    ) -> Vec<u8> {
        let slot = usize::try_from(why.number() - 1).ok().and_then(|n| self.told.get_mut(n));
        let count = slot.map_or(1, |count| {
            *count = count.wrapping_add(1);
            *count
        });
        let asked = match message.flags & ENCRYPTED {
            0 => scoped(message.data).ok().and_then(|s| decode::request_id(s.pdu)),
            _ => None,
        };
        let name = Oid::new(&USM_STATS).with(&[why.number(), 0]);
        // Counter32.
        let mut value = integer(i64::from(count));
        if let Some(tag) = value.first_mut() {
            *tag = 0x41;
        }
        let binding = [tlv(6, &name.to_ber()), value].concat();
        let list = tlv(TYPE_SEQUENCE, &tlv(TYPE_SEQUENCE, &binding));
        let pdu = [integer(i64::from(asked.unwrap_or(0))), integer(0), integer(0), list].concat();
        let scoped = [
            tlv(TYPE_OCTETSTRING, &self.own.id),
            tlv(TYPE_OCTETSTRING, &[]),
            tlv(MSG_REPORT, &pdu),
        ]
        .concat();
        let user = user.and_then(|n| self.users.get(n));
        let flags = if user.is_some() { AUTHENTICATED } else { 0 };
        let clock = self.own.clock(now);
        self.message(message.id, flags, user, clock, &[], &tlv(TYPE_SEQUENCE, &scoped))
    }

    /// A whole message of our engine; authenticated where the flags say so.
    fn message(
        &self,
        id: i64,
        flags: u8,
        user: Option<&User>,
        clock: Clock,
        salt: &[u8],
        data: &[u8],
    ) -> Vec<u8> {
        let header =
            [integer(id), integer(MAX_MESSAGE), tlv(TYPE_OCTETSTRING, &[flags]), integer(3)];
        let authenticated = flags & AUTHENTICATED != 0;
        let zeros = vec![0; user.filter(|_| authenticated).map_or(0, User::mac_bytes)];
        let security = [
            tlv(TYPE_OCTETSTRING, &self.own.id),
            integer(clock.boots),
            integer(clock.time),
            tlv(TYPE_OCTETSTRING, user.map(|u| u.name.as_slice()).unwrap_or_default()),
            tlv(TYPE_OCTETSTRING, &zeros),
            tlv(TYPE_OCTETSTRING, salt),
        ];
        let body = [
            integer(3),
            tlv(TYPE_SEQUENCE, &header.concat()),
            tlv(TYPE_OCTETSTRING, &tlv(TYPE_SEQUENCE, &security.concat())),
            data.to_vec(),
        ];
        let mut whole = tlv(TYPE_SEQUENCE, &body.concat());
        if authenticated {
            let mac = user.and_then(|user| user.mac(&self.own.id, &whole));
            let at = match decode::decode(&whole) {
                Ok(decode::Message::V3(v3)) => Some(v3.mac_at),
                _ => None,
            };
            let place = at.and_then(|at| whole.get_mut(at..at + zeros.len()));
            if let (Some(mac), Some(place)) = (mac, place) {
                place.copy_from_slice(&mac);
            }
        }
        whole
    }
}

fn level_of(user: &User) -> u8 {
    match (user.authenticates(), user.encrypts()) {
        (false, _) => 0,
        (true, false) => AUTHENTICATED,
        (true, true) => AUTHENTICATED | ENCRYPTED,
    }
}

fn is_genuine(user: &User, message: &V3<'_>, datagram: &[u8]) -> bool {
    if !user.authenticates() {
        return true;
    }
    if message.mac.len() != user.mac_bytes() {
        return false;
    }
    let mut zeroed = datagram.to_vec();
    let Some(place) = zeroed.get_mut(message.mac_at..message.mac_at + message.mac.len()) else {
        return false;
    };
    place.fill(0);
    user.mac(message.engine, &zeroed).is_some_and(|mac| same(&mac, message.mac))
}

/// The Response-PDU that answers an inform: its own bindings, no error.
pub fn response(notification: &Notification) -> Vec<u8> {
    let body = [
        integer(i64::from(notification.request_id)),
        integer(0),
        integer(0),
        tlv(TYPE_SEQUENCE, &notification.list),
    ];
    tlv(MSG_RESPONSE, &body.concat())
}

/// The answer to a version 2c inform.
pub fn answer_v2c(community: &[u8], notification: &Notification) -> Vec<u8> {
    let body = [integer(1), tlv(TYPE_OCTETSTRING, community), response(notification)];
    tlv(TYPE_SEQUENCE, &body.concat())
}

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
