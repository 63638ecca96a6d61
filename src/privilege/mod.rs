//! Privilege: what the process gives up once it has opened what needs it.
//!
//! The invariant: whatever is done here is done for the whole process and for good, or it is an
//! error. Credentials and Landlock's domain belong to a thread and are inherited by those that it
//! starts, so both are changed while there is one thread only; that is looked at, not assumed.

#![forbid(unsafe_code)]

mod account;
mod become_user;
mod dumps;
mod folders;
mod landlock;
mod status;

pub(crate) use account::{Account, AccountError};
pub(crate) use become_user::{
    BecomeError, allow_locked_memory, become_user, give_up_new_privileges,
};
pub(crate) use dumps::{allow_core_dumps, forbid_core_dumps};
pub(crate) use folders::{folder_of, folders_of, successors_of};
#[cfg(test)]
pub(crate) use landlock::restrict;
pub(crate) use landlock::{Absence, Allowed, Extent, LandlockError, confine, extent};
