//! Bounds on memory, counts and sizes. What is "per worker" is multiplied by the workers; the sum
//! is printed as the [memory ceiling](super::MemoryCeiling).

/// Bounds that keep every pool, queue and message finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections per worker, 1 to 1,000,000. Default 10,000. Lowered at start to what the
    /// open-files limit allows, see [`Limits::fitted`]. At the limit, accepting pauses.
    pub connections: usize,
    /// Open connections of one address on all workers together, 0 to 1,000,000; an IPv6 address
    /// counts by its first 64 bits. Default 0: no limit, since many people may share an address.
    /// Beyond: reset as soon as it is accepted.
    pub connections_per_address: usize,
    /// Handshakes in flight per worker, 1 to `connections`. Default 1,024. A handshake costs far
    /// more memory and time than an established connection.
    pub handshakes: usize,
    /// Receive buffers per worker, a power of two from 8 to 32,768 (the kernel's bound for a
    /// buffer ring, `io_uring_register_buf_ring(3)`). Default 256.
    pub receive_buffers: usize,
    /// Bytes of one receive buffer, 4 KiB to 128 KiB. Default 16 KiB: one TLS record's plaintext,
    /// so that the kernel can decrypt straight into it.
    pub receive_buffer_bytes: usize,
    /// Receive buffers that one connection may hold at a time, 1 to 64, at most half of
    /// `receive_buffers`. Default 4.
    pub leases_per_connection: usize,
    /// Bytes of registered send memory per worker, 1 MiB to 1 GiB. Default 8 MiB.
    pub send_memory_bytes: usize,
    /// Bytes of a request head, 1 KiB to 64 KiB. Default 16 KiB. Beyond: 431.
    pub head_bytes: usize,
    /// Field lines of a request head, 8 to 1,000. Default 100. Beyond: 431.
    pub head_fields: usize,
    /// Bytes of a request target, 256 bytes to `head_bytes`. Default 8 KiB. Beyond: 414.
    pub target_bytes: usize,
    /// Bytes of a request body, 0 to 1 TiB. Default 1 MiB; a static site reads bodies only to find
    /// the next request, and drops them. Beyond: 413.
    pub body_bytes: u64,
    /// Requests on one connection, at least 1. Default 1,000,000. The last response says
    /// `Connection: close`.
    pub requests_per_connection: u64,
    /// Bytes of file content that a worker keeps at hand, 0 to 64 GiB. Default 64 MiB.
    pub file_cache_bytes: usize,
    /// The largest file that is kept at hand, in bytes, at most `file_cache_bytes`. Default 1 MiB.
    pub file_cache_max_file: usize,
    /// Files that a worker knows at a time, 0 to 1,000,000. Default 4,096. Each may hold one open
    /// descriptor.
    pub file_cache_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 0,
            handshakes: 1_024,
            receive_buffers: 256,
            receive_buffer_bytes: 16 << 10,
            leases_per_connection: 4,
            send_memory_bytes: 8 << 20,
            head_bytes: 16 << 10,
            head_fields: 100,
            target_bytes: 8 << 10,
            body_bytes: 1 << 20,
            requests_per_connection: 1_000_000,
            file_cache_bytes: 64 << 20,
            file_cache_max_file: 1 << 20,
            file_cache_entries: 4_096,
        }
    }
}

/// Descriptors of a worker besides connections and files: its ring, its event descriptors, up to 64
/// listeners, and its share of what the process has open anyway.
const DESCRIPTORS_ASIDE: usize = 128;

/// A connection holds its socket and, while a response is being sent, the file.
const DESCRIPTORS_PER_CONNECTION: usize = 2;

impl Limits {
    /// These limits, lowered to what each of `workers` can have under a limit of `open_files`
    /// descriptors for the process: at most a quarter of them for files at hand, the rest for
    /// connections. `None` if not even one connection would fit.
    pub fn fitted(&self, open_files: u64, workers: usize) -> Option<Self> {
        let each = usize::try_from(open_files).unwrap_or(usize::MAX) / workers.max(1);
        let free = each.saturating_sub(DESCRIPTORS_ASIDE);
        let file_cache_entries = self.file_cache_entries.min(free / 4);
        let fit = (free - file_cache_entries) / DESCRIPTORS_PER_CONNECTION;
        let connections = self.connections.min(fit);
        let handshakes = self.handshakes.min(connections);
        (connections > 0).then(|| Self {
            connections,
            handshakes,
            file_cache_entries,
            ..self.clone()
        })
    }

    /// Requests of a worker whose times are taken at once, at most: one for each connection, and
    /// as many again (a thousand at least) for those that are pipelined.
    pub fn open_requests(&self) -> usize {
        self.connections.saturating_add(self.connections.max(1_000))
    }

    /// The descriptors that `workers` need for every limit to be reachable.
    pub fn open_files_wanted(&self, workers: usize) -> u64 {
        let connections = self.connections.saturating_mul(DESCRIPTORS_PER_CONNECTION);
        let each =
            connections.saturating_add(self.file_cache_entries).saturating_add(DESCRIPTORS_ASIDE);
        each.saturating_mul(workers.max(1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn enough_descriptors_leave_the_limits_alone() {
        let limits = Limits::default();
        let wanted = limits.open_files_wanted(4);
        assert_eq!(limits.fitted(wanted, 4), Some(limits.clone()));
        assert!(limits.fitted(wanted - 8, 4).unwrap().connections < limits.connections);
        assert_eq!(limits.fitted(u64::MAX, 0), Some(limits.clone()));
    }

    #[test]
    fn few_descriptors_are_shared_between_files_and_connections() {
        let fitted = Limits::default().fitted(1_024, 1).unwrap();
        let free = 1_024 - 128;
        assert_eq!(fitted.file_cache_entries, free / 4);
        assert_eq!(fitted.connections, (free - free / 4) / 2);
        assert_eq!(fitted.handshakes, fitted.connections);
        assert!(fitted.open_files_wanted(1) <= 1_024);
    }

    #[test]
    fn too_few_descriptors_leave_no_connection() {
        assert_eq!(Limits::default().fitted(1_024, 8), None);
        assert_eq!(Limits::default().fitted(0, 1), None);
    }
}
