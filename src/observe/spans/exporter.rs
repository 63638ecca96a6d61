//! The thread that makes spans of requests and sends them.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use prost::Message;

use super::{
    QUEUE, Recorded, SpanFeed,
    messages::{KeyValue, Request, Resource, ResourceSpans, Response, Scope, ScopeSpans, Span},
    post::{PostError, post},
    request_spans::{NoRandom, Random, spans_of},
};
use crate::{config::Collector, monotonic::Monotonic};

/// Requests whose spans wait for the collector, at most.
const PENDING: usize = 256;

/// Memory of the spans of a request, at most: one for each stage, and attributes with the first line.
const REQUEST_SPANS_BYTES: usize = 24 << 10;

/// Memory of all that waits, and of a message that is sent.
pub(super) const PENDING_BYTES: usize = (PENDING + BATCH) * REQUEST_SPANS_BYTES;

/// Requests whose spans are sent together.
const BATCH: usize = 64;

/// How long spans wait for others.
const LINGER: Duration = Duration::from_secs(1);

/// Tries of a batch, with pauses of 1, 2, 4 and 8 seconds between them.
const TRIES: u32 = 5;

/// How long the end of a server waits for its last spans.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// What became of requests that were slow or failed, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanTotals {
    /// Their spans are with the collector.
    pub exported: u64,
    /// Dropped, because the thread or the collector did not keep up.
    pub dropped: u64,
    /// Lost, because the collector could not be reached or did not take them.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    exported: AtomicU64,
    dropped: Arc<AtomicU64>,
    failed: AtomicU64,
}

/// Says what became of spans. May be cloned and sent.
#[derive(Clone, Debug)]
pub(crate) struct SpanHandle(Arc<Counters>);

impl SpanHandle {
    /// What became of requests so far.
    pub(crate) fn totals(&self) -> SpanTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { exported, dropped, failed } = &*self.0;
        SpanTotals { exported: get(exported), dropped: get(dropped), failed: get(failed) }
    }
}

/// The thread that sends spans.
#[derive(Debug)]
pub(crate) struct SpanExporter {
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    handle: SpanHandle,
}

impl SpanExporter {
    /// Starts the thread; with a way to it for each of so many workers. From `slow` on a request is
    /// slow.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        to: Collector,
        slow: Duration,
        workers: usize,
    ) -> io::Result<(Self, Vec<SpanFeed>)> {
        let counters = Arc::new(Counters::default());
        let (queue, received) = mpsc::sync_channel(QUEUE);
        let slow = u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX);
        let feeds = (0..workers).map(|worker| SpanFeed {
            slow,
            worker,
            start: Monotonic::now(),
            queue: queue.clone(),
            dropped: Arc::clone(&counters.dropped),
        });
        let feeds = feeds.collect();
        let handle = SpanHandle(Arc::clone(&counters));
        let mut sending = Sending {
            to,
            counters,
            random,
            pending: VecDeque::new(),
            due: Instant::now(),
            tries: 0,
            failing: false,
        };
        let (end, ended) = mpsc::channel();
        thread::Builder::new().name("spans".to_owned()).spawn(move || {
            sending.run(&received);
            drop(end);
        })?;
        Ok((Self { ended, handle }, feeds))
    }

    /// What says what became of spans.
    pub(crate) fn handle(&self) -> SpanHandle {
        self.handle.clone()
    }

    /// Waits until the last spans have been sent, for five seconds at most. The workers have ended, and
    /// with them their feeds, which ends the thread.
    pub(crate) fn finish(self) {
        if self.ended.recv_timeout(LAST_SPANS) == Err(RecvTimeoutError::Timeout) {
            log::warn!("spans: the last ones could not be sent in time");
        }
    }
}

fn random(bytes: &mut [u8]) -> Result<(), NoRandom> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| NoRandom)
}

/// What the thread has.
struct Sending {
    to: Collector,
    counters: Arc<Counters>,
    random: Random,
    /// The spans of each request that waits.
    pending: VecDeque<Vec<Span>>,
    /// When the next batch is sent.
    due: Instant,
    /// Of the batch that is sent next.
    tries: u32,
    /// The last batch did not arrive, which has been logged.
    failing: bool,
}

impl Sending {
    fn run(&mut self, received: &Receiver<Recorded>) {
        loop {
            let next = if self.pending.is_empty() {
                received.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                received.recv_timeout(self.due.saturating_duration_since(Instant::now()))
            };
            match next {
                Ok(recorded) => self.take(&recorded),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let full = self.pending.len() >= BATCH && self.tries == 0;
            if !self.pending.is_empty() && (full || Instant::now() >= self.due) {
                self.send();
            }
        }
        // One try for each of the last: nobody waits for a second one.
        self.tries = TRIES;
        while !self.pending.is_empty() {
            self.send();
            self.tries = TRIES;
        }
    }

    fn take(&mut self, recorded: &Recorded) {
        if self.pending.is_empty() {
            self.due = Instant::now() + LINGER;
        }
        if self.pending.len() >= PENDING {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let made = spans_of(recorded, SystemTime::now(), recorded.start.elapsed(), self.random);
        if let Ok(spans) = made {
            self.pending.push_back(spans);
        } else {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            self.report("the system gives no random bytes for their ids");
        }
    }

    /// Sends the next batch, and removes it if it has arrived or is given up.
    fn send(&mut self) {
        let requests = self.pending.len().min(BATCH);
        let spans = self.pending.iter().take(requests).flatten().cloned().collect();
        match self.deliver(spans) {
            Ok(()) => {
                self.counters.exported.fetch_add(requests as u64, Ordering::Relaxed);
                self.failing = false;
            }
            Err(error) => {
                self.report(&error.to_string());
                self.tries += 1;
                if error.is_passing() && self.tries < TRIES {
                    self.due = Instant::now() + Duration::from_secs(1 << (self.tries - 1));
                    return;
                }
                self.counters.failed.fetch_add(requests as u64, Ordering::Relaxed);
            }
        }
        self.pending.drain(..requests);
        (self.tries, self.due) = (0, Instant::now() + LINGER);
    }

    fn deliver(&self, spans: Vec<Span>) -> Result<(), PostError> {
        let answer = post(&self.to, &request(spans).encode_to_vec())?;
        let rejected =
            Response::decode(&*answer).ok().and_then(|response| response.partial_success);
        if let Some(partial) = rejected.filter(|partial| partial.rejected_spans > 0) {
            let (count, why) = (partial.rejected_spans, partial.error_message);
            log::warn!("spans: the collector rejected {count}: {why:?}");
        }
        Ok(())
    }

    /// Once, and not for each batch while the collector is away.
    fn report(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            log::warn!("spans: they do not reach {}: {why}", self.to);
        }
    }
}

/// A message with these spans of this server.
fn request(spans: Vec<Span>) -> Request {
    let version = env!("CARGO_PKG_VERSION");
    let mut attributes = vec![
        KeyValue::of("service.name", "ringway"),
        KeyValue::of("service.version", version),
        KeyValue::of("process.pid", i64::from(std::process::id())),
    ];
    let host = rustix::system::uname();
    attributes.push(KeyValue::of("host.name", host.nodename().to_string_lossy().into_owned()));
    let scope = Scope { name: "ringway".to_owned(), version: version.to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let resource = Some(Resource { attributes });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;
    use crate::observe::Finished;

    const PATIENCE: Duration = Duration::from_secs(120);

    /// A collector that answers each message with the next of these statuses, and hands over what it
    /// took.
    fn collector(statuses: &'static [u16]) -> (Collector, Receiver<Request>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (given, taken) = mpsc::channel();
        thread::spawn(move || {
            for status in statuses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = Vec::new();
                let content = loop {
                    let mut piece = [0; 4096];
                    let read = stream.read(&mut piece).unwrap();
                    assert!(read > 0);
                    bytes.extend_from_slice(&piece[..read]);
                    let text = String::from_utf8_lossy(&bytes);
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let begin = head.len() + 4;
                    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                    let length = head.split("Content-Length: ").nth(1).unwrap();
                    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                    if let Some(content) = bytes.get(begin..begin + length) {
                        break content.to_vec();
                    }
                };
                if *status == 200 {
                    given.send(Request::decode(&*content).unwrap()).unwrap();
                }
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (to, taken)
    }

    fn slow(total: u64) -> Finished {
        Finished { total, status: 200, complete: true, ..Finished::default() }
    }

    fn spans(request: &Request) -> &[Span] {
        &request.resource_spans[0].scope_spans[0].spans
    }

    #[test]
    fn slow_requests_arrive_at_the_collector_after_it_was_away() {
        let (to, taken) = collector(&[503, 200]);
        let (exporter, feeds) = SpanExporter::start(to, Duration::from_nanos(100), 2).unwrap();
        assert!(feeds[0].wants(&slow(100)) && !feeds[0].wants(&slow(99)));
        assert!(feeds[0].wants(&Finished { status: 500, ..slow(1) }));
        assert!(feeds[0].wants(&Finished { complete: false, ..slow(1) }));
        for feed in &feeds {
            feed.push(&slow(100), None, b"GET /slow HTTP/1.1\r\n\r\n");
        }
        let request = taken.recv_timeout(PATIENCE).unwrap();
        assert_eq!(spans(&request).len(), 2);
        let until = Instant::now() + PATIENCE;
        let totals = SpanTotals { exported: 2, dropped: 0, failed: 0 };
        while exporter.handle().totals() != totals {
            assert!(Instant::now() < until, "{:?}", exporter.handle().totals());
            thread::sleep(Duration::from_millis(10));
        }
        drop(feeds);
        exporter.finish();
    }

    #[test]
    fn the_last_spans_leave_when_the_workers_have_ended() {
        let (to, taken) = collector(&[200]);
        let (exporter, feeds) = SpanExporter::start(to, Duration::ZERO, 1).unwrap();
        feeds[0].push(&slow(1), None, b"");
        drop(feeds);
        assert_eq!(spans(&taken.recv_timeout(PATIENCE).unwrap()).len(), 1);
        exporter.finish();
    }

    #[test]
    fn what_the_collector_refuses_is_counted_and_not_sent_again() {
        let (to, _taken) = collector(&[400]);
        let (exporter, feeds) = SpanExporter::start(to, Duration::ZERO, 1).unwrap();
        feeds[0].push(&slow(1), None, b"");
        let handle = exporter.handle();
        drop(feeds);
        exporter.finish();
        assert_eq!(handle.totals(), SpanTotals { exported: 0, dropped: 0, failed: 1 });
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        // The thread waits for a collector that accepts and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (exporter, feeds) = SpanExporter::start(to, Duration::ZERO, 1).unwrap();
        feeds[0].push(&slow(1), None, b"");
        let (_held, _) = listener.accept().unwrap();
        for _ in 0..QUEUE + 10 {
            feeds[0].push(&slow(1), None, b"");
        }
        assert_eq!(exporter.handle().totals().dropped, 10);
    }
}
