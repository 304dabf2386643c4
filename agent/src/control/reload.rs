//! `reload` over the control socket, and what is known of readings of the configuration.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::client::{self, ControlError};

/// A configuration with many files is read within this.
const READ: Duration = Duration::from_secs(30);
/// The agent has started again within this.
const BACK: Duration = Duration::from_secs(60);

/// What became of a configuration that was read again; the error says why it is refused.
pub type Asked = Result<Taken, String>;

/// What a good configuration leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// It says what it said before.
    Same,
    /// The agent goes over to it.
    Changed,
}

/// What is known of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// When the one in force was read.
    pub read_at: Time,
    /// How often another one was taken since the start of the process.
    pub changes: u64,
    /// How often one was refused.
    pub refusals: u64,
    /// When the newest was refused; `None`: it was taken.
    #[serde(default)]
    pub refused_at: Option<Time>,
    /// Why, as `check` says it.
    #[serde(default)]
    pub refused_because: Option<String>,
}

/// Asks for the configuration to be read again. Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    requests: mpsc::Sender<oneshot::Sender<Asked>>,
    picture: Arc<Mutex<Picture>>,
}

impl Asker {
    /// Sends requests there; `picture` is kept by who answers them.
    pub fn new(
        requests: mpsc::Sender<oneshot::Sender<Asked>>,
        picture: Arc<Mutex<Picture>>,
    ) -> Self {
        Asker { requests, picture }
    }

    /// What is known; to be changed by who answers.
    pub fn picture(&self) -> &Mutex<Picture> {
        &self.picture
    }

    /// What is known.
    pub fn report(&self) -> Picture {
        let picture: MutexGuard<'_, Picture> =
            self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        picture.clone()
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self) -> Asked {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(reply).await.ok()?;
            answer.await.ok()
        };
        match timeout(READ, asked).await {
            Ok(Some(answer)) => answer,
            _ => Err("the configuration is not read now".to_owned()),
        }
    }
}

/// `callhome-agent reload`: asks, and waits until the agent is there again.
pub async fn run(socket: &Path) -> anyhow::Result<()> {
    let before = client::status(socket).await?;
    if client::reload(socket).await? == Taken::Same {
        println!("the configuration says the same as before");
        return Ok(());
    }
    let until = Instant::now() + BACK;
    loop {
        match client::status(socket).await {
            Ok(status) if status.agent.started_at != before.agent.started_at => break,
            Err(ControlError::Refused(why)) => bail!(why),
            _ if Instant::now() >= until => bail!("the agent does not answer again"),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
    println!("the new configuration is in force");
    Ok(())
}
