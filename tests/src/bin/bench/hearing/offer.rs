//! The sender: the same for every program.

use std::io::{BufWriter, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use callhome_tests::snmp_sim::{SimValue, trap_v2c};

use super::{Kind, Mix};

/// Ports that go down and are up again.
const PORTS: usize = 48;
/// The only community.
pub const COMMUNITY: &str = "public";

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// What.
    pub kind: Kind,
    /// Saying what.
    pub mix: Mix,
    /// Messages a second; 0 = as fast as it goes.
    pub rate: usize,
    /// For so long.
    pub seconds: u64,
}

impl Offer {
    /// Sends it; gives how many messages the kernel took.
    pub fn send(self, to: SocketAddr) -> Result<u64> {
        let messages = self.messages()?;
        if self.kind == Kind::Connection {
            let mut stream = BufWriter::with_capacity(16 * 1024, TcpStream::connect(to)?);
            let sent = self.paced(|n| {
                stream.write_all(&messages[n % messages.len()])?;
                // Whoever sends slowly does not gather.
                if self.rate > 0 && n.is_multiple_of(16) {
                    stream.flush()?;
                }
                Ok(true)
            })?;
            stream.flush()?;
            return Ok(sent);
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        self.paced(|n| Ok(socket.send(&messages[n % messages.len()]).is_ok()))
    }

    fn paced(&self, mut one: impl FnMut(usize) -> Result<bool>) -> Result<u64> {
        let (begun, time) = (Instant::now(), Duration::from_secs(self.seconds));
        let (mut n, mut sent) = (0, 0);
        loop {
            let elapsed = begun.elapsed();
            let over = elapsed >= time;
            let due = match self.rate {
                0 if over => n,
                0 => n + 256,
                rate => (rate as f64 * elapsed.min(time).as_secs_f64()) as usize,
            };
            while n < due {
                sent += u64::from(one(n)?);
                n += 1;
            }
            if over {
                return Ok(sent);
            }
            if self.rate > 0 {
                // On a thread of its own.
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    /// What is said, in a circle: all ports down, then all of them up.
    fn messages(&self) -> Result<Vec<Vec<u8>>> {
        (0..2 * PORTS).map(|n| self.message(n % PORTS + 1, n >= PORTS)).collect()
    }

    fn message(&self, port: usize, up: bool) -> Result<Vec<u8>> {
        if self.kind == Kind::Traps {
            return self.trap(port, up);
        }
        let text = match (self.mix, up) {
            (Mix::Chatter, _) => {
                format!(
                    "<189>45: %SYS-5-CONFIG_I: Configured from console by admin on vty{port} (192.0.2.17)"
                )
            }
            (Mix::Changes, up) => {
                let state = if up { "up" } else { "down" };
                format!(
                    "<187>45: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/{port}, changed state to {state}"
                )
            }
        };
        Ok(match self.kind {
            Kind::Connection => format!("{} {text}", text.len()).into_bytes(),
            _ => text.into_bytes(),
        })
    }

    fn trap(&self, port: usize, up: bool) -> Result<Vec<u8>> {
        let row = "1.3.6.1.2.1.2.2.1";
        let (trap, state) = match (self.mix, up) {
            (Mix::Chatter, _) => ("1.3.6.1.6.3.1.1.5.5", 1),
            (Mix::Changes, false) => ("1.3.6.1.6.3.1.1.5.3", 2),
            (Mix::Changes, true) => ("1.3.6.1.6.3.1.1.5.4", 1),
        };
        let name = SimValue::OctetString(format!("GigabitEthernet1/0/{port}").into_bytes());
        let vars = [
            (format!("{row}.1.{port}"), SimValue::Integer(i64::try_from(port)?)),
            (format!("{row}.2.{port}"), name),
            (format!("{row}.7.{port}"), SimValue::Integer(1)),
            (format!("{row}.8.{port}"), SimValue::Integer(state)),
        ];
        trap_v2c(COMMUNITY, trap, &vars)
    }
}
