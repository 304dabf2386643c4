//! Why a connection could not be made or ended, told apart for people and for the log.

use std::io;

use callhome_shared::websocket::Violation;
use rumqttc::v5::mqttbytes::Error as MqttError;
use rumqttc::v5::{ConnectionError, StateError};
use rustls::{AlertDescription, CertificateError};

/// One failed step.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Our certificate, key or the CA cannot be read.
    #[error("identity: {0}")]
    Identity(String),
    /// The host's name has no address.
    #[error("DNS: {host} cannot be resolved: {why}")]
    Dns {
        /// The name.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// TCP.
    #[error("no connection: {0}")]
    Connect(String),
    /// Nothing in time.
    #[error("time-out: {0}")]
    Timeout(&'static str),
    /// The proxy cannot be reached or does not let us through.
    #[error("proxy {0}")]
    Proxy(String),
    /// The proxy wants another log-in.
    #[error("proxy log-in: {0}")]
    ProxyAuth(String),
    /// The private socket between dialer and MQTT client.
    #[error("socket: {0}")]
    Socket(String),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// The WebSocket handshake, or frames that may not be.
    #[error("WebSocket: {0}")]
    WebSocket(String),
    /// Delivery over HTTPS.
    #[error("HTTPS: {0}")]
    Post(String),
    /// MQTT CONNACK with a reason.
    #[error("refused by the broker: {0}")]
    Refused(String),
    /// SUBACK with a reason.
    #[error("subscription refused by the broker: {0}")]
    Subscription(String),
    /// The broker's limits do not let our envelopes through.
    #[error("the broker takes packets of at most {0} bytes, {1} are needed: raise its limit")]
    PacketLimit(u32, u32),
    /// The broker said good-bye.
    #[error("closed by the broker: {0}")]
    Closed(String),
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Nothing moves although the connection seems to stand.
    #[error("stalled: {0}")]
    Stalled(&'static str),
}

impl Failure {
    /// A stable word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::Identity(_) => "identity",
            Failure::Dns { .. } => "dns",
            Failure::Connect(_) => "connect",
            Failure::Timeout(_) => "timeout",
            Failure::Proxy(_) => "proxy",
            Failure::ProxyAuth(_) => "proxy-auth",
            Failure::Socket(_) => "socket",
            Failure::Tls(_) => "tls",
            Failure::WebSocket(_) => "websocket",
            Failure::Post(_) => "https",
            Failure::Refused(_) => "refused",
            Failure::Subscription(_) => "subscription",
            Failure::PacketLimit(..) => "packet-limit",
            Failure::Closed(_) => "closed",
            Failure::Lost(_) => "lost",
            Failure::Stalled(_) => "stalled",
        }
    }

    /// What rumqttc says, sorted.
    pub fn from_client(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Timeout(_) => Failure::Timeout("no answer while connecting"),
            ConnectionError::Io(e) => Failure::from_stream(&e, Failure::Lost),
            ConnectionError::ConnectionRefused(code) => Failure::Refused(format!("{code:?}")),
            ConnectionError::MqttState(e) => from_state(e),
            other => Failure::Lost(other.to_string()),
        }
    }

    /// What the TLS handshake says.
    pub fn from_handshake(error: &io::Error) -> Self {
        match rustls_cause(error) {
            Some(cause) => Failure::Tls(tls_words(cause)),
            None => Failure::Tls(format!("handshake: {error}")),
        }
    }

    /// What hyper says of an HTTP connection.
    pub fn from_http(error: &hyper::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> =
            std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Failure::from_stream(io, Failure::Lost);
            }
            cause = inner.source();
        }
        Failure::Lost(error.to_string())
    }

    /// What an open connection says.
    pub fn from_stream(error: &io::Error, otherwise: fn(String) -> Failure) -> Self {
        if let Some(cause) = rustls_cause(error) {
            return Failure::Tls(tls_words(cause));
        }
        match error.get_ref().and_then(|cause| cause.downcast_ref::<Violation>()) {
            Some(violation) => Failure::WebSocket(violation.to_string()),
            None => otherwise(error.to_string()),
        }
    }
}

fn from_state(error: StateError) -> Failure {
    match error {
        StateError::Io(e) | StateError::Deserialization(MqttError::Io(e)) => {
            Failure::from_stream(&e, Failure::Lost)
        }
        StateError::ServerDisconnect { reason_code, reason_string } => {
            let reason = reason_string.unwrap_or_default();
            Failure::Closed(format!("{reason_code:?} {reason}").trim_end().to_owned())
        }
        StateError::ConnectionAborted => Failure::Lost("closed by the peer".into()),
        StateError::AwaitPingResp => Failure::Lost("no answer to a ping".into()),
        StateError::CollisionTimeout => Failure::Stalled("a packet id stays unanswered"),
        other => Failure::Lost(other.to_string()),
    }
}

/// The rustls error inside an I/O error, however deep.
pub fn rustls_cause(error: &io::Error) -> Option<&rustls::Error> {
    let mut cause: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(found) = cause.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error's `source` skips what it wraps.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => wrapped,
            None => cause.source()?,
        };
    }
}

/// What a TLS failure means for the person who must mend it.
pub fn tls_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(e) => match e {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired, or this host's clock is wrong".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet, or this host's clock is wrong".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the server's certificate is for another name: {e}")
            }
            // A collector set up anew has a CA of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate is from another CA than the one pinned here".into()
            }
            other => format!("the server's certificate is refused: {other}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRevoked => {
                "the server says: our certificate is revoked".into()
            }
            AlertDescription::CertificateExpired => {
                "the server says: our certificate has expired (or a clock is wrong)".into()
            }
            AlertDescription::UnknownCA => {
                "the server does not know the CA of our certificate".into()
            }
            AlertDescription::CertificateRequired => "the server asks for a certificate".into(),
            other => format!("the server refuses: {other:?}"),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        let revoked = rustls::Error::AlertReceived(AlertDescription::CertificateRevoked);
        let io = || io::Error::new(io::ErrorKind::InvalidData, revoked.clone());
        let plain = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, kind) in [
            (ConnectionError::Io(plain()), "lost"),
            (ConnectionError::Io(io()), "tls"),
            (ConnectionError::MqttState(StateError::Deserialization(MqttError::Io(io()))), "tls"),
            (ConnectionError::MqttState(StateError::Io(plain())), "lost"),
            (ConnectionError::MqttState(StateError::ConnectionAborted), "lost"),
        ] {
            assert_eq!(Failure::from_client(error).kind(), kind);
        }
        assert_eq!(Failure::from_handshake(&io()).kind(), "tls");
        let frame = io::Error::new(io::ErrorKind::InvalidData, Violation::Mask);
        assert_eq!(Failure::from_stream(&frame, Failure::Lost).kind(), "websocket");
        assert!(Failure::from_client(ConnectionError::Io(io())).to_string().contains("revoked"));
    }
}
