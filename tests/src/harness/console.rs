//! A device's serial console: one end of a pseudo-terminal that prints lines and answers commands.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};

/// What the console answers to a command line, as full lines.
pub type Answers = Arc<Mutex<Vec<(String, String)>>>;

/// A switch's console on a pseudo-terminal.
pub struct Console {
    master: std::fs::File,
    // Kept open so that the line does not hang up when the agent dies, like a real cable.
    slave: OwnedFd,
    path: PathBuf,
    answers: Answers,
}

/// The cable between console and agent.
pub struct Line(OwnedFd);

impl Line {
    /// Throws away what was printed and not read: a real cable keeps nothing either.
    pub fn forget_unread(&self) -> Result<()> {
        tcflush(&self.0, QueueSelector::IFlush)?;
        Ok(())
    }
}

impl Console {
    /// Opens a pair and starts answering. `prompt` ends every answer.
    pub fn open(prompt: &str) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string().context("pts name")?);
        let slave = std::fs::OpenOptions::new().read(true).write(true).open(&path)?.into();
        let mut raw = tcgetattr(&slave)?;
        raw.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &raw)?;
        let console = Console { master: master.into(), slave, path, answers: Answers::default() };
        console.answer_commands(prompt)?;
        Ok(console)
    }

    /// What the agent opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Prints one line.
    pub fn line(&self, text: &str) -> Result<()> {
        (&self.master).write_all(format!("{text}\r\n").as_bytes())?;
        Ok(())
    }

    /// From now on `command` is answered with `text` (lines, then the prompt).
    pub fn set_answer(&self, command: &str, text: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(c, _)| c != command);
        answers.push((command.to_owned(), text.to_owned()));
    }

    /// The cable alone, for who unplugs it while another task prints.
    pub fn line_handle(&self) -> Result<Line> {
        Ok(Line(self.slave.try_clone()?))
    }

    fn answer_commands(&self, prompt: &str) -> Result<()> {
        let mut master = self.master.try_clone()?;
        let answers = self.answers.clone();
        let prompt = prompt.to_owned();
        // A thread of its own: it ends when the master is closed with the process.
        std::thread::spawn(move || {
            let mut typed = String::new();
            let mut buffer = [0_u8; 256];
            while let Ok(n) = master.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                typed.push_str(&String::from_utf8_lossy(&buffer[..n]));
                while let Some(end) = typed.find(['\r', '\n']) {
                    let command: String = typed.drain(..=end).collect();
                    let command = command.trim().to_owned();
                    let answer = answers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .iter()
                        .find(|(c, _)| *c == command)
                        .map(|(_, a)| a.clone());
                    let Some(answer) = answer else { continue };
                    let text = format!("{command}\r\n{}\r\n{prompt}", answer.replace('\n', "\r\n"));
                    if master.write_all(text.as_bytes()).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(())
    }
}
