//! The own time of named layers of applications.
//!
//! Each name has a counter for the whole process: a layer may be polled on any thread. A counter is
//! changed once for each poll of its layer, and only programs that name layers have any. A request has
//! the times of its own layers besides, as far as they are polled by its worker.

use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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

thread_local! {
    /// The layers of the exchange that this thread polls.
    static OWN: Cell<LayerTimes> = const { Cell::new(LayerTimes::NONE) };
}

/// Layers that are distinguished in one request, at most: the first that are polled.
const OF_A_REQUEST: usize = 4;

/// The own times of the layers of one request, each up to 4.29 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTimes {
    /// Their numbers, in the order in which they were charged first.
    layers: [u8; OF_A_REQUEST],
    nanoseconds: [u32; OF_A_REQUEST],
    count: u8,
}

impl LayerTimes {
    /// No layer was polled.
    pub(crate) const NONE: Self =
        Self { layers: [0; OF_A_REQUEST], nanoseconds: [0; OF_A_REQUEST], count: 0 };

    /// Whether no layer was polled.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn charge(&mut self, layer: Layer, nanoseconds: u64) {
        let count = usize::from(self.count);
        let known = self.layers.iter().take(count).position(|known| *known == layer.0);
        let at = known.unwrap_or(count);
        let (Some(number), Some(time)) = (self.layers.get_mut(at), self.nanoseconds.get_mut(at))
        else {
            return;
        };
        *number = layer.0;
        *time = time.saturating_add(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
        self.count = self.count.max(at as u8 + 1);
    }

    /// Calls `each` with the name of each layer and its own time in nanoseconds.
    pub(super) fn each(&self, mut each: impl FnMut(&str, u64)) {
        if self.is_empty() {
            return;
        }
        let names = names();
        let times = self.layers.iter().zip(self.nanoseconds).take(usize::from(self.count));
        for (number, nanoseconds) in times {
            let name = names.get(usize::from(*number)).map_or("other", String::as_str);
            each(name, u64::from(nanoseconds));
        }
    }

    /// The exchange is polled from here on: what layers are charged with is added, and
    /// [`Self::gathered`] has it.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn gather(self) {
        OWN.set(self);
    }

    /// What an exchange has, now that its poll has ended.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn gathered() -> Self {
        OWN.take()
    }
}

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
        let mut own = OWN.get();
        own.charge(self, nanoseconds);
        OWN.set(own);
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

    #[test]
    fn a_request_has_the_times_of_its_first_layers() {
        let layers: Vec<_> = (0..8).map(|at| Layer::named(&format!("layer {at}"))).collect();
        let mut times = LayerTimes::default();
        layers[0].charge(1000);
        times.gather();
        for layer in &layers {
            layer.charge(5);
        }
        times = LayerTimes::gathered();
        times.gather();
        layers[1].charge(u64::MAX);
        times = LayerTimes::gathered();
        let mut seen = Vec::new();
        times.each(|name, time| seen.push((name.to_owned(), time)));
        let time = |at| if at == 1 { u64::from(u32::MAX) } else { 5 };
        let expected: Vec<_> = (0..4).map(|at| (format!("layer {at}"), time(at))).collect();
        assert_eq!(seen, expected);
    }
}
