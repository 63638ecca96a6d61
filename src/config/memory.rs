//! The memory ceiling: what the bounds in [`Limits`](super::Limits) add up to, printed at start so that nobody
//! has to find it out under attack.

use std::fmt;

use super::{Config, IoMode};

/// State of one established connection in user space, at most: keys, counters, timers, the task.
const CONNECTION_STATE_BYTES: usize = 8 << 10;

/// What a connection of HTTP/2 has besides: the loop's state, queued replies, the table of HPACK.
pub(crate) const H2_STATE_BYTES: usize = 12 << 10;

/// One of its streams, at most twice while their number grows. What a stream's head and content take
/// besides is in [`H2_HELD_BYTES`]. Also what is noted of it for reports.
pub(crate) const H2_STREAM_BYTES: usize = 2 * (240 + 40);

/// Heads in pieces, requests that wait for look-ups, heads of answers that wait for room, pages and
/// multipart ranges that wait for windows, content of requests that its responder does not want yet,
/// content that was received to be sent at once and whose window has shut since, for each worker; beyond,
/// streams are refused.
pub(crate) const H2_HELD_BYTES: usize = 16 << 20;

/// Pieces of cookies that a request may have beside its fields.
const H2_CRUMBS: usize = 256;

/// Plaintext of one TLS record, at most (RFC 8446 section 5.1).
const RECORD_PLAINTEXT_BYTES: usize = 16 << 10;

/// One TLS record that arrived in part: its header, 2^14 bytes and the expansion that TLS 1.3
/// allows (RFC 8446 section 5.2).
const PARTIAL_RECORD_BYTES: usize = 5 + RECORD_PLAINTEXT_BYTES + 256;

/// The framing of a full record of TLS 1.3, for which a receive buffer has room beside each 16 KiB of its
/// size: header, content type, tag (RFC 8446 section 5.2).
const RECEIVE_BUFFER_FRAMING_BYTES: usize = 22;

/// Bytes between two receive buffers, at most: rounding to a cache line, and a line more.
const RECEIVE_BUFFER_STEP_BYTES: usize = 2 * 64;

/// A handshake in flight, at most: rustls's state, the flights of both sides, the key schedule.
const HANDSHAKE_BYTES: usize = 96 << 10;

/// What a connection holds of its client before it has a place for its handshake, at most: a
/// ClientHello (`Handshake::MAX_BYTES`), and what came behind it in the same receive buffer. It is
/// part of what a connection may gather of a head later.
const HELLO_BYTES: usize = 32 << 10;

/// What a client's certificates add to that: themselves, what checking them takes, two tickets.
const CLIENT_CERTIFICATE_BYTES: usize = 96 << 10;

/// A pair of certificate and key, at most, and the one that is read to take its place.
const CERTIFICATE_BYTES: usize = 2 * (128 << 10);

/// The authorities of clients, at most, as PEM and as read, and those that take their place.
const AUTHORITIES_BYTES: usize = 4 << 20;

/// What is known about one file besides its content: path, entity tag, metadata.
const FILE_ENTRY_BYTES: usize = 2 << 10;

/// What a worker notes of itself: histograms, the slowest requests, a batch of the access log.
pub(crate) const OBSERVER_BYTES: usize = 3 << 20;

/// Requests on their way to a collector of spans, and spans that wait for it, where there is one.
pub(crate) const SPANS_BYTES: usize = 8 << 20;

/// What the last hour of a worker takes, at most, where there is an admin listener to ask for it.
pub(crate) const HISTORY_BYTES: usize = 44 << 20;

/// Connections to an admin listener that speaks TLS, 16 at most.
const ADMIN_TLS_BYTES: usize = 16 * (HANDSHAKE_BYTES + CLIENT_CERTIFICATE_BYTES);

/// The times of a request that is not done, with the first line of its head.
pub(crate) const OPEN_REQUEST_BYTES: usize = 544;

/// What is kept of its head besides for the access log.
pub(crate) const LOGGED_HEAD_BYTES: usize = 4 << 10;

/// An address that has a connection open, in the table of those whose connections are limited: at
/// worst each connection is of another one.
pub(crate) const ADDRESS_BYTES: usize = 96;

/// Pages that list folders, and what making them takes; beyond, a listing is answered with 503.
pub(crate) const LISTING_BYTES: usize = 64 << 20;

/// Request content that a worker holds before a server gets it, for all its pools; beyond, requests
/// stream.
pub(crate) const HELD_REQUESTS: usize = 32 << 20;

/// Content of responses that a worker holds for clients that do not keep up, for all its pools; beyond,
/// servers are not read.
pub(crate) const HELD_RESPONSES: usize = 32 << 20;

/// A thread that checks the health of servers or resolves their names: what it touches of its stack, and one
/// answer.
const UPSTREAM_THREAD_BYTES: usize = 256 << 10;

/// The state of an exchange, and what Ringway's own fields add to a head.
pub(crate) const REQUEST_STATE_BYTES: usize = 4 << 10;

/// Trailers of a request, at most (`decode::MAX_TRAILER_BYTES`), as they came and as they go on.
const TRAILERS_BYTES: usize = 2 * (8 << 10);

/// A session with a server that speaks TLS: what rustls has, a record in each direction as it came and
/// as it was opened or sealed.
const UPSTREAM_TLS_BYTES: usize = 128 << 10;

/// The state of a connection to a server.
const UPSTREAM_STATE_BYTES: usize = 2 << 10;

/// A site, or a route of one, with usual rules: what is known of it, and its part of the tables that
/// choose it. A worker has it twice while one configuration takes the place of another.
const SITE_BYTES: usize = 4 << 10;

/// What an exchange with a service takes besides its head: one piece of the request's content, and what
/// the service has written to a tunnel. What the service itself keeps is its own.
const SERVICE_EXCHANGE_BYTES: usize = RECORD_PLAINTEXT_BYTES + (64 << 10);

/// The map of fields that a worker keeps for the next request of a service, at most
/// (`conn/exchange/field_map.rs`): 48 names with their values and an index, and 64 further values.
const SPARE_FIELDS_BYTES: usize = 10 << 10;

/// The block that a worker copies heads for services into, one behind the other. What a request holds of
/// others is in its exchange's part.
pub(crate) const HEAD_BLOCK_BYTES: usize = 4 << 10;

/// Threads that compute hashes of passwords.
pub(crate) const HASHING_THREADS: usize = 2;

/// Passwords that wait for one of them; beyond, 503.
pub(crate) const HASHING_WAITING: usize = 32;

/// What hashing takes, and users with their hashes: twice while one configuration takes the place of
/// another.
const PASSWORDS_BYTES: usize =
    HASHING_THREADS * ((super::auth::MAX_ARGON2_KIB as usize) << 10) + (32 << 20);

/// The threads of a worker that polls which wait for disks and file servers (`ring/poll/helper.rs`):
/// their number, at most, times a stack. A stack touches an eighth of that; the rest covers the names
/// of a path that is walked.
pub(crate) const DISK_THREADS_BYTES: usize = 132 * (128 << 10);

/// Contents of files that wait to be compressed, and compressed ones that are not in the cache yet; beyond,
/// nothing is compressed.
pub(crate) const PRESS_HELD_BYTES: usize = 32 << 20;

/// The encoder of files, at most, with the content that it makes and the stack of its thread. Zstandard at
/// level 19 with a window of 4 MiB has chains of 32 MiB, a hash table of 16 MiB, its window and its parser.
const PRESS_BYTES: usize = (96 << 20) + (8 << 20);

/// Answers that a worker compresses while it sends them; beyond, they go as they are.
pub(crate) const ENCODERS: usize = 32;

/// An encoder of such an answer, the piece of content that it reads, and what it has written, at most.
pub(crate) const ENCODER_BYTES: usize = 4 << 20;

/// Stack, ring and tables of a worker, memory for the replies of native handlers, and the descriptors of those who wait for room
/// (`accept::MOST_WAITING`).
const WORKER_BYTES: usize = 4 << 20;

/// An upper bound on the user memory of a whole server, with its parts. Socket buffers and the
/// page cache belong to the kernel and are not counted; of what is sent, the kernel holds no more
/// for a connection than its peer's window and 256 KiB (`MAX_UNSENT`); of what is received, what
/// `net.ipv4.tcp_rmem` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCeiling {
    parts: Vec<MemoryPart>,
}

/// One part of a [`MemoryCeiling`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryPart {
    /// What the memory is for.
    pub what: &'static str,
    /// Bytes, for the whole server.
    pub bytes: u64,
}

impl Config {
    /// What `workers` workers may take of user memory at most, under these limits. Under
    /// [`IoMode::Auto`] they are taken to run on io_uring; what polling adds is counted under
    /// [`IoMode::Poll`] alone.
    pub fn memory_ceiling(&self, workers: usize) -> MemoryCeiling {
        self.memory_ceiling_where(workers, self.io == IoMode::Poll)
    }

    /// The same once it is known whether the workers poll.
    pub(crate) fn memory_ceiling_where(&self, workers: usize, they_poll: bool) -> MemoryCeiling {
        let mut ceiling = MemoryCeiling::of(self, workers);
        if they_poll {
            let bytes = DISK_THREADS_BYTES.saturating_mul(workers) as u64;
            ceiling.parts.push(MemoryPart { what: "disk threads", bytes });
        }
        let authorities = if self.client_auth.is_some() { AUTHORITIES_BYTES } else { 0 };
        let pairs = self.certificate_in_force().pairs().len().max(1);
        let bytes = pairs.saturating_mul(CERTIFICATE_BYTES).saturating_add(authorities) as u64;
        ceiling.parts.push(MemoryPart { what: "certificates", bytes });
        if !self.pools.is_empty() {
            let bytes = self.upstream_bytes(workers) as u64;
            ceiling.parts.push(MemoryPart { what: "upstreams", bytes });
        }
        let is_service = |route: &super::Route| matches!(route.action, super::Action::Service(_));
        if self.sites.iter().flat_map(|site| &site.routes).any(is_service) {
            // A head is copied once, and its fields lie in a map that may be half empty.
            let exchange = self.limits.head_bytes.saturating_mul(3);
            let exchange = exchange.saturating_add(SERVICE_EXCHANGE_BYTES);
            let connections = self.limits.connections_of(workers);
            let kept = workers.saturating_mul(SPARE_FIELDS_BYTES + HEAD_BLOCK_BYTES);
            let bytes = connections.saturating_mul(exchange).saturating_add(kept) as u64;
            ceiling.parts.push(MemoryPart { what: "applications", bytes });
        }
        if !self.rates.is_empty() {
            // Those in use, those of the same plan that were not needed, and those of the next one.
            let bytes = self.rate_bytes().saturating_mul(3) as u64;
            ceiling.parts.push(MemoryPart { what: "rates", bytes });
        }
        if !self.auths.is_empty() {
            let bytes = PASSWORDS_BYTES as u64;
            ceiling.parts.push(MemoryPart { what: "passwords", bytes });
        }
        let errors = self.error_contents();
        if !errors.is_empty() {
            // Those in use, and those of the next configuration.
            let bytes =
                errors.iter().map(|content| content.memory()).fold(0, usize::saturating_add);
            let bytes = bytes.saturating_mul(2) as u64;
            ceiling.parts.push(MemoryPart { what: "error pages", bytes });
        }
        let files = if self.compresses_files() { PRESS_HELD_BYTES + PRESS_BYTES } else { 0 };
        let encoders = if self.compresses_answers() { ENCODERS * ENCODER_BYTES } else { 0 };
        if files + encoders > 0 {
            // Those in use, and those of the next configuration.
            let forms = self.coded_forms().saturating_mul(2);
            let each = encoders.saturating_add(forms);
            let bytes = each.saturating_mul(workers).saturating_add(files) as u64;
            ceiling.parts.push(MemoryPart { what: "compression", bytes });
        }
        if !self.sites.is_empty() {
            let routes: usize = self.sites.iter().map(|site| site.routes.len()).sum();
            let each = self.sites.len().saturating_add(routes).saturating_mul(SITE_BYTES);
            let bytes = each.saturating_mul(workers.saturating_add(1)) as u64;
            ceiling.parts.push(MemoryPart { what: "sites", bytes });
        }
        ceiling
    }
}

impl Config {
    /// What exchanges with upstream servers take: what is held of requests whose clients are waited for,
    /// their heads included; a head of a request for each place at a server and in line; and for each
    /// connection to a server a head of a response, as it came (gathered in a vector that may have
    /// grown to twice what it holds) and as it goes on, and what was moved out of one receive buffer.
    fn upstream_bytes(&self, workers: usize) -> usize {
        let connections = self.limits.connections_of(workers);
        let streams = if self.http2 { self.limits.h2_streams.max(1) } else { 1 };
        let most_requests = connections.saturating_mul(streams);
        let own = REQUEST_STATE_BYTES + TRAILERS_BYTES;
        let request = self.limits.head_bytes.saturating_add(own);
        let places =
            |pool: &super::PoolOptions| (pool.max as usize).saturating_mul(pool.most_servers());
        let waiting = |pool: &super::PoolOptions| pool.waiting as usize;
        let begun = self.pools.values().map(|pool| places(pool).saturating_add(waiting(pool)));
        let begun = begun.fold(0, usize::saturating_add).min(most_requests);
        let requests = begun.saturating_mul(request);
        let held = (HELD_REQUESTS + HELD_RESPONSES).saturating_mul(workers);
        let of_pool = |pool: &super::PoolOptions| {
            let moved = self.limits.receive_buffer_bytes.saturating_add(UPSTREAM_STATE_BYTES);
            let tls = if pool.is_secured() { UPSTREAM_TLS_BYTES } else { 0 };
            let moved = moved.saturating_add(tls);
            let response = pool.head_bytes.saturating_mul(3).saturating_add(moved);
            // No more of them are in use than there are requests; those that are kept hold no head.
            response.saturating_mul(places(pool).min(most_requests))
        };
        let responses = self.pools.values().map(of_pool).fold(0, usize::saturating_add);
        let names =
            self.pools.values().any(|pool| pool.servers.iter().any(|s| s.address.is_name()));
        let checked = self.pools.values().filter(|pool| pool.health.path.is_some()).count();
        let threads = checked.saturating_add(usize::from(names));
        let threads = threads.saturating_mul(UPSTREAM_THREAD_BYTES);
        [requests, held, responses, threads].into_iter().fold(0, usize::saturating_add)
    }
}

impl MemoryCeiling {
    fn of(config: &Config, workers: usize) -> Self {
        let limits = &config.limits;
        let logs = config.observe.access_log.is_some() || config.observe.otlp.is_some();
        let listings = if config.lists_folders() { LISTING_BYTES } else { 0 };
        let asks_clients = config.client_auth.is_some();
        // A head that comes in pieces is gathered up to its limit and the end of the record that
        // passes it, in a vector that may have grown to twice what it holds.
        let arrived = limits.receive_buffer_bytes.max(RECORD_PLAINTEXT_BYTES);
        let gathered = limits.head_bytes.saturating_add(arrived).saturating_mul(2);
        // Before, it may hold a ClientHello in memory of its own.
        let gathered = gathered.max(HELLO_BYTES.saturating_add(arrived));
        let connection =
            CONNECTION_STATE_BYTES.saturating_add(gathered).saturating_add(PARTIAL_RECORD_BYTES);
        // As much again may have been moved out of the buffers (`ReceivePool::set_aside`).
        let records = limits.receive_buffer_bytes.div_ceil(RECORD_PLAINTEXT_BYTES);
        let beside = records * RECEIVE_BUFFER_FRAMING_BYTES + RECEIVE_BUFFER_STEP_BYTES;
        let buffer = limits.receive_buffer_bytes.saturating_add(beside);
        let received = limits.receive_buffers.saturating_mul(buffer);
        // As much again as the cache holds may have left it and be on its way to slow readers.
        let entries = limits.file_cache_entries.saturating_mul(FILE_ENTRY_BYTES);
        let request = OPEN_REQUEST_BYTES + if logs { LOGGED_HEAD_BYTES } else { 0 };
        let requests = limits.open_requests().saturating_mul(request);
        let spans = if config.observe.otlp.is_some() { SPANS_BYTES } else { 0 };
        let history = if config.observe.admin.is_some() { HISTORY_BYTES } else { 0 };
        let admin = if config.observe.guards_admin() { ADMIN_TLS_BYTES } else { 0 };
        let observation = OBSERVER_BYTES.saturating_add(history).saturating_add(requests);
        let handshake = HANDSHAKE_BYTES + if asks_clients { CLIENT_CERTIFICATE_BYTES } else { 0 };
        let limited = if limits.connections_per_address > 0 { ADDRESS_BYTES } else { 0 };
        let connection = connection.saturating_add(limited);
        let streams = limits.h2_streams.saturating_mul(H2_STREAM_BYTES);
        let h2 = H2_STATE_BYTES.saturating_add(streams);
        let h2 = limits.connections_of(workers).saturating_mul(h2);
        // Each worker decodes heads in two pieces of memory, and keeps all fields in a third, which
        // may have grown to twice what it holds.
        let fields = limits.head_bytes.saturating_add(8 * (limits.head_fields + H2_CRUMBS));
        let scratch = limits.head_bytes.saturating_mul(2).saturating_add(fields.saturating_mul(2));
        let heads = H2_HELD_BYTES.saturating_add(scratch);
        let h2 = h2.saturating_add(heads.saturating_mul(workers));
        // What each worker has is multiplied by them; connections have a limit together as well.
        let of_each = |bytes: usize| bytes.saturating_mul(workers);
        let cache = limits.file_cache_bytes.saturating_mul(2).saturating_add(entries);
        let parts = [
            ("receive buffers", of_each(received.saturating_mul(2))),
            ("send memory", of_each(limits.send_memory_bytes)),
            ("file cache", of_each(cache)),
            ("connections", limits.connections_of(workers).saturating_mul(connection)),
            ("HTTP/2", if config.http2 { h2 } else { 0 }),
            ("handshakes", limits.handshakes_of(workers).saturating_mul(handshake)),
            ("listings", of_each(listings)),
            ("observation", of_each(observation).saturating_add(spans + admin)),
            ("workers", of_each(WORKER_BYTES)),
        ];
        let parts = parts.map(|(what, bytes)| MemoryPart { what, bytes: bytes as u64 });
        Self { parts: parts.to_vec() }
    }

    /// The parts, each for the whole server.
    pub fn parts(&self) -> &[MemoryPart] {
        &self.parts
    }

    /// The sum of the parts, in bytes.
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
    }
}

impl fmt::Display for MemoryCeiling {
    /// `at most 1.1 GiB of user memory: receive buffers 8 MiB, …`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} of user memory: ", Bytes(self.total()))?;
        for (index, part) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", part.what, Bytes(part.bytes))?;
        }
        Ok(())
    }
}

/// Bytes for a person: a whole number of the largest unit that leaves three digits or so.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "bytes");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        if value < 10.0 && value.fract() != 0.0 {
            write!(f, "{value:.1} {unit}")
        } else {
            write!(f, "{value:.0} {unit}")
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
