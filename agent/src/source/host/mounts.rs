//! Which mounts are watched. Pure: takes the texts of `/proc/self/mountinfo` and `/proc/filesystems`.
//!
//! Our own and not sysinfo's: that one leaves out tmpfs, reads only the first 16 KiB of the table,
//! and takes "read-only" from the mount, so that inside a hardened unit (where systemd mounts
//! everything read-only for us) no disk would be left.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Local file systems without a block device of their own that hold data all the same.
const NODEV_WATCHED: [&str; 3] = ["tmpfs", "zfs", "btrfs"];
/// A tmpfs at or below one of these belongs to the system.
const SYSTEM_TREES: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// A tmpfs exactly here belongs to the system; one mounted below it is somebody's own.
const SYSTEM_MOUNTS: [&str; 3] = ["/tmp", "/var/lock", "/var/tmp"];

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    /// The part of the file system that is mounted; `/` = all of it.
    root: PathBuf,
    point: PathBuf,
    kind: String,
    /// Of the file system, not of this mount of it.
    read_only: bool,
}

/// Mount points to watch, one per file system, sorted.
pub(super) fn watched(mountinfo: &str, filesystems: &str, ignored: &[PathBuf]) -> Vec<PathBuf> {
    let with_device: HashSet<&str> = filesystems
        .lines()
        .filter(|line| !line.starts_with("nodev"))
        .map(str::trim)
        .filter(|kind| !kind.is_empty())
        .collect();
    // What is mounted later at the same place hides what was there.
    let by_point: BTreeMap<PathBuf, Mount> =
        mountinfo.lines().filter_map(parse).map(|m| (m.point.clone(), m)).collect();
    let mut by_device: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in by_point.into_values() {
        if !counts(&mount, &with_device) || ignored.contains(&mount.point) {
            continue;
        }
        match by_device.get(&mount.device) {
            Some(known) if rank(known) <= rank(&mount) => {}
            _ => {
                by_device.insert(mount.device.clone(), mount);
            }
        }
    }
    let mut points: Vec<PathBuf> = by_device.into_values().map(|m| m.point).collect();
    points.sort_unstable();
    points
}

/// All mount points.
pub(super) fn all(mountinfo: &str) -> HashSet<PathBuf> {
    mountinfo.lines().filter_map(parse).map(|mount| mount.point).collect()
}

/// Of several mounts of one file system the whole one counts, then the one nearest to the root.
fn rank(mount: &Mount) -> (bool, usize, &Path) {
    (mount.root != Path::new("/"), mount.point.components().count(), &mount.point)
}

fn counts(mount: &Mount, with_device: &HashSet<&str>) -> bool {
    if mount.read_only {
        return false;
    }
    let kind = mount.kind.as_str();
    match kind {
        "tmpfs" => {
            let system = SYSTEM_TREES.iter().any(|tree| mount.point.starts_with(tree))
                || SYSTEM_MOUNTS.iter().any(|point| mount.point == Path::new(point));
            !system
        }
        // A container's own root; the overlays of others only show the disk below once more.
        "overlay" => mount.point == Path::new("/"),
        // Network file systems are not watched: asking one whose server is gone can hang for ever.
        _ => with_device.contains(kind) || NODEV_WATCHED.contains(&kind),
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let mut fields = file_system.split(' ');
    let kind = fields.next()?.to_owned();
    let options = fields.nth(1).unwrap_or_default();
    let read_only = options.split(',').any(|o| o == "ro");
    Some(Mount { device, root, point, kind, read_only })
}

/// Blank, tab, newline and backslash are written as `\040` and so on.
fn unescape(field: &str) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match (first, octal) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILESYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\txfs\n\tsquashfs\n";

    fn points(table: &str, ignored: &[&str]) -> Vec<String> {
        let ignored: Vec<PathBuf> = ignored.iter().map(PathBuf::from).collect();
        watched(table, FILESYSTEMS, &ignored).iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn watches_disks_and_own_tmpfs_only() {
        let table = "\
1 0 253:0 / / rw - ext4 /dev/vda rw
2 1 0:5 / /dev rw - devtmpfs dev rw
3 1 0:6 / /dev/shm rw - tmpfs tmpfs rw
4 1 0:7 / /run rw - tmpfs tmpfs rw
5 1 0:8 / /tmp rw - tmpfs tmpfs rw
6 5 0:9 / /tmp/test\\040mount rw - tmpfs tmpfs rw,size=4096k
7 1 7:0 / /snap/x ro - squashfs /dev/loop0 ro
8 1 0:10 / /mnt/nfs rw - nfs4 server:/x rw
9 1 253:1 / /var rw - xfs /dev/vdb rw
10 1 253:2 / /boot/efi rw - ext4 /dev/vdc rw
11 1 0:11 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
12 1 0:12 / /proc rw - proc proc rw";
        assert_eq!(points(table, &["/boot/efi"]), ["/", "/tmp/test mount", "/var"]);
    }

    #[test]
    fn a_sandbox_that_mounts_all_read_only_hides_no_disk() {
        let table = "\
1 0 253:0 / / ro - ext4 /dev/vda rw
2 1 253:0 /var/lib/private/agent /var/lib/private/agent rw - ext4 /dev/vda rw
3 1 253:1 / /home ro - ext4 /dev/vdb rw";
        assert_eq!(points(table, &[]), ["/", "/home"]);
    }

    #[test]
    fn what_is_mounted_over_a_mount_hides_it() {
        let table = "\
1 0 253:0 / / rw - ext4 /dev/vda rw
2 1 253:1 / /data rw - ext4 /dev/vdb rw
3 1 0:9 / /data rw - tmpfs tmpfs ro";
        assert_eq!(points(table, &[]), ["/"]);
    }

    proptest! {
        #[test]
        fn no_table_panics(table in "(.|\n){0,300}", kinds in "(.|\n){0,60}") {
            let _ = watched(&table, &kinds, &[]);
            let _ = watched(&format!("1 0 1:1 {table} - ext4 x rw"), "\text4", &[]);
        }
    }
}
