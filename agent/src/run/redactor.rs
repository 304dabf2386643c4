//! The redactor with the site's key, which is made here and never leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use callhome_shared::heartbeat::hex;
use rand::RngCore as _;
use zeroize::Zeroizing;

use crate::redact::{KEY_BYTES, Key, Redactor};
use crate::settings::Settings;

/// In the state directory, mode 0600: hexadecimal digits and an end of line.
const FILE: &str = "pseudonym.key";

/// The redactor; makes the key at the first start. With another key every pseudonym would be another
/// one, so a key that cannot be read is an error and is never replaced.
pub fn redactor(settings: &Settings) -> anyhow::Result<Redactor> {
    let path = path(settings);
    let key = match read(&path) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(&path).with_context(|| format!("key for pseudonyms {}", path.display()))?
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    Ok(Redactor::new(settings.privacy.clone(), key))
}

/// The same for a look at what would leave: nothing is written. The flag says whether there is no key
/// yet and a throw-away one was used.
pub fn trial_redactor(settings: &Settings) -> anyhow::Result<(Redactor, bool)> {
    let path = path(settings);
    let (key, thrown_away) = match read(&path) {
        Ok(key) => (key, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Key::new(*random()), true),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    Ok((Redactor::new(settings.privacy.clone(), key), thrown_away))
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join(FILE)
}

fn read(path: &Path) -> io::Result<Key> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        tracing::warn!(file = %path.display(), "others could read the key for pseudonyms; mode set to 0600");
    }
    file.take(4096).read_to_string(&mut text)?;
    parse(text.trim_end()).ok_or_else(|| {
        let why = format!("expected {} hexadecimal digits", 2 * KEY_BYTES);
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

fn parse(text: &str) -> Option<Key> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(Key::new(*key))
}

fn random() -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    rand::rng().fill_bytes(&mut *key);
    key
}

/// On the disk before it is used; a crash leaves no half of it.
fn make(path: &Path) -> io::Result<Key> {
    let key = random();
    let new = path.with_extension("key.new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(Zeroizing::new(format!("{}\n", hex(&*key))).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(Key::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path) -> Settings {
        let text = format!(
            "[agent]\nstate_dir = \"{}\"\n[privacy]\npseudonyms = [\"ipv4\"]\n",
            dir.display()
        );
        crate::config::parse("a.toml", &text, &|p| std::fs::read_to_string(p)).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let (_, thrown_away) = trial_redactor(&settings).unwrap();
        assert!(thrown_away && !dir.path().join(FILE).exists());
        let first = redactor(&settings).unwrap().text("10.0.0.1").into_owned();
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(redactor(&settings).unwrap().text("10.0.0.1"), first);
        assert_eq!(trial_redactor(&settings).unwrap().0.text("10.0.0.1"), first);
        fs::write(dir.path().join(FILE), "short\n").unwrap();
        let error = format!("{:#}", redactor(&settings).unwrap_err());
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
