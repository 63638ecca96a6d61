//! Bounds on memory, counts and sizes. What is "per worker" is multiplied by the workers; the sum
//! is printed as the [memory ceiling](super::MemoryCeiling).

/// The most field lines of a request head: the parser lists them in memory of this fixed size.
pub(crate) const MAX_HEAD_FIELDS: usize = 100;

/// Bounds that keep every pool, queue and message finite.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections per worker, 1 to 1,000,000. Default 10,000. Lowered at start to what the
    /// open-files limit allows, see [`Limits::fitted`]. At the limit, the worker closes the
    /// connection that has gone longest without a whole ClientHello (half a second at least), by a
    /// reset; if there is none, the one that has waited longest for a request (a second at least),
    /// with `close_notify`; if there is none either, new connections wait in the kernel's queue. A burst of new ones may bring
    /// more at once: those wait likewise, with their descriptor and nothing else, at most 4,096 of
    /// each listener. Beyond: closed.
    pub connections: usize,
    /// Open connections on all workers together, 0 to 1,000,000,000. Default 0: no limit but
    /// `connections` of each. At the limit as at that one; a worker that has no idle connection asks
    /// the others in turn to evict theirs, and each looks every 20 ms whether there is a
    /// place, which is for the first that does.
    pub connections_in_all: usize,
    /// Open connections of one address on all workers together, 0 to 1,000,000; an IPv6 address
    /// counts by its first 64 bits. Default 0: no limit, since many people may share an address.
    /// Beyond: reset as soon as it is accepted.
    pub connections_per_address: usize,
    /// Handshakes in flight per worker, 1 to `connections`. Default 1,024. A handshake costs far
    /// more memory and time than an established connection. It is in flight once its ClientHello
    /// has arrived whole: connections that send nothing do not count. Beyond: new handshakes wait
    /// in line, and while they do, the worker closes the one whose client has not gone on for
    /// longest (a second at least).
    pub handshakes: usize,
    /// Receive buffers per worker, a power of two from 8 to 32,768 (the kernel's bound for a
    /// buffer ring, `io_uring_register_buf_ring(3)`). Default 1,024, of which the kernel has as many
    /// as the load needs: each request that has come and waits its turn holds one.
    pub receive_buffers: usize,
    /// Bytes of one receive buffer, 4 KiB to 128 KiB. Default 16 KiB: one TLS record's plaintext,
    /// so that the kernel can decrypt straight into it. Where the kernel does not, it has 22 bytes
    /// besides for each 16 KiB: the framing of the record, which is then opened in place.
    pub receive_buffer_bytes: usize,
    /// Receive buffers that one connection may hold at a time, 1 to 64, at most half of
    /// `receive_buffers`. Default 4. With so many filled, its receiving is cancelled. What had
    /// arrived by then may be up to 32 buffers more (`MULTISHOT_MAX_RETRY` in `io_uring`), and all
    /// that are left of `receive_buffers` if it goes on arriving; they are given back within a
    /// turn of the loop, or moved to memory that the ceiling counts if the connection is held up.
    pub leases_per_connection: usize,
    /// Bytes of registered send memory per worker, 1 MiB to 1 GiB. Default 8 MiB.
    pub send_memory_bytes: usize,
    /// Bytes of a request head, 1 KiB to 64 KiB. Default 16 KiB. Beyond: 431.
    pub head_bytes: usize,
    /// Field lines of a request head, 8 to 100. Default 100. Beyond: 431.
    pub head_fields: usize,
    /// Bytes of a request target, 256 bytes to `head_bytes`. Default 8 KiB. Beyond: 414.
    pub target_bytes: usize,
    /// Bytes of a request body, 0 to 1 TiB. Default 1 MiB; a static site reads bodies only to find
    /// the next request, and drops them. Beyond: 413.
    pub body_bytes: u64,
    /// Requests on one connection, at least 1. Default 1,000,000. The last response says
    /// `Connection: close`.
    pub requests_per_connection: u64,
    /// Streams of an HTTP/2 connection at a time, 1 to 1,000; the client learns it from
    /// SETTINGS_MAX_CONCURRENT_STREAMS. Beyond: REFUSED_STREAM, and the client tries again.
    pub h2_streams: usize,
    /// Bytes of file content that a worker caches, 0 to 64 GiB. Default 64 MiB.
    pub file_cache_bytes: usize,
    /// The largest file that is cached, in bytes, at most `file_cache_bytes`. Default 1 MiB.
    pub file_cache_max_file: usize,
    /// Files that a worker knows at a time, 0 to 1,000,000. Default 4,096. Each may hold one open
    /// descriptor.
    pub file_cache_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_in_all: 0,
            connections_per_address: 0,
            handshakes: 1_024,
            receive_buffers: 1_024,
            receive_buffer_bytes: 16 << 10,
            leases_per_connection: 4,
            send_memory_bytes: 8 << 20,
            head_bytes: 16 << 10,
            head_fields: MAX_HEAD_FIELDS,
            target_bytes: 8 << 10,
            body_bytes: 1 << 20,
            requests_per_connection: 1_000_000,
            h2_streams: 100,
            file_cache_bytes: 64 << 20,
            file_cache_max_file: 1 << 20,
            file_cache_entries: 4_096,
        }
    }
}

/// Descriptors of the process besides those of its workers: the standard streams, signals, the
/// access log and the admin listener, and some that it may have inherited.
const DESCRIPTORS_OF_PROCESS: usize = 16;

/// Descriptors of a worker besides listeners, connections and files: its ring, its inbox, the
/// folder, and one to spare.
const DESCRIPTORS_OF_WORKER: usize = 4;

/// Descriptors of a worker that are kept for folders being listed and clients of the admin
/// listener; where there are few, an eighth of them.
const DESCRIPTORS_ASIDE: usize = 64;

/// A connection holds its socket and, while a response is being sent, the file.
const DESCRIPTORS_PER_CONNECTION: usize = 2;

impl Limits {
    /// These limits, lowered to what each of `workers` with `listeners` each can have under a limit
    /// of `open_files` descriptors for the process: a quarter of them for cached files, or what
    /// connections leave, the rest for connections. `None` if not even one connection would fit.
    pub fn fitted(&self, open_files: u64, workers: usize, listeners: usize) -> Option<Self> {
        let all = usize::try_from(open_files).unwrap_or(usize::MAX);
        let each = all.saturating_sub(DESCRIPTORS_OF_PROCESS) / workers.max(1);
        let free = each.saturating_sub(DESCRIPTORS_OF_WORKER.saturating_add(listeners));
        let free = free - DESCRIPTORS_ASIDE.min(free / 8);
        let share = self.share(workers);
        let left = free.saturating_sub(share.saturating_mul(DESCRIPTORS_PER_CONNECTION));
        let file_cache_entries = self.file_cache_entries.min(left.max(free / 4));
        let fit = (free - file_cache_entries) / DESCRIPTORS_PER_CONNECTION;
        // If there are descriptors for all connections together, it does not matter whose they are.
        let connections = if fit < share { fit } else { self.connections };
        let handshakes = self.handshakes.min(connections);
        (connections > 0).then(|| Self {
            connections,
            handshakes,
            file_cache_entries,
            ..self.clone()
        })
    }

    /// Connections that `workers` may have open together.
    pub fn connections_of(&self, workers: usize) -> usize {
        self.connections.saturating_mul(workers).min(self.in_all())
    }

    /// Handshakes that `workers` may have in flight together.
    pub fn handshakes_of(&self, workers: usize) -> usize {
        self.handshakes.saturating_mul(workers).min(self.in_all())
    }

    /// Requests of a worker whose times are taken at once, at most: one for each connection, and
    /// as many again (a thousand at least) for those that are pipelined.
    pub fn open_requests(&self) -> usize {
        let connections = self.connections_of(1);
        connections.saturating_add(connections.max(1_000))
    }

    /// The connections of each of `workers` if all have as many.
    fn share(&self, workers: usize) -> usize {
        self.connections.min(self.in_all().div_ceil(workers.max(1)))
    }

    fn in_all(&self) -> usize {
        if self.connections_in_all == 0 { usize::MAX } else { self.connections_in_all }
    }

    /// The descriptors that `workers` with `listeners` each need for every limit to be reachable.
    pub fn open_files_wanted(&self, workers: usize, listeners: usize) -> u64 {
        let connections = self.share(workers).saturating_mul(DESCRIPTORS_PER_CONNECTION);
        let each = [self.file_cache_entries, DESCRIPTORS_ASIDE, DESCRIPTORS_OF_WORKER, listeners]
            .into_iter()
            .fold(connections, usize::saturating_add);
        each.saturating_mul(workers.max(1)).saturating_add(DESCRIPTORS_OF_PROCESS) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn enough_descriptors_leave_the_limits_alone() {
        let few = Limits { connections: 4, handshakes: 4, ..Limits::default() };
        let few_in_all = Limits { connections_in_all: 1_001, ..Limits::default() };
        for limits in [Limits::default(), few, few_in_all] {
            let wanted = limits.open_files_wanted(4, 2);
            assert_eq!(limits.fitted(wanted, 4, 2), Some(limits.clone()));
            assert_ne!(limits.fitted(wanted - 8, 4, 2), Some(limits.clone()));
            assert_eq!(limits.fitted(u64::MAX, 0, 2), Some(limits.clone()));
        }
    }

    #[test]
    fn few_descriptors_are_shared_between_files_and_connections() {
        let fitted = Limits::default().fitted(1_024, 1, 2).unwrap();
        let free = 1_024 - 16 - 4 - 2 - 64;
        assert_eq!(fitted.file_cache_entries, free / 4);
        assert_eq!(fitted.connections, (free - free / 4) / 2);
        assert_eq!(fitted.handshakes, fitted.connections);
        assert!(fitted.open_files_wanted(1, 2) <= 1_024);
    }

    #[test]
    fn a_limit_of_all_together_needs_no_more_descriptors_however_they_are_spread() {
        let limits = Limits { connections_in_all: 500, ..Limits::default() };
        let fitted = limits.fitted(4_096, 2, 2).unwrap();
        let free = (4_096 - 16) / 2 - 4 - 2 - 64;
        assert_eq!(fitted.file_cache_entries, free - 500);
        assert_eq!(fitted.connections, 10_000);
        assert_eq!((fitted.connections_of(2), fitted.connections_of(1)), (500, 500));
        assert_eq!(fitted.handshakes_of(2), 500);
        // Too few for all: each worker has what it can have.
        let fitted = limits.fitted(1_100, 2, 2).unwrap();
        assert!(fitted.connections < 250);
        assert_eq!(fitted.connections_of(2), 2 * fitted.connections);
        assert!(fitted.open_files_wanted(2, 2) <= 1_100);
    }

    #[test]
    fn very_few_descriptors_leave_some_connections() {
        assert_eq!(Limits::default().fitted(64, 2, 2).unwrap().connections, 6);
        assert_eq!(Limits::default().fitted(64, 1, 1).unwrap().connections, 14);
    }

    #[test]
    fn too_few_descriptors_leave_no_connection() {
        assert_eq!(Limits::default().fitted(64, 8, 2), None);
        assert_eq!(Limits::default().fitted(0, 1, 1), None);
    }
}
