//! A child process whose standard error is kept in a file and watched for stage marks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::stages;

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    last_stage: Arc<Mutex<Option<&'static str>>>,
    marks: broadcast::Sender<&'static str>,
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts `program`; its standard output and error go to `log` (appended).
    pub async fn start<S: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: &[S],
        envs: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(program)
            .args(args)
            .envs(envs.iter().copied())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (marks, _) = broadcast::channel(4096);
        let last_stage = Arc::new(Mutex::new(None));
        let reader = tokio::spawn(pump(stderr, log.to_owned(), last_stage.clone(), marks.clone()));
        Ok(Process { name: name.to_owned(), child, log: log.to_owned(), last_stage, marks, reader })
    }

    /// Process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until the program prints a mark of `stage`; `false` when none came within `limit`.
    pub async fn reach(&self, stage: &str, limit: Duration) -> bool {
        let mut marks = self.marks.subscribe();
        let seen = async {
            loop {
                match marks.recv().await {
                    Ok(mark) if mark == stage => return true,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return false,
                }
            }
        };
        tokio::time::timeout(limit, seen).await.unwrap_or(false)
    }

    /// The last stage the process printed so far.
    pub fn last_stage(&self) -> Option<&'static str> {
        *self.last_stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(id)?).context("pid")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// kill -9; gives the last stage the process reached.
    pub async fn kill9(mut self) -> Result<Option<&'static str>> {
        self.child.start_kill()?;
        self.child.wait().await?;
        // The rest of what it wrote is still in the pipe: the stage counts only when that is read.
        let _ = tokio::time::timeout(Duration::from_secs(10), &mut self.reader).await;
        Ok(self.last_stage())
    }

    /// A signal that ends it, and the wait for that, however it ends; killed after `limit`.
    pub async fn end(mut self, signal: rustix::process::Signal, limit: Duration) -> Result<()> {
        self.signal(signal)?;
        if tokio::time::timeout(limit, self.child.wait()).await.is_err() {
            self.child.start_kill()?;
            self.child.wait().await?;
        }
        Ok(())
    }

    /// SIGTERM and wait; an error when it takes longer than `limit` or ends badly.
    pub async fn stop(mut self, limit: Duration) -> Result<()> {
        if let Some(id) = self.child.id() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(id)?).context("pid")?;
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!("{} ended with {status}; see {}", self.name, self.log.display());
                }
                Ok(())
            }
            Err(_) => {
                self.child.start_kill()?;
                bail!("{} did not stop within {limit:?}", self.name)
            }
        }
    }
}

async fn pump(
    stderr: tokio::process::ChildStderr,
    log: PathBuf,
    last: Arc<Mutex<Option<&'static str>>>,
    marks: broadcast::Sender<&'static str>,
) {
    let file = tokio::fs::OpenOptions::new().create(true).append(true).open(&log).await;
    let Ok(mut file) = file else { return };
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let text = String::from_utf8_lossy(&line);
        if let Some(stage) = stages::in_line(&text) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
            let _ = marks.send(stage);
        } else {
            let _ = file.write_all(&line).await;
            let _ = file.write_all(b"\n").await;
        }
    }
    let _ = file.flush().await;
}

/// Runs a program to its end; its standard output, or an error with both outputs.
pub async fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    input: Option<&str>,
) -> Result<String> {
    let (status, out, err) = run_any(program, args, input).await?;
    if !status.success() {
        let args: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
        bail!("{} {} ended with {status}\n{out}{err}", program.display(), args.join(" "));
    }
    Ok(out)
}

/// Runs a program to its end, whatever that is: status, standard output, standard error.
pub async fn run_any<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    input: Option<&str>,
) -> Result<(ExitStatus, String, String)> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
        stdin.write_all(text.as_bytes()).await?;
    }
    let out = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output())
        .await
        .with_context(|| format!("{} ran for over two minutes", program.display()))??;
    Ok((
        out.status,
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    ))
}
