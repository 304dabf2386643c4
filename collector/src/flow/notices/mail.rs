//! Mail: SMTP with TLS.

use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::settings::{MailServer, MailTls};

/// For one mail, from connecting to its end.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A programme wrote it: nobody's holiday answer is wanted (RFC 3834).
#[derive(Clone)]
struct Automatic;

impl Header for Automatic {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Automatic)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The way to the mail server.
pub(super) struct Postman {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: String,
}

/// Why a mail did not go.
pub(super) struct Undelivered {
    pub(super) why: String,
    /// Another try is of no use.
    pub(super) for_good: bool,
    /// It is the server's fault, not this mail's: the others need not try now.
    pub(super) server: bool,
}

impl Postman {
    pub(super) fn new(server: &MailServer) -> anyhow::Result<Self> {
        let mut tls = TlsParameters::builder(server.host.clone());
        if let Some(pem) = &server.ca {
            tls = tls.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
        }
        let tls = match server.tls {
            MailTls::Wrapped => Tls::Wrapper(tls.build_rustls()?),
            MailTls::StartTls => Tls::Required(tls.build_rustls()?),
            MailTls::Plain => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = &server.login {
            builder =
                builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(Postman { transport: builder.build(), from: server.from.clone() })
    }

    pub(super) async fn send(
        &self,
        id: &str,
        to: &str,
        subject: &str,
        text: &str,
    ) -> Result<String, Undelivered> {
        let wrong = |why: String| Undelivered { why, for_good: true, server: false };
        let from = self.from.parse().map_err(|e| wrong(format!("from: {e}")))?;
        let to = to.parse().map_err(|e| wrong(format!("to: {e}")))?;
        let host = self.from.rsplit_once('@').map_or("callhome", |(_, host)| host);
        let host = host.trim_end_matches('>');
        let message = Message::builder()
            .from(from)
            .to(to)
            .subject(subject)
            .message_id(Some(format!("<{id}@{host}>")))
            .date_now()
            .header(Automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())
            .map_err(|e| wrong(e.to_string()))?;
        let sending = tokio::time::timeout(TIMEOUT * 2, self.transport.send(message));
        match sending.await {
            Ok(Ok(answer)) => Ok(answer.message().collect::<Vec<_>>().join(" ")),
            Ok(Err(e)) => {
                let mut why = e.to_string();
                let mut cause = std::error::Error::source(&e);
                while let Some(inner) = cause {
                    why = format!("{why}: {inner}");
                    cause = inner.source();
                }
                let answered = e.is_permanent() || e.is_transient();
                Err(Undelivered { why, for_good: e.is_permanent(), server: !answered })
            }
            Err(_) => Err(Undelivered {
                why: "no answer in time".to_owned(),
                for_good: false,
                server: true,
            }),
        }
    }
}
