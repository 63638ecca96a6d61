//! What one thread counts, and how threads add up.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies are recorded in nanoseconds, three digits of them, up to this many.
const LONGEST: u64 = 600_000_000_000;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// No TLS session.
    Handshake,
    /// A TLS record that cannot be read.
    Record,
    /// The server closed or reset before it had answered.
    Closed,
    /// No answer in time.
    Timeout,
    /// A response that cannot be read.
    Malformed,
    /// The server reset a stream, or ended the connection before it had answered all.
    Reset,
    /// Another status than expected.
    Status,
    /// A body of another length.
    Length,
    /// Other bytes.
    Body,
}

impl Failure {
    /// All kinds, in the order of a request's life.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Handshake,
        Self::Record,
        Self::Closed,
        Self::Timeout,
        Self::Malformed,
        Self::Reset,
        Self::Status,
        Self::Length,
        Self::Body,
    ];

    /// The kind's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Record => "record",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Length => "length",
            Self::Body => "body",
        }
    }
}

/// A failure and what exactly happened.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    pub(crate) what: String,
}

impl Trouble {
    #[expect(clippy::needless_pass_by_value, reason = "so that it stands in map_err")]
    pub(crate) fn new(failure: Failure, what: impl ToString) -> Self {
        Self { failure, what: what.to_string() }
    }
}

/// Failures of one kind.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// What the first of them said.
    pub first: Option<String>,
}

/// What was counted in the measured interval.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests answered as they should be, slow and idle connections' not among them.
    pub requests: u64,
    /// Bytes of their bodies, those of requests under way included.
    pub body_bytes: u64,
    /// Their latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// Full handshakes.
    pub full: u64,
    /// Resumed handshakes.
    pub resumed: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// At a fixed rate: requests that fell due in the measured interval. With `carried` they are as
    /// many as were answered, failed, missed or left unfinished.
    pub due: u64,
    /// Requests that were due or sent before the measured interval, and had no answer yet.
    pub carried: u64,
    /// Requests that each active connection had answered, each place counted as one connection
    /// however often it was opened anew.
    pub served: Vec<u64>,
    /// Requests that were due or sent and had no answer at the end. At a fixed rate the age of
    /// each stands among the latencies.
    pub unfinished: u64,
    /// Requests that were dropped because too many waited to be sent.
    pub missed: u64,
    /// Bytes that slow connections read.
    pub slow_bytes: u64,
    /// Slow connections that the server closed.
    pub slow_closed: u64,
    /// Idle connections that the server closed, since they were opened.
    pub idle_closed: u64,
    /// Time in which the thread had something to do.
    pub busy: Duration,
    /// The measured interval, by the thread's own clock.
    pub measured: Duration,
    /// Time in it that the thread had a CPU.
    pub ran: Duration,
    /// Time in it in which the thread could have run and did not.
    pub waited: Duration,
    /// Bytes that came from the server, handshakes and records' overhead included.
    pub wire_bytes: u64,
    /// Bytes of the heads of responses, and how many heads there were.
    pub heads: (u64, u64),
    /// Records that came.
    pub records: u64,
    /// Session tickets that came.
    pub tickets: u64,
    /// Connections that the server ended with a close_notify.
    pub close_notifies: u64,
    failures: [Failures; Failure::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that make sense");
        Self {
            requests: 0,
            body_bytes: 0,
            latency,
            full: 0,
            resumed: 0,
            opened: 0,
            due: 0,
            carried: 0,
            served: Vec::new(),
            unfinished: 0,
            missed: 0,
            slow_bytes: 0,
            slow_closed: 0,
            idle_closed: 0,
            busy: Duration::ZERO,
            measured: Duration::ZERO,
            ran: Duration::ZERO,
            waited: Duration::ZERO,
            wire_bytes: 0,
            heads: (0, 0),
            records: 0,
            tickets: 0,
            close_notifies: 0,
            failures: Default::default(),
        }
    }
}

impl Tally {
    /// Begins anew. Idle connections that were lost stay lost.
    pub(crate) fn reset(&mut self) {
        *self = Self { idle_closed: self.idle_closed, ..Self::default() };
    }

    pub(crate) fn latency(&mut self, latency: Duration) {
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts `count` requests that failed for the same reason.
    pub(crate) fn fail(&mut self, trouble: Trouble, count: u64) {
        let failures = &mut self.failures[trouble.failure as usize];
        failures.count += count;
        failures.first.get_or_insert(trouble.what);
    }

    /// The failures of each kind.
    pub fn failures(&self) -> impl Iterator<Item = (Failure, &Failures)> {
        Failure::ALL.into_iter().map(|kind| (kind, &self.failures[kind as usize]))
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.failures.iter().map(|failures| failures.count).sum()
    }

    /// Adds another thread's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.body_bytes += other.body_bytes;
        self.latency.add(&other.latency).expect("histograms of the same bounds");
        self.full += other.full;
        self.resumed += other.resumed;
        self.opened += other.opened;
        self.due += other.due;
        self.carried += other.carried;
        self.served.extend_from_slice(&other.served);
        self.unfinished += other.unfinished;
        self.missed += other.missed;
        self.slow_bytes += other.slow_bytes;
        self.slow_closed += other.slow_closed;
        self.idle_closed += other.idle_closed;
        self.busy += other.busy;
        self.measured = self.measured.max(other.measured);
        self.ran += other.ran;
        self.waited += other.waited;
        self.wire_bytes += other.wire_bytes;
        self.heads = (self.heads.0 + other.heads.0, self.heads.1 + other.heads.1);
        self.records += other.records;
        self.tickets += other.tickets;
        self.close_notifies += other.close_notifies;
        for (ours, theirs) in self.failures.iter_mut().zip(&other.failures) {
            ours.count += theirs.count;
            if ours.first.is_none() {
                ours.first.clone_from(&theirs.first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, Tally, Trouble};

    #[test]
    fn threads_add_up() {
        let mut all = Tally::default();
        for requests in [3, 4] {
            let mut one = Tally { requests, served: vec![requests], ..Tally::default() };
            one.latency(Duration::from_micros(requests));
            one.fail(Trouble::new(Failure::Status, requests), 2);
            all.merge(&one);
        }
        assert_eq!((all.requests, all.latency.len(), all.failed()), (7, 2, 4));
        assert_eq!(all.served, [3, 4]);
        let (_, status) = all.failures().find(|(kind, _)| *kind == Failure::Status).unwrap();
        assert_eq!((status.count, status.first.as_deref()), (4, Some("3")));
    }

    #[test]
    fn kinds_stand_at_their_place() {
        for (place, kind) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{}", kind.name());
        }
    }

    #[test]
    fn a_new_start_forgets_all_but_lost_idle_connections() {
        let mut tally = Tally { requests: 1, idle_closed: 2, ..Tally::default() };
        tally.latency(Duration::from_secs(1000));
        tally.reset();
        assert_eq!((tally.requests, tally.idle_closed, tally.latency.len()), (0, 2, 0));
    }
}
