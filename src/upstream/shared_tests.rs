use std::collections::VecDeque;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::config::{UpstreamAddress, UpstreamServer};

fn pool(servers: usize, max: u32, waiting: u32) -> Arc<Shared> {
    let servers = (0..servers)
        .map(|at| UpstreamServer::new(UpstreamAddress::Tcp("127.0.0.1".into(), 3000 + at as u16)));
    let mut options = PoolOptions::of(servers.collect());
    (options.max, options.waiting) = (max, waiting);
    Shared::new("app", "ringway-1", options, None, None)
}

fn open(shared: &Shared) -> Vec<u32> {
    shared.servers.iter().map(|server| server.open.load(SeqCst)).collect()
}

fn parcel(place: Place) -> Parcel {
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    Parcel { socket: socket.into(), place, age: 0, unused: 0, exchanges: 1, stated: 0, tls: None }
}

fn wait(taken: Result<Taken, NoPlace>) -> Ticket<Grant> {
    match taken {
        Ok(Taken::Wait(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn places_of_other_servers_are_taken_before_anybody_waits() {
    let shared = pool(2, 1, 10);
    let first = shared.take(0, || Waker::noop().clone()).unwrap();
    let second = shared.take(0, || Waker::noop().clone()).unwrap();
    assert_eq!(open(&shared), [1, 1]);
    let third = wait(shared.take(0, || Waker::noop().clone()));
    assert!(third.take().is_none());
    drop(second);
    match third.take() {
        Some(Grant::Room(place)) => assert_eq!(place.server(), 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(open(&shared), [1, 0], "the place was dropped with the grant");
    drop(first);
}

#[test]
fn a_line_that_takes_too_long_is_not_joined() {
    let shared = pool(1, 1, 100);
    let _place = shared.take(0, || Waker::noop().clone()).unwrap();
    shared.service_us.store(2_000_000, Relaxed);
    let _first = wait(shared.take(0, || Waker::noop().clone()));
    assert_eq!(shared.take(0, || Waker::noop().clone()).unwrap_err(), NoPlace::LineFull);
}

#[test]
fn a_connection_that_is_unused_elsewhere_is_waited_for_however_long_exchanges_take() {
    let shared = pool(1, 1, 10);
    let _place = shared.take(0, || Waker::noop().clone()).unwrap();
    shared.service_us.store(60_000_000, Relaxed);
    shared.note_unused(0, true);
    wait(shared.take(0, || Waker::noop().clone()));
}

#[test]
fn the_last_server_and_half_of_them_stay() {
    for (servers, may_leave) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
        let shared = pool(servers, 10, 10);
        for at in 0..servers {
            (0..5).for_each(|_| shared.failed(at, 0));
        }
        let now = shared.now();
        let out = shared.servers.iter().filter(|server| server.fitness(now) == Fitness::Out);
        assert_eq!(out.count(), may_leave, "of {servers}");
    }
}

#[test]
fn an_unused_connection_is_kept_for_the_least_of_what_is_known() {
    let shared = pool(1, 1, 1);
    assert_eq!(shared.keep_idle(0, 0), 4_000);
    assert_eq!(shared.keep_idle(0, 3_000), 2_000);
    shared.servers[0].learned_ms.store(1_000, Relaxed);
    assert_eq!(shared.keep_idle(0, 3_000), 800);
}

#[test]
fn a_request_that_must_not_run_twice_takes_younger_connections() {
    let shared = pool(1, 1, 1);
    assert_eq!(shared.longest_unused(0, true), 4_000);
    assert_eq!(shared.longest_unused(0, false), 500, "nothing is known of the server");
    shared.servers[0].learned_ms.store(2_500, Relaxed);
    assert_eq!(shared.longest_unused(0, true), 2_000);
    assert_eq!(shared.longest_unused(0, false), 1_000);
}

#[test]
fn a_connection_that_ends_as_it_is_used_teaches_if_it_had_rested() {
    let shared = pool(1, 1, 1);
    let learned = |age| {
        (0..8).for_each(|_| shared.closed_as_it_was_used(0, age));
        shared.servers[0].learned_ms.load(Relaxed)
    };
    // What makes servers fail cannot take all kept connections from a pool.
    assert_eq!(learned(TELLING_REST_MS - 1), 0);
    // They are together in time: more of them are for tests of whole connections.
    assert_eq!(learned(TELLING_REST_MS), 0);
    let mut seen = lock(&shared.servers[0].learned);
    assert_eq!(seen.closed(1_000, TELLING_REST_MS), None, "the second");
    assert_eq!(seen.closed(2_000, TELLING_REST_MS), Some(TELLING_REST_MS), "the third");
}

/// What a worker of the model does.
#[derive(Clone, Debug)]
enum Act {
    /// A request wants a place.
    Ask,
    /// The request at this place in the list gives up, or is done and its connection closes.
    Drop(u8),
    /// The request is done, and its connection can be used again.
    Done(u8),
    /// An unused connection ends.
    Expire(u8),
}

fn acts() -> impl Strategy<Value = Vec<(u8, Act)>> {
    let act = prop_oneof![
        4 => Just(Act::Ask),
        2 => any::<u8>().prop_map(Act::Drop),
        4 => any::<u8>().prop_map(Act::Done),
        1 => any::<u8>().prop_map(Act::Expire),
    ];
    vec((0_u8..4, act), 1..120)
}

#[derive(Default)]
struct Worker {
    /// Requests with a place, by the number of their asking.
    busy: Vec<(usize, Place)>,
    waiting: VecDeque<(usize, Ticket<Grant>)>,
    unused: Vec<Parcel>,
}

struct Model {
    shared: Arc<Shared>,
    workers: [Worker; 4],
    asked: usize,
    refused: usize,
    given_up: usize,
    served: Vec<usize>,
}

impl Model {
    /// Keeps a connection, or hands it on; then keepers hand on what is wanted elsewhere, as they do
    /// when they are woken.
    fn release(&mut self, worker: usize, place: Place) {
        if let Some(parcel) = self.shared.offer(parcel(place)) {
            self.shared.note_unused(parcel.place.server(), true);
            self.workers[worker].unused.push(parcel);
        }
        self.keepers();
    }

    fn keepers(&mut self) {
        for worker in &mut self.workers {
            while self.shared.is_waited_for()
                && let Some(parcel) = worker.unused.pop()
            {
                self.shared.note_unused(parcel.place.server(), false);
                if let Some(parcel) = self.shared.offer(parcel) {
                    self.shared.note_unused(parcel.place.server(), true);
                    worker.unused.push(parcel);
                    break;
                }
            }
        }
    }

    fn collect(&mut self) {
        loop {
            let mut any = false;
            for worker in &mut self.workers {
                let waiting = std::mem::take(&mut worker.waiting);
                for (number, ticket) in waiting {
                    match ticket.take() {
                        None => worker.waiting.push_back((number, ticket)),
                        Some(Grant::Unused(Parcel { place, .. }) | Grant::Room(place)) => {
                            any = true;
                            self.served.push(number);
                            worker.busy.push((number, place));
                        }
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    fn act(&mut self, worker: usize, act: &Act) {
        match act {
            Act::Ask => {
                let number = self.asked;
                self.asked += 1;
                if let Some(parcel) = self.workers[worker].unused.pop()
                    && !self.shared.is_waited_for()
                {
                    self.shared.note_unused(parcel.place.server(), false);
                    self.served.push(number);
                    self.workers[worker].busy.push((number, parcel.place));
                    return;
                }
                match self.shared.take(number % self.shared.servers.len(), || Waker::noop().clone())
                {
                    Ok(Taken::Room(place)) => {
                        self.served.push(number);
                        self.workers[worker].busy.push((number, place));
                    }
                    Ok(Taken::Wait(ticket)) => {
                        self.workers[worker].waiting.push_back((number, ticket));
                    }
                    Err(NoPlace::LineFull) => self.refused += 1,
                }
                self.keepers();
            }
            Act::Drop(which) => {
                let busy = self.workers[worker].busy.len();
                let all = busy + self.workers[worker].waiting.len();
                if all == 0 {
                    return;
                }
                let at = usize::from(*which) % all;
                if at < busy {
                    drop(self.workers[worker].busy.remove(at));
                } else {
                    self.given_up += 1;
                    drop(self.workers[worker].waiting.remove(at - busy));
                }
            }
            Act::Done(which) => {
                let busy = &mut self.workers[worker].busy;
                if !busy.is_empty() {
                    let at = usize::from(*which) % busy.len();
                    let (_, place) = busy.remove(at);
                    self.release(worker, place);
                }
            }
            Act::Expire(which) => {
                let unused = &mut self.workers[worker].unused;
                if !unused.is_empty() {
                    let at = usize::from(*which) % unused.len();
                    let parcel = unused.remove(at);
                    self.shared.note_unused(parcel.place.server(), false);
                }
            }
        }
    }

    fn check(&self) {
        let (mut held, mut unused) = (vec![0; self.shared.servers.len()], 0);
        for worker in &self.workers {
            worker.busy.iter().for_each(|(_, place)| held[place.server()] += 1);
            worker.unused.iter().for_each(|parcel| held[parcel.place.server()] += 1);
            unused += worker.unused.len();
        }
        assert_eq!(open(&self.shared), held, "a place is a connection");
        assert!(held.iter().all(|&open| open <= self.shared.options.max));
        let waiting: usize = self.workers.iter().map(|worker| worker.waiting.len()).sum();
        assert_eq!(self.shared.line.len() as usize, waiting, "nobody is lost");
        if waiting > 0 {
            assert_eq!(unused, 0, "a connection is unused while somebody waits");
            assert!(held.iter().all(|&open| open == self.shared.options.max), "a place is free");
        }
        assert_eq!(self.asked, self.served.len() + waiting + self.refused + self.given_up);
    }
}

proptest! {
    /// Four workers that ask, give up, finish and close in any order.
    #[test]
    fn max_is_never_passed_and_nobody_is_lost(
        (servers, max, waiting) in (1_usize..4, 1_u32..4, 0_u32..6),
        acts in acts(),
    ) {
        let mut model = Model {
            shared: pool(servers, max, waiting),
            workers: Default::default(),
            asked: 0,
            refused: 0,
            given_up: 0,
            served: Vec::new(),
        };
        for (worker, act) in &acts {
            model.act(usize::from(*worker), act);
            model.collect();
            model.check();
        }
    }
}

/// Real threads: each takes, holds and gives back, and at no moment are there more than `max`.
#[test]
#[cfg_attr(miri, ignore)]
fn threads_never_have_more_than_max_together() {
    use std::sync::atomic::AtomicI32;
    let shared = pool(1, 2, 100);
    shared.service_us.store(1, Relaxed);
    let held = AtomicI32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                struct Unpark(std::thread::Thread);
                impl std::task::Wake for Unpark {
                    fn wake(self: Arc<Self>) {
                        self.0.unpark();
                    }
                }
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                for round in 0..2_000_u32 {
                    let place = match shared.take(0, || waker.clone()).unwrap() {
                        Taken::Room(place) => place,
                        Taken::Wait(ticket) => loop {
                            match ticket.take() {
                                Some(Grant::Room(place)) => break place,
                                Some(Grant::Unused(parcel)) => break parcel.place,
                                None => std::thread::park(),
                            }
                        },
                    };
                    assert!(held.fetch_add(1, SeqCst) < 2);
                    held.fetch_sub(1, SeqCst);
                    if round % 3 == 0 {
                        drop(shared.offer(parcel(place)));
                    } else {
                        drop(place);
                    }
                }
            });
        }
    });
    assert_eq!(open(&shared), [0]);
    assert_eq!(shared.line.len(), 0);
}
