//! Core dumps: memory images with private keys and tickets' keys in them.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Forbids core dumps, and others of the same user to look into the process.
///
/// Both are needed: a limit of zero says nothing to a kernel that hands images to a program
/// (core(5), `core_pattern` with `|`), and `PR_SET_DUMPABLE` is reset when the user changes. A
/// process that may not be dumped can be neither traced nor looked into below `/proc/PID` by
/// others of its user (ptrace(2)); it sees itself as before.
///
/// # Errors
/// What the system says; it has no reason to.
pub(crate) fn forbid_core_dumps() -> io::Result<()> {
    let hard = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: hard })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Undoes what becoming another user did: `fs.suid_dumpable` forbids dumps from then on.
///
/// # Errors
/// As above.
pub(crate) fn allow_core_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}
