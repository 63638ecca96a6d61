//! Becoming another user, for good.

use std::{fmt, io};

use rustix::{
    process::{Gid, Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs, set_thread_gid,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
    },
};

use super::{Account, status::Status};

/// Why the process is not that user. It must end then: it may be so in part.
#[derive(Debug)]
#[non_exhaustive]
pub enum BecomeError {
    /// The process is not root's but this user's.
    NotRoot(u32),
    /// There are so many threads, and the others would keep their privileges.
    OtherThreads(usize),
    /// A call was refused.
    Refused(&'static str, io::Error),
    /// Every call succeeded, and still something is left.
    Kept(String),
}

impl fmt::Display for BecomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot(uid) => write!(
                f,
                "user: only root can become another user, and this process is uid {uid}; start it \
                 as root, or leave --user out where a service manager has chosen the user"
            ),
            Self::OtherThreads(count) => write!(
                f,
                "user: the process has {count} threads, and all but one would keep their \
                 privileges; confine it before the others are started"
            ),
            Self::Refused(call, error) => write!(
                f,
                "user: {call} was refused: {error}; a container needs the capabilities SETUID and \
                 SETGID for --user, or start it as that user"
            ),
            Self::Kept(what) => write!(
                f,
                "user: {what} after the change of user; this host keeps privileges in ways that \
                 Ringway does not know, so start it as that user instead"
            ),
        }
    }
}

impl std::error::Error for BecomeError {}

/// Becomes `account` with all threads, which must be this one alone: supplementary groups, group,
/// user, capabilities, in this order, since each needs what the next one takes. Then looks whether
/// it is so, and whether there is a way back.
///
/// # Errors
/// The process is not root's, has other threads, or is not wholly that user in the end.
pub(crate) fn become_user(account: &Account) -> Result<(), BecomeError> {
    let was = geteuid();
    if !was.is_root() {
        return Err(BecomeError::NotRoot(was.as_raw()));
    }
    let threads = status()?.threads;
    if threads != 1 {
        return Err(BecomeError::OtherThreads(threads));
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let nothing = CapabilitySet::empty();
    let none = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
    set_thread_groups(&groups).map_err(refused("setgroups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(refused("setresgid"))?;
    set_thread_res_uid(uid, uid, uid).map_err(refused("setresuid"))?;
    // Mostly gone with the user; securebits may say otherwise (capabilities(7)).
    set_capabilities(None, none).map_err(refused("capset"))?;
    check(account)
}

fn refused(call: &'static str) -> impl Fn(rustix::io::Errno) -> BecomeError {
    move |errno| BecomeError::Refused(call, errno.into())
}

fn status() -> Result<Status, BecomeError> {
    Status::read().map_err(|error| BecomeError::Refused("reading /proc/self/status", error))
}

/// Whether the process is `account` and nothing more.
fn check(account: &Account) -> Result<(), BecomeError> {
    let status = status()?;
    let kept = |what: String| Err(BecomeError::Kept(what));
    if status.uids != [account.uid; 4] || status.gids != [account.gid; 4] {
        return kept(format!("users {:?} and groups {:?} hold", status.uids, status.gids));
    }
    let mut groups = account.groups.clone();
    groups.sort_unstable();
    if status.groups != groups {
        return kept(format!("supplementary groups {:?} hold", status.groups));
    }
    if status.capabilities != 0 {
        return kept(format!("capabilities {:#x} hold", status.capabilities));
    }
    if set_thread_uid(Uid::ROOT).is_ok() {
        return kept("the way back to root is open".to_owned());
    }
    if account.gid != 0 && set_thread_gid(Gid::ROOT).is_ok() {
        return kept("the way back to root's group is open".to_owned());
    }
    Ok(())
}

/// Raises the limit on locked memory by `bytes`, or to its hard limit where root may not: registered
/// send memory counts against it from the change of user on. That it stays as it is would be no
/// error, since the server works with memory that is not registered.
pub(crate) fn allow_locked_memory(bytes: u64) {
    let limit = getrlimit(Resource::Memlock);
    let raised = |limit: Option<u64>| limit.map(|limit| limit.saturating_add(bytes));
    let most = Rlimit { current: raised(limit.current), maximum: raised(limit.maximum) };
    let hard = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Memlock, most).or_else(|_| setrlimit(Resource::Memlock, hard)).is_err() {
        log::debug!("user: the limit on locked memory stays as it is");
    }
}

/// No program that is started from here on gains privileges by its file (`PR_SET_NO_NEW_PRIVS`).
/// Ringway starts none; what takes it over might.
///
/// # Errors
/// What the system says; it has no reason to.
pub(crate) fn give_up_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_other_threads_is_left_alone() {
        // The test runner has some.
        std::thread::scope(|scope| {
            let (hold, held) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || held.recv());
            let account = Account { name: "x".into(), uid: 65_534, gid: 65_534, groups: vec![] };
            let refused = become_user(&account).unwrap_err();
            assert!(
                matches!(refused, BecomeError::OtherThreads(2..) | BecomeError::NotRoot(1..)),
                "{refused}"
            );
            drop(hold);
        });
    }
}
