//! What `woken.rs` and `returns.rs` share memory by. `tests/loom` puts loom's in its place.

pub(super) use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
use std::sync::{MutexGuard, PoisonError};

/// Locks for a step that cannot panic.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
