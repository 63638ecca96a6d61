use super::*;
use crate::observe::{
    Coarse, End, Ended, KernelFigures, Phase, Stage, Statuses, Why, WorkerSnapshot,
    histograms::Recorder,
    slow::{Finished, Slow},
};

/// A worker that does something in each second: its figures grow.
#[derive(Default)]
struct Worker {
    recorder: Recorder,
    snapshot: WorkerSnapshot,
    statuses: Statuses,
    timed_out: Coarse,
}

impl Worker {
    fn works(&mut self, total: u64, times: u64) {
        for _ in 0..times {
            self.recorder.record(Stage::Total, total);
            self.recorder.record(Stage::Process, total);
            self.statuses.count(200);
        }
        self.snapshot.counts.requests += times;
        self.snapshot.lost += times;
    }

    fn fails(&mut self) {
        self.snapshot.ends.count(
            Ended::Aborted,
            End { why: Why::ServerTimeout, phase: Phase::Request(Stage::LastWrite) },
        );
        self.timed_out.record(Stage::Total, 1_000);
    }

    fn copy(&self) -> Box<WorkerSnapshot> {
        Box::new(WorkerSnapshot {
            histograms: self.recorder.histograms(),
            statuses: self.statuses.clone(),
            timed_out: self.timed_out.clone(),
            ..self.snapshot.clone()
        })
    }
}

fn at(seconds: u64, workers: Vec<Option<Box<WorkerSnapshot>>>) -> Anatomy {
    let server = Anatomy::empty().server;
    let uptime = Duration::from_secs(seconds);
    Anatomy::of(server, uptime, workers, KernelFigures::default(), None)
}

fn span(since: u64, until: u64) -> Span {
    Span { since: Duration::from_secs(since), until: Duration::from_secs(until) }
}

fn slow(total: u64) -> Slow {
    let mut finished = Finished { total, complete: true, status: 200, ..Finished::default() };
    finished.parts[Stage::Process.part().unwrap()] = total;
    Slow {
        finished,
        head: [0; crate::observe::request::HEAD_KEPT],
        head_len: 0,
        trace: None,
        connections: 0,
        stall: None,
        siblings: None,
    }
}

/// Requests, and the seconds of the window.
fn told(anatomy: &Anatomy) -> (u64, u64, u64, u64) {
    let window = anatomy.window.unwrap();
    let requests = anatomy.histograms.stage(Stage::Total).len();
    assert_eq!(anatomy.counts.requests, requests);
    assert_eq!(anatomy.statuses.iter().map(|(_, count)| count).sum::<u64>(), requests);
    let lost = anatomy.workers.iter().flatten().map(|worker| worker.lost).sum();
    (requests, lost, window.since.as_secs(), window.until.as_secs())
}

#[test]
fn a_window_has_what_happened_in_it() {
    let mut history = History::default();
    let mut worker = Worker::default();
    // In the n-th ten seconds, n requests.
    for moment in 1..=30 {
        worker.works(1_000_000, moment);
        if moment == 20 {
            worker.fails();
        }
        history.keep(&at(moment * 10, vec![Some(worker.copy())]));
    }
    worker.works(5_000_000, 100);
    let now = at(305, vec![Some(worker.copy())]);
    assert_eq!(told(&history.within(&now, span(5, 0))), (100, 100, 5, 0));
    assert_eq!(told(&history.within(&now, span(10, 0))), (130, 130, 15, 0));
    assert_eq!(told(&history.within(&now, span(30, 15))), (28 + 29, 28 + 29, 35, 15));
    assert_eq!(told(&history.within(&now, span(9_999, 0))), (465 + 100, 565, 305, 0));
    assert_eq!(told(&history.within(&now, span(9_999, 300))), (1, 1, 305, 295));
    let ends = |span| history.within(&now, span).ends.iter().count();
    assert_eq!((ends(span(60, 0)), ends(span(110, 0))), (0, 1));
    let slow = history.within(&now, span(5, 0));
    let median = slow.histograms.stage(Stage::Total).value_at_quantile(0.5);
    assert!(median.abs_diff(5_000_000) < 5_000_000 / 8, "{median}");
    assert_eq!(slow.histograms.sum(Stage::Total), 500_000_000);
}

#[test]
fn a_worker_that_did_not_answer_is_counted_when_it_does() {
    let mut history = History::default();
    let (mut one, mut two) = (Worker::default(), Worker::default());
    one.works(1_000, 1);
    two.works(1_000, 10);
    history.keep(&at(10, vec![Some(one.copy()), Some(two.copy())]));
    one.works(1_000, 1);
    two.works(1_000, 10);
    history.keep(&at(20, vec![Some(one.copy()), None]));
    history.keep(&at(30, vec![Some(one.copy()), Some(two.copy())]));
    let now = at(30, vec![Some(one.copy()), Some(two.copy())]);
    assert_eq!(history.within(&now, span(20, 0)).counts.requests, 11);
    assert_eq!(history.within(&now, span(10, 0)).counts.requests, 10);
    assert_eq!(history.within(&now, span(20, 10)).counts.requests, 1);
    let silent = at(31, vec![Some(one.copy()), None]);
    assert!(history.within(&silent, span(10, 0)).workers[1].is_none());
}

#[test]
fn an_hour_is_kept_and_no_more() {
    let mut history = History::default();
    let mut worker = Worker::default();
    for moment in 1..=MOST as u64 + 40 {
        worker.works(1_000, 1);
        worker.snapshot.slowest = vec![slow(moment), slow(1)];
        history.keep(&at(moment * 10, vec![Some(worker.copy())]));
    }
    assert_eq!(history.points.len(), MOST);
    worker.snapshot.slowest = vec![slow(7)];
    let now = at(4_000, vec![Some(worker.copy())]);
    let all = history.within(&now, span(9_999_999, 0));
    assert_eq!(told(&all), (MOST as u64 - 1, MOST as u64 - 1, 3_590, 0));
    assert_eq!(all.slowest[0].slow.finished.total, 400);
    // Those of the window alone, and those that no moment has collected.
    let early = history.within(&now, span(1_000, 900));
    assert_eq!(early.slowest[0].slow.finished.total, 310);
    let last = history.within(&now, span(1, 0));
    assert!(last.slowest.iter().any(|slow| slow.slow.finished.total == 7));
    let points = history.points.iter().map(|point| point.slowest.len()).max();
    assert_eq!(points, Some(1), "one of each class");
    let text: serde_json::Value = serde_json::from_str(&history.to_json(now.uptime)).unwrap();
    let points = text["points"].as_array().unwrap();
    assert_eq!(points.len(), MOST - 1);
    assert_eq!(
        (points[0]["requests"].as_u64(), points[0]["seconds"].as_f64()),
        (Some(1), Some(10.0))
    );
}

#[test]
fn memory_is_what_it_is_said_to_be() {
    let mut all = Counted::default();
    let added = all.since(&Counted::default());
    assert_eq!(added.bytes(), 0);
    all.fill(1);
    assert_eq!(all.since(&Counted::default()).bytes(), ADDED_BYTES);
    assert_eq!(all.bytes(), COUNTED_BYTES);
}
