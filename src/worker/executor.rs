//! A single-threaded executor: a task for each connection, polled when what it waits for came.
//!
//! The ring names the tasks to poll ([`Ring::take_ready`]); wakers play no part on this path, so
//! waking costs neither an atomic nor an allocation. A task is polled at most once for each time
//! it was named, and never again after it is done: its place is then given to another, under a
//! new generation.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::ring::{Ring, TaskId, prefetch};

/// Ready tasks that are polled before what they queued is submitted. Few enough that what they
/// touched, their sockets and send buffers, is still in the cache when the kernel works on it, and
/// that responses do not wait for those behind them; many enough that a system call is shared. At
/// 64 connections and 1 KB, CPU per request is the same with 8, 16, 32 or all of them, within noise
/// (`ringway-load`, see `bench/`).
const TASKS_A_TURN: usize = 16;

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Place {
    id: TaskId,
    task: Option<Task>,
}

/// Where running tasks leave new ones.
#[derive(Clone, Default)]
pub(super) struct Spawner {
    new: Rc<RefCell<Vec<Task>>>,
}

impl Spawner {
    /// Starts a task in this turn of the loop.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.new.borrow_mut().push(Box::pin(task));
    }

    /// Tasks that were left and have not begun.
    pub(super) fn waiting(&self) -> usize {
        self.new.borrow().len()
    }
}

/// The tasks of one worker.
pub(super) struct Executor {
    ring: Rc<Ring>,
    places: Vec<Place>,
    free: Vec<u32>,
    live: usize,
    spawner: Spawner,
    batch: Vec<TaskId>,
}

impl Executor {
    pub(super) fn new(ring: &Rc<Ring>) -> Self {
        Self {
            ring: Rc::clone(ring),
            places: Vec::new(),
            free: Vec::new(),
            live: 0,
            spawner: Spawner::default(),
            batch: Vec::new(),
        }
    }

    pub(super) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Tasks that are not done.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Polls new tasks, and of those that are ready the first [`TASKS_A_TURN`], once each.
    pub(super) fn run_ready(&mut self) {
        self.start_new();
        let mut batch = std::mem::take(&mut self.batch);
        self.ring.take_ready(&mut batch, TASKS_A_TURN);
        for (at, task) in batch.iter().enumerate() {
            if let Some(next) = batch.get(at + 1) {
                self.prefetch_next(*next);
            }
            self.poll(*task);
            self.start_new();
        }
        batch.clear();
        self.batch = batch;
    }

    /// Names every task, so that each looks again at what it waits for.
    pub(super) fn wake_all(&self) {
        for place in self.places.iter().filter(|place| place.task.is_some()) {
            self.ring.wake_all_lanes(place.id);
        }
    }

    /// Drops every task. Their operations are orphaned and cancelled.
    pub(super) fn abandon(&mut self) {
        for place in &mut self.places {
            self.ring.set_current(place.id);
            place.task = None;
        }
        self.live = 0;
        self.spawner.new.borrow_mut().clear();
    }

    #[inline]
    fn start_new(&mut self) {
        if self.spawner.waiting() > 0 {
            self.start_all();
        }
    }

    #[inline(never)]
    fn start_all(&mut self) {
        loop {
            let Some(task) = self.spawner.new.borrow_mut().pop() else { return };
            let id = self.place(task);
            self.poll(id);
        }
    }

    fn place(&mut self, task: Task) -> TaskId {
        self.live += 1;
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.task = Some(task);
            return place.id;
        }
        let id = TaskId::first(self.places.len() as u32);
        self.places.push(Place { id, task: Some(task) });
        id
    }

    /// This task is polled next. With more connections than the cache has room for, what a task
    /// keeps has left it since it was last polled: it comes back while another is polled.
    fn prefetch_next(&self, id: TaskId) {
        if let Some(task) = self.places.get(id.index()).and_then(|place| place.task.as_deref()) {
            prefetch(task);
        }
    }

    fn poll(&mut self, id: TaskId) {
        let Some(place) = self.places.get_mut(id.index()) else { return };
        let Some(task) = place.task.as_mut().filter(|_| place.id == id) else { return };
        self.ring.set_current(id);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(()) = task.as_mut().poll(&mut context) {
            self.end(id);
        }
    }

    /// A task is done: its place is another's.
    #[cold]
    fn end(&mut self, id: TaskId) {
        if let Some(place) = self.places.get_mut(id.index()) {
            place.task = None;
            place.id = id.successor();
            self.live -= 1;
            self.free.push(id.index() as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;
    use crate::ring::RingConfig;

    fn ring() -> Rc<Ring> {
        Ring::new(&RingConfig::small()).expect("a small ring")
    }

    #[test]
    fn tasks_run_sleep_and_end() {
        let ring = ring();
        let mut executor = Executor::new(&ring);
        let done = Rc::new(Cell::new(0));
        for task in 0..10_u64 {
            let (ring, done) = (Rc::clone(&ring), Rc::clone(&done));
            executor.spawner().spawn(async move {
                ring.sleep(Duration::from_millis(1 + task)).await;
                ring.yield_now().await;
                done.set(done.get() + 1);
            });
        }
        executor.run_ready();
        assert_eq!(executor.live(), 10);
        while executor.live() > 0 {
            ring.turn().unwrap();
            executor.run_ready();
        }
        assert_eq!(done.get(), 10);
    }

    #[test]
    fn a_place_is_used_again_and_its_old_name_polls_nothing() {
        let ring = ring();
        let mut executor = Executor::new(&ring);
        executor.spawner().spawn(async {});
        executor.run_ready();
        let polls = Rc::new(Cell::new(0));
        let count = Rc::clone(&polls);
        executor.spawner().spawn(std::future::poll_fn(move |_| {
            count.set(count.get() + 1);
            Poll::Pending
        }));
        executor.run_ready();
        ring.wake(TaskId::first(0));
        executor.run_ready();
        assert_eq!(polls.get(), 1, "the first generation's name is stale");
        ring.wake(TaskId::first(0).successor());
        executor.run_ready();
        assert_eq!(polls.get(), 2);
        executor.abandon();
        assert_eq!(executor.live(), 0);
    }

    #[test]
    fn a_task_may_spawn_tasks() {
        let ring = ring();
        let mut executor = Executor::new(&ring);
        let spawner = executor.spawner().clone();
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        executor.spawner().spawn(async move {
            spawner.spawn(async move { flag.set(true) });
        });
        executor.run_ready();
        assert!(done.get());
        assert_eq!(executor.live(), 0);
    }
}
