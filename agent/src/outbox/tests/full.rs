//! A full disk: at each single write of the database, and a real small one.

use std::process::Command;

use callhome_shared::envelope::{Kind, Lane};

use super::*;

/// Mounted for the test, unmounted whatever happens.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None`, saying so, where mounting is not allowed.
    fn mount(place: &Path, kib: u32) -> Option<Tmpfs> {
        let options = format!("size={kib}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "callhome-test"]).arg(place);
        if !mount.output().is_ok_and(|done| done.status.success()) {
            println!("SKIPPED: mounting a tmpfs needs root");
            return None;
        }
        Some(Tmpfs(place.to_owned()))
    }

    fn resize(&self, kib: u32) {
        let options = format!("remount,size={kib}k");
        assert!(
            Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success()
        );
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_real_full_disk_stops_it_and_loses_nothing() {
    let (directory, _) = place();
    let Some(disk) = Tmpfs::mount(directory.path(), 3 * 1024) else { return };
    let path = directory.path().join("outbox.redb");
    let settings = OutboxSettings { max_bytes: 64 * 1024 * 1024, preallocate_bytes: 1024 * 1024 };
    let (mut outbox, _) = Outbox::open(&path, &agent(), &settings).unwrap();
    let epoch = outbox.epoch();
    let text = format!("\"{}\"", "x".repeat(20_000));
    let (mut stored, mut refused) = (0, None);
    while refused.is_none() {
        let next = decision(vec![draft(Kind::Alarm, &text)]);
        match outbox.commit(&next) {
            Ok(_) => stored += 1,
            Err(error) => refused = Some((next, error)),
        }
        assert!(stored < 1000, "the disk never fills");
    }
    let (next, error) = refused.unwrap();
    assert!(error.is_doubtful(), "{error:?}");
    // As the line does: the very same decision, until it is known.
    assert!(outbox.commit(&next).is_err());
    disk.resize(8 * 1024);
    let committed = outbox.commit(&next).unwrap();
    assert_eq!((committed.epoch, committed.last_seq), (epoch, stored + 1));
    assert_eq!(seqs(&mut outbox, Lane::Alarm), (1..=stored + 1).collect::<Vec<_>>());
    drop(outbox);
    let (mut outbox, loaded) = Outbox::open(&path, &agent(), &settings).unwrap();
    assert!(loaded.set_aside.is_none());
    assert_eq!(seqs(&mut outbox, Lane::Alarm), (1..=stored + 1).collect::<Vec<_>>());
    println!("full after {stored} envelopes, none lost, the refused one stored once");
    drop(outbox);
}
