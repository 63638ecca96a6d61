//! Wakers for futures that are not the ring's own: an application's, which may be woken from any
//! thread.
//!
//! There is one waker for each place of the executor, made when a task of that place first asks for
//! one, never for a request. It names the place, not the task: a waker that is called late polls the
//! successor for nothing, which every future here tolerates. Without an application nothing of this
//! exists, and a turn of the ring costs one look at a flag. A lane of a task has a waker of its own, as
//! long as it is polled; it names itself to the place before it wakes that.
//!
//! No wake is lost: [`Woken`] has the order of the steps.

use std::{
    cell::{OnceCell, RefCell},
    os::fd::OwnedFd,
    sync::Arc,
    task::{Wake, Waker},
};

use super::{
    ALL_LANES, TaskId,
    sync::{
        AtomicBool, Mutex,
        Ordering::{AcqRel, Release},
        locked,
    },
    woken::{Listed, Woken},
};

/// What a ring shares with the wakers of its tasks.
#[derive(Debug, Default)]
struct Shared {
    woken: Woken,
    /// What ends the ring's sleep.
    bell: Option<Arc<OwnedFd>>,
}

/// The waker of a place.
struct PlaceWaker {
    shared: Arc<Shared>,
    place: u32,
    listed: Listed,
    /// It was woken itself, and not for a lane. Written before it is listed, read once it is not.
    whole: AtomicBool,
    /// The lanes that were woken, each at most once. Likewise.
    lanes: Mutex<Vec<Arc<LaneWaker>>>,
}

impl PlaceWaker {
    fn list(&self) {
        let Shared { woken, bell } = &*self.shared;
        if woken.wake(self.place, &self.listed)
            && let Some(bell) = bell
        {
            // It fails only when the counter is full, and then the ring is awake.
            let _ = rustix::io::write(&**bell, &1_u64.to_ne_bytes());
        }
    }
}

/// The waker of a lane.
struct LaneWaker {
    place: Arc<PlaceWaker>,
    task: TaskId,
    /// The lane stands among those of its place.
    listed: AtomicBool,
}

impl Wake for LaneWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, AcqRel) {
            return;
        }
        locked(&self.place.lanes).push(Arc::clone(self));
        self.place.list();
    }
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.whole.store(true, Release);
        self.list();
    }
}

/// One place: the task that asked for its waker last.
#[derive(Debug)]
struct Place {
    task: TaskId,
    listed: Arc<PlaceWaker>,
    waker: Waker,
}

impl std::fmt::Debug for PlaceWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaceWaker").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The wakers of a ring's tasks.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    bell: RefCell<Option<Arc<OwnedFd>>>,
    shared: OnceCell<Arc<Shared>>,
    places: RefCell<Vec<Option<Place>>>,
}

impl Wakers {
    /// Has wakers end the ring's sleep by writing to `bell`. Called before the first waker is made.
    pub(super) fn ring_at(&self, bell: &Arc<OwnedFd>) {
        *self.bell.borrow_mut() = Some(Arc::clone(bell));
    }

    /// The waker of a task; or a new one of a lane of it.
    pub(super) fn of(&self, task: TaskId) -> Waker {
        if task == TaskId::NOBODY {
            return Waker::noop().clone();
        }
        let shared = self.shared.get_or_init(|| {
            Arc::new(Shared { bell: self.bell.borrow().clone(), woken: Woken::default() })
        });
        let places = &mut *self.places.borrow_mut();
        if places.len() <= task.index() {
            places.resize_with(task.index() + 1, || None);
        }
        let whole = task.whole();
        let place = places[task.index()].get_or_insert_with(|| {
            let listed = Arc::new(PlaceWaker {
                shared: Arc::clone(shared),
                place: task.index() as u32,
                listed: Listed::default(),
                whole: AtomicBool::default(),
                lanes: Mutex::default(),
            });
            Place { task: whole, waker: Waker::from(Arc::clone(&listed)), listed }
        });
        place.task = whole;
        if task == whole {
            return place.waker.clone();
        }
        let (place, listed) = (Arc::clone(&place.listed), AtomicBool::default());
        Waker::from(Arc::new(LaneWaker { place, task, listed }))
    }

    /// Names the tasks whose wakers were called since this was called last.
    pub(super) fn take(&self, mut wake: impl FnMut(TaskId)) {
        let Some(shared) = self.shared.get() else { return };
        let taken = shared.woken.take();
        if taken.is_empty() {
            return;
        }
        let places = self.places.borrow();
        for place in taken {
            if let Some(Some(place)) = places.get(place as usize) {
                let Place { task, listed, .. } = place;
                listed.listed.clear();
                if listed.whole.swap(false, AcqRel) {
                    // The waker may be one that a lane was given before it had its own.
                    wake(task.in_lane(ALL_LANES));
                }
                for lane in std::mem::take(&mut *locked(&listed.lanes)) {
                    lane.listed.swap(false, AcqRel);
                    wake(lane.task);
                }
            }
        }
    }

    /// The ring is about to wait. False if a waker was called meanwhile.
    pub(super) fn may_sleep(&self) -> bool {
        self.shared.get().is_none_or(|shared| shared.woken.may_sleep())
    }

    /// The ring does not wait any more.
    pub(super) fn awake(&self) {
        if let Some(shared) = self.shared.get() {
            shared.woken.awake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    fn taken(wakers: &Wakers) -> Vec<usize> {
        let mut tasks = Vec::new();
        wakers.take(|task| tasks.push(task.index()));
        tasks
    }

    #[test]
    fn a_place_is_named_once_however_often_it_is_woken() {
        let wakers = Wakers::default();
        assert!(wakers.may_sleep(), "there is no waker that could be called");
        let (first, second) = (wakers.of(TaskId::first(3)), wakers.of(TaskId::first(0)));
        assert!(first.will_wake(&wakers.of(TaskId::first(3).successor())));
        for waker in [&first, &second, &first, &first] {
            waker.wake_by_ref();
        }
        assert!(!wakers.may_sleep());
        assert_eq!(taken(&wakers), [3, 0]);
        assert_eq!(taken(&wakers), [0_usize; 0]);
        assert!(wakers.may_sleep());
        wakers.awake();
        first.wake();
        assert_eq!(taken(&wakers), [3], "it may be woken again");
    }

    #[test]
    fn a_late_wake_names_the_successor() {
        let wakers = Wakers::default();
        let late = wakers.of(TaskId::first(1));
        let successor = TaskId::first(1).successor();
        let _ = wakers.of(successor);
        late.wake();
        let mut tasks = Vec::new();
        wakers.take(|task| tasks.push(task.whole()));
        assert_eq!(tasks, [successor]);
    }

    #[test]
    fn a_lane_has_a_waker_of_its_own() {
        let wakers = Wakers::default();
        let task = TaskId::first(2);
        let [one, other] = [5, 6].map(|lane| wakers.of(task.in_lane(lane)));
        let taken = || {
            let mut lanes = Vec::new();
            wakers.take(|task| lanes.push(task));
            lanes
        };
        for waker in [&one, &other, &one] {
            waker.wake_by_ref();
        }
        assert!(!wakers.may_sleep());
        assert_eq!(taken(), [task.in_lane(5), task.in_lane(6)]);
        one.wake_by_ref();
        assert_eq!(taken(), [task.in_lane(5)], "it may be woken again");
        wakers.of(task).wake_by_ref();
        one.wake();
        assert_eq!(taken(), [task.in_lane(ALL_LANES), task.in_lane(5)]);
        assert_eq!(taken(), []);
        assert!(wakers.may_sleep());
    }

    #[test]
    fn the_bell_is_rung_only_for_a_sleeper() {
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let rung = || rustix::io::read(&*bell, &mut [0; 8]).is_ok();
        let wakers = Wakers::default();
        wakers.ring_at(&bell);
        let waker = wakers.of(TaskId::first(0));
        waker.wake_by_ref();
        assert!(!rung());
        assert_eq!(taken(&wakers), [0]);
        assert!(wakers.may_sleep());
        thread::scope(|scope| {
            scope.spawn(|| waker.wake_by_ref());
        });
        assert!(rung());
        wakers.awake();
        assert_eq!(taken(&wakers), [0]);
    }

    /// Many threads wake while the ring goes to sleep again and again: each round's wake arrives.
    #[test]
    fn no_wake_is_lost() {
        let bell = Arc::new(eventfd(0, EventfdFlags::empty()).unwrap());
        let wakers = Wakers::default();
        wakers.ring_at(&bell);
        let waker = wakers.of(TaskId::first(0));
        for _ in 0..2000 {
            thread::scope(|scope| {
                scope.spawn(|| waker.wake_by_ref());
                if wakers.may_sleep() {
                    // Without a ring this would wait for ever.
                    rustix::io::read(&*bell, &mut [0; 8]).unwrap();
                }
                wakers.awake();
            });
            // The bell may have been rung for a ring that did not go to sleep after all; never the
            // other way round.
            assert_eq!(taken(&wakers), [0]);
        }
    }
}
