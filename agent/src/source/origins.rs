//! Which device a message is from: by the sender's address, or by the host name it says.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use callhome_shared::alarm::Device;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two looks at what the names of polled devices resolve to.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);
/// After a name that could not be resolved.
const RESOLVE_AGAIN: Duration = Duration::from_secs(15);

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`; the error says what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expected an IP address such as 192.0.2.7, or a prefix such as 192.0.2.0/24";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| expected)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| expected)?;
        let address = address.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(expected) } else { Ok(Prefix { address, bits }) }
    }

    /// Whether an address is one of these.
    pub fn holds(&self, address: IpAddr) -> bool {
        let (own, other) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (widened(own), widened(other)),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits()),
            _ => return false,
        };
        let differing = (own ^ other).leading_zeros();
        differing >= u32::from(self.bits)
    }
}

/// An IPv4 address's bits, in front.
fn widened(address: std::net::Ipv4Addr) -> u128 {
    u128::from(address.to_bits()) << 96
}

/// Where a device sends from, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// The device, as configured.
    pub device: Arc<Device>,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// Host names it says of itself.
    pub hosts: Vec<String>,
}

/// What is configured of senders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OriginSettings {
    /// Named ones. The longest prefix wins.
    pub senders: Vec<Sender>,
    /// The polled devices with the hosts (names or addresses) that they are polled at.
    pub polled: Vec<(Arc<Device>, String)>,
    /// Who hands on what others said: their messages are from the host they name.
    pub relays: Vec<Prefix>,
}

/// The senders, resolved. Cheap to clone: all clones learn what [`Origins::take_over`] tells one of them.
#[derive(Clone, Debug)]
pub struct Origins(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Arc<Inner>>,
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    settings: OriginSettings,
    names: HashMap<String, Arc<Device>>,
    /// The polled devices by the addresses they have now.
    resolved: RwLock<HashMap<IpAddr, Arc<Device>>>,
}

/// What is known of a message's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By the sender's address.
    Address(Arc<Device>),
    /// By the host name in the message.
    Host(Arc<Device>),
    /// No device is known by either.
    Unknown,
}

impl Origins {
    /// What is known without asking anybody: addresses, and names as they are configured.
    pub fn new(settings: OriginSettings) -> Self {
        let mut names = HashMap::new();
        for (device, _) in &settings.polled {
            names.entry(plain(&device.name)).or_insert_with(|| device.clone());
        }
        for sender in &settings.senders {
            let said = sender.hosts.iter().chain([&sender.device.name]);
            for name in said {
                names.insert(plain(name), sender.device.clone());
            }
        }
        let literal = |(device, host): &(Arc<Device>, String)| {
            Some((host.parse::<IpAddr>().ok()?.to_canonical(), device.clone()))
        };
        let resolved = RwLock::new(settings.polled.iter().filter_map(literal).collect());
        let inner = Mutex::new(Arc::new(Inner { settings, names, resolved }));
        Origins(Arc::new(Shared { inner, changed: Notify::new() }))
    }

    /// Says from now on what `next` says. Addresses that a name was resolved to stay known meanwhile.
    pub fn take_over(&self, next: &Origins) {
        let (old, next) = (self.now(), next.now());
        if Arc::ptr_eq(&old, &next) || old.settings == next.settings {
            return;
        }
        {
            let known = old.resolved.read().unwrap_or_else(PoisonError::into_inner);
            let mut resolved = next.resolved.write().unwrap_or_else(PoisonError::into_inner);
            for (address, device) in known.iter() {
                let host = |(polled, _): &&(Arc<Device>, String)| polled.name == device.name;
                let before = old.settings.polled.iter().find(host);
                let same = |(polled, host): &&(Arc<Device>, String)| {
                    before.is_some_and(|(old, at)| old.name == polled.name && at == host)
                };
                if let Some((polled, _)) = next.settings.polled.iter().find(same) {
                    resolved.entry(*address).or_insert_with(|| polled.clone());
                }
            }
        }
        *self.0.inner.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.0.changed.notify_one();
    }

    fn now(&self) -> Arc<Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The device that sends from an address.
    pub fn by_address(&self, address: IpAddr) -> Option<Arc<Device>> {
        let address = address.to_canonical();
        let inner = self.now();
        let senders = inner.settings.senders.iter();
        let fitting = senders.flat_map(|sender| {
            let held = sender.addresses.iter().filter(|prefix| prefix.holds(address));
            held.map(move |prefix| (prefix.bits, &sender.device))
        });
        if let Some((_, device)) = fitting.max_by_key(|(bits, _)| *bits) {
            return Some(device.clone());
        }
        inner.resolved.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }

    /// The device that calls itself so. A name with a domain is looked for without it, too.
    pub fn by_host(&self, host: &str) -> Option<Arc<Device>> {
        let host = plain(host);
        let short = host.split('.').next().unwrap_or_default();
        let inner = self.now();
        let found = inner.names.get(&host).or_else(|| inner.names.get(short));
        found.cloned().or_else(|| self.by_address(host.parse().ok()?))
    }

    /// Whose message it is. The address goes before the host name, except where a relay sends.
    pub fn of(&self, address: IpAddr, host: Option<&str>) -> Origin {
        let relayed = self.is_relay(address);
        let by_host = || host.and_then(|host| self.by_host(host));
        if relayed && let Some(device) = by_host() {
            return Origin::Host(device);
        }
        match self.by_address(address) {
            Some(device) => Origin::Address(device),
            None => by_host().map_or(Origin::Unknown, Origin::Host),
        }
    }

    /// Whether this sender hands on what others said.
    pub fn is_relay(&self, address: IpAddr) -> bool {
        self.now().settings.relays.iter().any(|prefix| prefix.holds(address))
    }

    /// Keeps the addresses of polled devices that are configured by name up to date.
    pub async fn resolve(self, stop: CancellationToken) {
        loop {
            let wait = self.now().look_up().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.0.changed.notified() => {}
            }
        }
    }
}

impl Inner {
    /// Asks for the addresses of all names; says how long they are good for.
    async fn look_up(&self) -> Duration {
        let polled = self.settings.polled.iter();
        let named = polled.filter(|(_, host)| host.parse::<IpAddr>().is_err());
        let mut wait = RESOLVE_EVERY;
        for (device, host) in named {
            match tokio::net::lookup_host((host.as_str(), 0)).await {
                Ok(found) => self.learn(device, found.map(|a| a.ip().to_canonical())),
                // What it was before is better than nothing.
                Err(_) => wait = RESOLVE_AGAIN,
            }
        }
        wait
    }

    fn learn(&self, device: &Arc<Device>, addresses: impl Iterator<Item = IpAddr>) {
        let mut resolved = self.resolved.write().unwrap_or_else(PoisonError::into_inner);
        resolved.retain(|address, known| {
            !Arc::ptr_eq(known, device) || self.is_literal(device, *address)
        });
        for address in addresses {
            resolved.entry(address).or_insert_with(|| device.clone());
        }
    }

    /// Whether a device is polled at this very address, too.
    fn is_literal(&self, device: &Arc<Device>, address: IpAddr) -> bool {
        self.settings.polled.iter().any(|(polled, host)| {
            Arc::ptr_eq(polled, device)
                && host.parse::<IpAddr>().is_ok_and(|a| a.to_canonical() == address)
        })
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(name: &str) -> Arc<Device> {
        Arc::new(Device { name: name.to_owned(), id: name.to_owned(), ..Device::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sender(name: &str, addresses: &[&str], hosts: &[&str]) -> Sender {
        Sender {
            device: device(name),
            addresses: addresses.iter().map(|a| Prefix::parse(a).unwrap()).collect(),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        }
    }

    fn origins() -> Origins {
        Origins::new(OriginSettings {
            senders: vec![
                sender("wide", &["10.0.0.0/8", "2001:db8::/32"], &[]),
                sender("narrow", &["10.1.0.0/16"], &["Core-1"]),
            ],
            polled: vec![
                (device("array"), "192.0.2.7".into()),
                (device("host"), "localhost".into()),
            ],
            relays: vec![Prefix::parse("192.0.2.9").unwrap()],
        })
    }

    #[test]
    fn addresses_go_before_names_except_from_a_relay() {
        let origins = origins();
        let name = |address: &str, host: Option<&str>| match origins.of(ip(address), host) {
            Origin::Address(device) => format!("a {}", device.name),
            Origin::Host(device) => format!("h {}", device.name),
            Origin::Unknown => "?".to_owned(),
        };
        for (address, host, expected) in [
            ("10.9.9.9", None, "a wide"),
            ("10.1.9.9", Some("array"), "a narrow"),
            ("::ffff:10.1.0.1", None, "a narrow"),
            ("2001:db8:1::1", None, "a wide"),
            ("192.0.2.7", None, "a array"),
            ("198.51.100.1", Some("core-1.example.net"), "h narrow"),
            ("198.51.100.1", Some("192.0.2.7"), "h array"),
            ("198.51.100.1", Some("nobody"), "?"),
            ("198.51.100.1", None, "?"),
            ("192.0.2.9", Some("ARRAY"), "h array"),
        ] {
            assert_eq!(name(address, host), expected, "{address} {host:?}");
        }
    }

    #[test]
    fn prefixes() {
        for bad in ["", "x", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3/8", "1.2.3.4/-1"] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
        assert!(Prefix::parse("0.0.0.0/0").unwrap().holds(ip("203.0.113.1")));
        assert!(!Prefix::parse("0.0.0.0/0").unwrap().holds(ip("2001:db8::1")));
    }

    #[tokio::test]
    async fn names_of_polled_devices_are_resolved() {
        let origins = origins();
        assert_eq!(origins.by_address(ip("127.0.0.1")), None);
        let stop = CancellationToken::new();
        let task = tokio::spawn(origins.clone().resolve(stop.clone()));
        while origins.by_address(ip("127.0.0.1")).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(origins.by_address(ip("192.0.2.7")).unwrap().name, "array");
        stop.cancel();
        task.await.unwrap();
    }

    proptest! {
        #[test]
        fn prop_a_prefix_never_panics_and_holds_its_own(text in "[0-9a-f.:/]{0,24}", v4: u32, bits in 0u8..=32) {
            if let Ok(prefix) = Prefix::parse(&text) {
                prop_assert!(prefix.holds(prefix.address));
            }
            let address = std::net::Ipv4Addr::from(v4);
            let prefix = Prefix::parse(&format!("{address}/{bits}")).unwrap();
            prop_assert!(prefix.holds(address.into()));
            let flipped = std::net::Ipv4Addr::from(v4 ^ (1 << 31));
            prop_assert_eq!(prefix.holds(flipped.into()), bits == 0);
        }
    }
}
