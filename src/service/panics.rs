//! Catching what an application throws.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs code of an application. What it was working on is dropped if it panics, so nobody sees it in
/// between.
///
/// # Errors
/// The message of its panic. With `panic = "abort"` in the profile of the program there is none: the
/// process ends.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| message(&*payload))
}

/// Runs what drops something that an application has made. A panic in a drop is logged: there is nobody left
/// to answer.
pub(super) fn drop_caught_with(run: impl FnOnce()) {
    if let Err(message) = caught(run) {
        log::error!("application: it panicked while something of it was dropped: {message}");
    }
}

/// Drops what an application has made, likewise.
pub(super) fn drop_caught<T>(value: T) {
    drop_caught_with(|| drop(value));
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
