//! `callhome-agent bundle …`: everything is asked of the running agent; files are read here, with the
//! rights of who runs the command.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use bytes::Bytes;
use callhome_shared::bundle::Subject;
use callhome_shared::time::Time;
use clap::Subcommand;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::frames::{Begin, FileHead, Frame, MAX_FRAME};
use super::record::{about, check_subject, did};
use super::{MANIFEST, Record, State};
use crate::control::bundles::Shown;
use crate::control::client::{self, ControlError};

/// The name of standard input in an archive.
const STDIN: &str = "stdin.txt";

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pack files for a ticket or an alarm. Unless the configuration says otherwise, nothing of them
    /// leaves before it is approved.
    Create {
        /// The ticket's number, such as T-000123.
        #[arg(long)]
        ticket: Option<String>,
        /// The alarm's id, as in status.
        #[arg(long)]
        alarm: Option<Uuid>,
        /// A word about it.
        #[arg(long)]
        note: Option<String>,
        /// A file that is no text and goes as it is, without redaction; may be given several times.
        #[arg(long, value_name = "FILE")]
        binary: Vec<PathBuf>,
        /// Text files; they are redacted. - is standard input.
        files: Vec<PathBuf>,
    },
    /// List the bundles.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what is in a bundle; or one of its files, exactly as it would leave.
    Show {
        /// Its id, or four or more characters of its beginning or end.
        id: String,
        /// A file in it, manifest.json among them.
        file: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a bundle go.
    Approve {
        /// Its id, or a part of it.
        id: String,
    },
    /// Say no: nothing of it ever leaves.
    Deny {
        /// Its id, or a part of it.
        id: String,
    },
    /// Give up one that is approved and not sent yet.
    Cancel {
        /// Its id, or a part of it.
        id: String,
    },
}

/// Does it, and prints what came of it.
pub async fn run(command: Command, socket: &Path) -> anyhow::Result<()> {
    match command {
        Command::Create { ticket, alarm, note, binary, files } => {
            let begin = Begin { subject: Subject { ticket, alarm_id: alarm }, note };
            let record = create(socket, begin, files, binary).await?;
            print!("{}", one(&record));
            if record.state == State::Held {
                let id = record.id;
                println!(
                    "nothing has left yet: look with bundle show {id}, then bundle approve {id}"
                );
            }
        }
        Command::List { json } => {
            let records = client::bundles(socket).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&records)?),
                false => print!("{}", list(&records)),
            }
        }
        Command::Show { id, file: Some(file), .. } => {
            let mut out = io::stdout().lock();
            client::bundle_file(socket, &id, &file, |piece| out.write_all(piece)).await?;
            out.flush()?;
        }
        Command::Show { id, file: None, json } => {
            let shown = client::bundle(socket, &id).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&shown)?),
                false => print!("{}", show(&shown)),
            }
        }
        Command::Approve { id } => {
            print!("{}", one(&client::decide(socket, &id, "approve").await?))
        }
        Command::Deny { id } => print!("{}", one(&client::decide(socket, &id, "deny").await?)),
        Command::Cancel { id } => print!("{}", one(&client::decide(socket, &id, "cancel").await?)),
    }
    Ok(())
}

/// One line.
fn one(record: &Record) -> String {
    let Record { id, size, state, files, .. } = record;
    let mut text = format!(
        "{id}  {:<9} {:<10} {size} bytes, {files} file{}",
        state.as_str(),
        about(&record.subject),
        if *files == 1 { "" } else { "s" }
    );
    if *state == State::Approved {
        let _ = write!(text, ", {} at the collector", record.upload.offset);
        if let Some(trouble) = &record.upload.trouble {
            let _ = write!(text, "; {}: {}", trouble.at, trouble.text);
        }
    }
    if let Some(reason) = &record.reason {
        let _ = write!(text, ": {reason}");
    }
    text.push('\n');
    text
}

fn list(records: &[Record]) -> String {
    match records.is_empty() {
        true => "no bundles\n".to_owned(),
        false => records.iter().map(one).collect(),
    }
}

fn show(Shown { record, contents }: &Shown) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:<10} {text}");
    };
    line("bundle", &record.id.to_string());
    line("about", &about(&record.subject));
    line("state", record.state.as_str());
    if let Some(reason) = &record.reason {
        line("because", reason);
    }
    line("archive", &format!("{}, {} bytes", record.name, record.size));
    line("sha256", &record.sha256);
    line("packed", &format!("{} by {}", record.created_at, record.created_by));
    if let Some(note) = &record.note {
        line("note", note);
    }
    if let Some(decided) = &record.decided {
        let what = if record.state == State::Denied { "denied" } else { "approved" };
        let by = decided.by.as_ref().map_or("the configuration".to_owned(), ToString::to_string);
        line(what, &format!("{} by {by}", decided.at));
    }
    if let Some(decided) = &record.cancelled {
        let by = decided.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
        line("cancelled", &format!("{}{by}", decided.at));
    }
    let upload = &record.upload;
    if upload.sent_bytes > 0 {
        let Record { size, .. } = record;
        let text = format!(
            "{} of {size} bytes at the collector; {} handed over in {} chunks",
            upload.offset, upload.sent_bytes, upload.chunks
        );
        line("upload", &text);
    }
    if let Some(trouble) = &upload.trouble {
        line("trouble", &format!("{}: {}", trouble.at, trouble.text));
    }
    for (n, content) in contents.iter().enumerate() {
        let name = if n == 0 { "files" } else { "" };
        let (size, did) = (content.size, did(content.redacted));
        line(name, &format!("{}, {size} bytes, {did}", content.name));
    }
    line("", &format!("{MANIFEST}: what was replaced in each, by rule"));
    out
}

/// A file that was opened before anything is sent.
struct Opened {
    file: Box<dyn io::Read + Send>,
    head: FileHead,
}

async fn create(
    socket: &Path,
    begin: Begin,
    files: Vec<PathBuf>,
    binary: Vec<PathBuf>,
) -> anyhow::Result<Record> {
    check_subject(&begin.subject).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(!files.is_empty() || !binary.is_empty(), "expected at least one file");
    let texts = files.iter().map(|path| open(path, false));
    let binaries = binary.iter().map(|path| open(path, true));
    let opened = texts.chain(binaries).collect::<anyhow::Result<Vec<Opened>>>()?;
    let (frames, queue) = mpsc::channel(4);
    let (ended, mut end) = oneshot::channel();
    // Not joined: after a refusal it may wait for standard input for ever.
    std::thread::spawn(move || ended.send(read_all(begin, opened, &frames)));
    let made = client::make_bundle(socket, queue).await;
    match (made, end.try_recv()) {
        // The agent only knows that the files did not come to their end.
        (Err(ControlError::Refused(_) | ControlError::Answer(_)), Ok(Err(error))) => Err(error),
        (made, _) => Ok(made?),
    }
}

fn open(path: &Path, binary: bool) -> anyhow::Result<Opened> {
    if path == Path::new("-") {
        let head = FileHead { name: STDIN.to_owned(), binary, modified_at: None };
        return Ok(Opened { file: Box::new(io::stdin()), head });
    }
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{shown}"))?;
    let about = file.metadata().with_context(|| format!("{shown}"))?;
    anyhow::ensure!(about.is_file(), "{shown} is no ordinary file");
    let written = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified_at = written.and_then(|at| i64::try_from(at.as_millis()).ok()).map(Time);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let head = FileHead { name: name.unwrap_or_default(), binary, modified_at };
    Ok(Opened { file: Box::new(file), head })
}

/// Sends everything. Nobody listening any more is no error: the agent has answered.
fn read_all(
    begin: Begin,
    opened: Vec<Opened>,
    frames: &mpsc::Sender<io::Result<Bytes>>,
) -> anyhow::Result<()> {
    let send = |frame: Frame| frames.blocking_send(Ok(frame.encode())).is_ok();
    if !send(Frame::Begin(begin)) {
        return Ok(());
    }
    for Opened { mut file, head } in opened {
        let name = head.name.clone();
        if !send(Frame::File(head)) {
            return Ok(());
        }
        loop {
            let mut piece = Vec::with_capacity(MAX_FRAME);
            let read = file.by_ref().take(MAX_FRAME as u64).read_to_end(&mut piece);
            if let Err(error) = read {
                // The stream breaks off: the agent throws away what it has.
                let _ = frames.blocking_send(Err(io::Error::other("not read")));
                return Err(error).context(name);
            }
            if piece.is_empty() {
                break;
            }
            if !send(Frame::Data(piece.into())) {
                return Ok(());
            }
        }
        if !send(Frame::EndOfFile) {
            return Ok(());
        }
    }
    send(Frame::End);
    Ok(())
}
