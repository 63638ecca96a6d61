//! What is tried of `src/ring`.

/// As `src/ring/sync.rs`.
mod sync {
    use loom::sync::MutexGuard;
    pub(super) use loom::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering, fence},
    };

    pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

#[path = "../../../src/ring/returns.rs"]
mod returns;
#[path = "../../../src/ring/woken.rs"]
mod woken;

use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{AcqRel, Relaxed},
        },
    },
    thread,
};

use returns::Returns;
use woken::{Listed, Woken};

/// A ring, its bell, and what its places are woken for.
#[derive(Default)]
struct Shared {
    woken: Woken,
    listed: [Listed; 2],
    bell: AtomicBool,
    /// What threads have done before they woke a place.
    done: [AtomicU32; 2],
}

impl Shared {
    fn wake(&self, place: usize) {
        self.done[place].fetch_add(1, Relaxed);
        if self.woken.wake(place as u32, &self.listed[place]) {
            self.bell.swap(true, AcqRel);
        }
    }

    /// Polls every place that was woken; what each poll saw.
    fn turn(&self, seen: &mut [u32; 2]) {
        for place in self.woken.take() {
            self.listed[place as usize].clear();
            seen[place as usize] = self.done[place as usize].load(Relaxed);
        }
    }
}

/// The ring turns and sleeps while places are woken: in the end it has polled each of them and seen
/// what was done before, or its bell rings.
fn play(wakes: &'static [&'static [usize]]) {
    let mut model = loom::model::Builder::new();
    // More switches than these make no other kind of history, but take hours.
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared = Arc::new(Shared::default());
        let threads: Vec<_> = wakes
            .iter()
            .map(|places| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || places.iter().for_each(|place| shared.wake(*place)))
            })
            .collect();
        let mut seen = [0; 2];
        let mut asleep = false;
        for _ in 0..2 {
            shared.turn(&mut seen);
            asleep = shared.woken.may_sleep();
            if asleep && !shared.bell.swap(false, AcqRel) {
                // It waits in the kernel until the threads are done.
                break;
            }
            shared.woken.awake();
            asleep = false;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        if asleep {
            let expected: [u32; 2] = [0, 1].map(|place| {
                wakes.iter().flat_map(|places| places.iter()).filter(|at| **at == place).count()
                    as u32
            });
            assert!(seen == expected || shared.bell.swap(false, AcqRel), "it sleeps for ever");
        }
        shared.woken.awake();
        shared.turn(&mut seen);
        for (place, seen) in seen.into_iter().enumerate() {
            assert_eq!(seen, shared.done[place].load(Relaxed), "a wake of place {place} is lost");
        }
    });
}

#[test]
fn no_wake_is_lost_while_the_ring_goes_to_sleep() {
    play(&[&[0]]);
    play(&[&[0, 0]]);
}

#[test]
fn no_wake_is_lost_of_two_threads() {
    play(&[&[0], &[1]]);
    play(&[&[0], &[0]]);
}

#[test]
fn each_buffer_comes_back_once() {
    loom::model(|| {
        let returns = Arc::new(Returns::new(2));
        let threads = [1, 2].map(|buffer| {
            let returns = Arc::clone(&returns);
            thread::spawn(move || returns.give_back(buffer))
        });
        let mut home = Vec::new();
        returns.collect(|buffer| home.push(buffer));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        returns.collect(|buffer| home.push(buffer));
        home.sort_unstable();
        assert_eq!(home, [1, 2]);
    });
}
