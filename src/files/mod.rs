//! The served folders: opening, knowing and keeping files.
//!
//! The invariants. *Below the folder*: every file is opened with openat2(2) and
//! `RESOLVE_BENEATH`, so that neither `..` nor a symlink reaches anything outside, and a symlink
//! reaches nothing that is hidden. *Never torn*:
//! cached content was read from one version of a file, whose metadata was the same before and after;
//! content that is not cached is sent from a descriptor that stays on the file it was opened on. A
//! writer in place that does not move the file's time of change is not noticed (mmap(2) until
//! msync(2)).
//! *Never stale for long*: what is known of a path is checked anew when it is older than
//! [`FRESH_FOR`](entry::FRESH_FOR). *Bounded*: entries, descriptors and cached bytes have limits, and the least
//! used goes first.
//!
//! *Compressed once*: what is asked for again is compressed apart from the workers (`press.rs`) and
//! stands in the cache beside the file, for as long as that is the same version.
//!
//! Opening and reading go through the ring, and what the ring has no operation for goes to the
//! threads of a `Pool`: a slow disk delays the requests for its files and no others. *Late is an
//! error*: a look-up that is not done within [`Timeouts::process`] is given up.
//!
//! [`Timeouts::process`]: crate::config::Timeouts::process

#![forbid(unsafe_code)]

mod cache;
mod entry;
mod folder;
mod pool;
mod press;
mod root;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, FileContent, FileEntry, FileObject, Standing};
pub(crate) use pool::Pool;
pub(crate) use press::{Press, Wish};
pub(crate) use root::Folder;
pub(crate) use store::{FileStore, Listed, LookupError, Stores};
