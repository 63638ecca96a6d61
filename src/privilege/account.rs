//! Users and groups, as `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).
//!
//! Other sources of users that the C library may know, such as a directory service, are not asked:
//! who is only known there is given by numbers.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

use crate::config::UserSpec;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The most that is read of either file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The most supplementary groups that the kernel takes (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Whom a process may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// As it was given.
    pub name: String,
    /// Not 0.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups, the primary one among them: those that `/etc/group` puts the user
    /// in, or the primary one alone if a group was given.
    pub groups: Vec<u32>,
}

/// Why a user cannot be determined.
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountError {
    /// One of the two files cannot be read.
    Unreadable(&'static str, io::Error),
    /// No such user.
    NoUser(String),
    /// No such group.
    NoGroup(String),
    /// A number that no name stands for, and no group with it.
    NeedsGroup(String),
    /// The user is root, or the group is a number that stands for none.
    NotAllowed(String),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "user: {path}: {error}; give numbers as UID:GID")
            }
            Self::NoUser(name) => write!(
                f,
                "user: there is no user {name:?} in {PASSWD}; make one (useradd --system), or give \
                 numbers as UID:GID"
            ),
            Self::NoGroup(name) => write!(
                f,
                "user: there is no group {name:?} in {GROUP}; make one (groupadd --system), or \
                 give its number"
            ),
            Self::NeedsGroup(uid) => {
                write!(f, "user: {uid} is nobody's in {PASSWD}; give a group with it, as {uid}:GID")
            }
            Self::NotAllowed(what) => {
                write!(f, "user: {what} gives up nothing; name a user without privileges")
            }
        }
    }
}

impl std::error::Error for AccountError {}

impl Account {
    /// Looks a user up.
    ///
    /// # Errors
    /// There is no such user or group, or it is root.
    pub(crate) fn find(wanted: &UserSpec) -> Result<Self, AccountError> {
        // Numbers need no names, and a container may have neither file.
        let numbers = number(wanted.user()).is_some() && wanted.group().and_then(number).is_some();
        let read = |path| match read(path) {
            Err(error) if numbers && error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| AccountError::Unreadable(path, error)),
        };
        Self::find_in(wanted, &read(PASSWD)?, &read(GROUP)?)
    }

    /// The same in the texts of the two files.
    fn find_in(wanted: &UserSpec, passwd: &str, group: &str) -> Result<Self, AccountError> {
        let name = wanted.user();
        // `name:password:UID:GID:…`; a name that is a number wins over that number.
        let users = || lines::<4>(passwd);
        let known = users()
            .find(|[known, ..]| *known == name)
            .or_else(|| users().find(|[_, _, uid, _]| number(uid) == number(name)));
        let (login, uid, own) = match known {
            Some([login, _, uid, gid]) => (Some(login), number(uid), number(gid)),
            None => (None, number(name), None),
        };
        let uid = uid.ok_or_else(|| AccountError::NoUser(name.to_owned()))?;
        if uid == 0 {
            return Err(AccountError::NotAllowed(format!("{name} (uid 0)")));
        }
        let (gid, groups) = if let Some(wanted) = wanted.group() {
            let gid = group_number(group, wanted)?;
            (gid, vec![gid])
        } else {
            let gid = own.ok_or_else(|| AccountError::NeedsGroup(name.to_owned()))?;
            // A user without an entry is a member of no further group.
            (gid, login.map_or_else(|| vec![gid], |login| groups_of(group, login, gid)))
        };
        Ok(Self { name: name.to_owned(), uid, gid, groups })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {}, gid {})", self.name, self.uid, self.gid)
    }
}

fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `N` fields of each line that has as many; comments, blank lines and the `+` and `-`
/// of NIS are left out.
fn lines<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    text.lines().filter(|line| !line.starts_with(['#', '+', '-'])).filter_map(|line| {
        let mut fields = line.split(':');
        let mut first = [""; N];
        for field in &mut first {
            *field = fields.next()?.trim();
        }
        Some(first)
    })
}

/// A user's or a group's number. The largest one means "unchanged" to the kernel (setresuid(2)).
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

fn group_number(group: &str, wanted: &str) -> Result<u32, AccountError> {
    // `name:password:GID:members`.
    let named = lines::<4>(group).find(|[name, ..]| *name == wanted);
    let gid = named.map_or_else(|| number(wanted), |[_, _, gid, _]| number(gid));
    gid.ok_or_else(|| AccountError::NoGroup(wanted.to_owned()))
}

/// The primary group and those that name the user as a member.
fn groups_of(group: &str, login: &str, primary: u32) -> Vec<u32> {
    let mut groups = vec![primary];
    for [_, _, gid, members] in lines::<4>(group) {
        let Some(gid) = number(gid) else { continue };
        let is_member =
            !login.is_empty() && members.split(',').any(|member| member.trim() == login);
        if is_member && !groups.contains(&gid) && groups.len() < MAX_GROUPS {
            groups.push(gid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\n\n+nis\nshort:x:7\n\
        www:x:33:34:www:/srv:/bin/false\n1234:x:40:41::/:/bin/false\nbad:x:many:1::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nssl-cert:x:50:other,www\nring:x:51:www\n\
        again:x:50:www\nall:x:4294967295:www\n";

    fn find(wanted: &str) -> Result<Account, AccountError> {
        Account::find_in(&wanted.parse().unwrap(), PASSWD, GROUP)
    }

    fn found(wanted: &str) -> (u32, u32, Vec<u32>) {
        let account = find(wanted).unwrap();
        assert_eq!(account.name, wanted.split(':').next().unwrap());
        (account.uid, account.gid, account.groups)
    }

    #[test]
    fn a_name_brings_its_groups() {
        assert_eq!(found("www"), (33, 34, vec![34, 50, 51]));
        assert_eq!(found("33"), (33, 34, vec![34, 50, 51]));
    }

    #[test]
    fn a_group_that_is_given_is_the_only_one() {
        assert_eq!(found("www:ssl-cert"), (33, 50, vec![50]));
        assert_eq!(found("www:7"), (33, 7, vec![7]));
    }

    #[test]
    fn numbers_need_no_names() {
        assert_eq!(found("998:997"), (998, 997, vec![997]));
        assert!(matches!(find("998"), Err(AccountError::NeedsGroup(_))));
        // A name that looks like a number.
        assert_eq!(found("1234"), (40, 41, vec![41]));
    }

    #[test]
    fn who_is_not_there_is_refused() {
        assert!(matches!(find("nobody"), Err(AccountError::NoUser(_))));
        assert!(matches!(find("short"), Err(AccountError::NoUser(_))));
        assert!(matches!(find("bad"), Err(AccountError::NoUser(_))));
        assert!(matches!(find("www:nobody"), Err(AccountError::NoGroup(_))));
        assert!(matches!(find("www:4294967295"), Err(AccountError::NoGroup(_))));
        assert!(matches!(find("4294967295:1"), Err(AccountError::NoUser(_))));
        for root in ["root", "0", "0:33", "root:www"] {
            assert!(matches!(find(root), Err(AccountError::NotAllowed(_))), "{root}");
        }
    }

    #[test]
    fn messages_say_what_to_do() {
        assert!(find("nobody").unwrap_err().to_string().contains("useradd"));
        assert!(find("998").unwrap_err().to_string().contains("998:GID"));
        assert!(find("root").unwrap_err().to_string().contains("without privileges"));
    }
}
