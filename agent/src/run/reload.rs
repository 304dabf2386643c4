//! The configuration is read again: by SIGHUP, or by `callhome-agent reload`.
//!
//! A bad one is refused in the words of `check`, and the old one goes on. With a good one that says something
//! else the agent stops in order and starts again inside the same process, without giving up its place in the
//! state directory: whatever outlives a restart outlives this.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use callhome_shared::time::Time;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::config;
use crate::settings::Settings;

pub use crate::control::reload::{Asked, Asker, Picture, Taken};

/// Requests that wait.
const REQUESTS: usize = 4;

/// Waits for reasons to read the configuration again.
pub struct Reload {
    path: PathBuf,
    hangup: Signal,
    requests: mpsc::Receiver<oneshot::Sender<Asked>>,
    asker: Asker,
}

impl Reload {
    /// For the configuration file at `path`, which was read just now.
    pub fn new(path: PathBuf) -> std::io::Result<Self> {
        let (send, requests) = mpsc::channel(REQUESTS);
        let picture = Picture { read_at: Time::now(), ..Picture::default() };
        let asker = Asker::new(send, Arc::new(Mutex::new(picture)));
        Ok(Reload { path, hangup: signal(SignalKind::hangup())?, requests, asker })
    }

    /// Who is asked for it, and what became of it.
    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Waits until there is a good configuration that says something else than `present`.
    pub(super) async fn wanted(&mut self, present: &Settings) -> Settings {
        loop {
            let reply = tokio::select! {
                _ = self.hangup.recv() => None,
                request = self.requests.recv() => request,
            };
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
            let judged = match read {
                Ok(Ok(next)) => judge(present, &next).map(|taken| (taken, next)),
                Ok(Err(problems)) => Err(problems.to_string()),
                Err(panic) => Err(panic.to_string()),
            };
            let (answer, next) = match judged {
                Err(why) => {
                    tracing::error!(why, "the configuration is refused; the old one goes on");
                    (Err(why), None)
                }
                Ok((Taken::Same, _)) => {
                    tracing::info!("the configuration says the same as before");
                    (Ok(Taken::Same), None)
                }
                Ok((Taken::Changed, next)) => (Ok(Taken::Changed), Some(next)),
            };
            self.note(&answer);
            if let Some(reply) = reply {
                let _ = reply.send(answer);
            }
            if let Some(next) = next {
                return next;
            }
        }
    }

    fn note(&self, answer: &Asked) {
        let mut picture = self.asker.picture().lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(taken) => {
                picture.read_at = Time::now();
                picture.changes += u64::from(*taken == Taken::Changed);
                picture.refused_at = None;
                picture.refused_because = None;
            }
            Err(why) => {
                picture.refusals += 1;
                picture.refused_at = Some(Time::now());
                picture.refused_because = Some(why.chars().take(4000).collect());
            }
        }
    }
}

/// Whether the next configuration can follow the present one, and says something else.
fn judge(present: &Settings, next: &Settings) -> Result<Taken, String> {
    for (key, same) in [
        ("agent.state_dir", present.state_dir == next.state_dir),
        ("agent.log_json", present.log.json == next.log.json),
        ("agent.log", present.log.filter == next.log.filter),
    ] {
        if !same {
            return Err(format!("{key} cannot change while the agent runs: restart it"));
        }
    }
    super::may_run(next)?;
    let same = present.read_from == next.read_from;
    Ok(if same { Taken::Same } else { Taken::Changed })
}
