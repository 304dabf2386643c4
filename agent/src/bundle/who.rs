//! Who is at the other end of the control socket.

use std::fs;

use tokio::net::unix::UCred;

use super::record::Person;

/// No login (audit), in `/proc/<pid>/loginuid`.
const NO_LOGIN: u32 = u32::MAX;
/// Largest user database that is looked through, bytes.
const MAX_PASSWD: usize = 4 * 1024 * 1024;

/// The person, as far as the kernel and this machine's user database tell.
pub fn person(peer: Option<UCred>) -> Person {
    let Some(peer) = peer else {
        return Person { uid: None, user: "unknown".to_owned(), login: None };
    };
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let passwd = passwd.get(..MAX_PASSWD.min(passwd.len())).unwrap_or_default();
    let uid = peer.uid();
    let login = peer.pid().and_then(login_of).filter(|login| *login != uid);
    Person {
        uid: Some(uid),
        user: name(passwd, uid),
        login: login.map(|login| name(passwd, login)),
    }
}

/// Who had logged in: the kernel keeps it over sudo, where the audit subsystem is on.
fn login_of(pid: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|login| *login != NO_LOGIN)
}

fn name(passwd: &[u8], uid: u32) -> String {
    let known = String::from_utf8_lossy(passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let its = fields.nth(1)?.parse::<u32>().ok()?;
        (its == uid && !name.is_empty() && !name.contains(char::is_control))
            .then(|| name.to_owned())
    });
    known.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_from_the_user_database() {
        let passwd = b"root:x:0:0::/root:/bin/sh\nbroken\nli:x:1001:1001::/home/li:/bin/sh\n";
        assert_eq!(name(passwd, 0), "root");
        assert_eq!(name(passwd, 1001), "li");
        assert_eq!(name(passwd, 7), "uid 7");
    }

    #[tokio::test]
    async fn the_kernel_says_who_we_are() {
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let person = person(ours.peer_cred().ok());
        assert_eq!(person.uid, Some(rustix::process::geteuid().as_raw()));
    }

    proptest! {
        #[test]
        fn no_user_database_panics(passwd: Vec<u8>, text in "[a-z:0-9\n]{0,60}", uid: u32) {
            let _ = name(&passwd, uid);
            let _ = name(text.as_bytes(), uid);
        }
    }
}
