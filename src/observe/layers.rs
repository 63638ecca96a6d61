//! The own time of named layers of applications.
//!
//! Each name has a counter for the whole process: a layer may be polled on any thread. A counter is
//! changed once for each poll of its layer, and only programs that name layers have any.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Names that are distinguished, at most; further ones are all `other`.
const MOST: usize = 63;

/// The number of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) struct Layer(u8);

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The last is that of `other`.
static TIMES: [AtomicU64; MOST + 1] = [const { AtomicU64::new(0) }; MOST + 1];

fn names() -> MutexGuard<'static, Vec<String>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg_attr(not(feature = "service"), allow(dead_code))]
impl Layer {
    /// The number of a name.
    pub(crate) fn named(name: &str) -> Self {
        let mut names = names();
        let known = names.iter().position(|known| known == name);
        Self(known.unwrap_or_else(|| {
            if names.len() == MOST {
                return MOST;
            }
            names.push(name.to_owned());
            names.len() - 1
        }) as u8)
    }

    /// So many nanoseconds were its own.
    pub(crate) fn charge(self, nanoseconds: u64) {
        if let Some(time) = TIMES.get(usize::from(self.0)) {
            time.fetch_add(nanoseconds, Relaxed);
        }
    }
}

/// The names, each with its own time in nanoseconds.
pub(super) fn figures() -> Vec<(String, u64)> {
    let mut names = names().clone();
    if names.len() == MOST && TIMES[MOST].load(Relaxed) > 0 {
        names.push("other".to_owned());
    }
    names.into_iter().zip(&TIMES).map(|(name, time)| (name, time.load(Relaxed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_the_time_that_it_was_charged() {
        let layer = Layer::named("a test's");
        layer.charge(3);
        Layer::named("a test's").charge(4);
        let figures = figures();
        assert!(figures.contains(&("a test's".to_owned(), 7)), "{figures:?}");
    }
}
