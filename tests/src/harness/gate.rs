//! A port that can be shut: what a firewall does to one road and not to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Carries TCP connections to another port of 127.0.0.1 while it is open.
pub struct Gate {
    /// Where it listens.
    pub port: u16,
    open: watch::Sender<bool>,
    passed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
        self.open.send_replace(false);
    }
}

impl Gate {
    /// An open one in front of `port`.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let here = listener.local_addr()?.port();
        let (open, state) = watch::channel(true);
        let passed = Arc::new(AtomicU64::new(0));
        let count = passed.clone();
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow_and_update() {
                    continue;
                }
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(from, port) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Ok(Gate { port: here, open, passed, task })
    }

    /// Ends all connections and lets none in.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections in again.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many connections were let in.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn carry(mut from: TcpStream, port: u16) {
    if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}
