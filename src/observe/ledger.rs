//! The copy ledger: which bytes of content passed through which hands.
//!
//! The invariant: every figure says whether it was counted where the bytes moved or derived from
//! such a count and what the kernel does with bytes on that path, and no byte is counted under two
//! paths. Heads are not content and are counted apart.

use super::Basis;

/// What a [`Writer`](crate::write::Writer) did with content since it was last asked, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Of heads: what was queued before content.
    pub head: u64,
    /// Of a page that the server made: copied behind its head, and sealed there.
    pub inline: u64,
    /// Of such a page: copied into memory of its own first, and then as below.
    pub shared: u64,
    /// Copied behind a head in send memory, and sealed there.
    pub copied: u64,
    /// Sealed from the worker's memory into send memory.
    pub sealed: u64,
    /// Lent to kernel TLS where they lie in the worker's memory.
    pub lent: u64,
    /// Read from a file into send memory, and sealed there.
    pub read: u64,
    /// Read from a file into send memory, for kernel TLS.
    pub read_for_kernel: u64,
    /// Given to kernel TLS by sendfile(2).
    pub sendfile: u64,
}

impl Moved {
    /// All content.
    pub fn content(self) -> u64 {
        self.inline
            + self.copied
            + self.sealed
            + self.lent
            + self.read
            + self.read_for_kernel
            + self.sendfile
    }
}

/// What a [`Reader`](crate::read::Reader) took since it was last asked, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records that came from the socket, sealed.
    pub sealed: u64,
    /// Of these, plaintext that was opened.
    pub opened: u64,
    /// Plaintext that came from kernel TLS.
    pub plain: u64,
    /// Copied because a record or a head came in pieces, with user-space TLS.
    pub copied: u64,
    /// The same with kernel TLS.
    pub copied_of_kernel: u64,
}

impl Taken {
    /// Takes note of bytes that were copied because they came in pieces, opened by the kernel or
    /// not.
    pub fn note_copy(&mut self, kernel: bool, count: usize) {
        let copied = if kernel { &mut self.copied_of_kernel } else { &mut self.copied };
        *copied += count as u64;
    }
}

/// A way of content to the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Route {
    /// User-space TLS, file from the cache.
    UserCache,
    /// User-space TLS, file read.
    UserRead,
    /// User-space TLS, generated body.
    UserPage,
    /// Kernel TLS, file from the cache.
    KernelCache,
    /// Kernel TLS, file from the page cache.
    KernelSendfile,
    /// Kernel TLS, file read.
    KernelRead,
    /// Kernel TLS, generated body.
    KernelPage,
}

impl Route {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::UserCache,
        Self::UserRead,
        Self::UserPage,
        Self::KernelCache,
        Self::KernelSendfile,
        Self::KernelRead,
        Self::KernelPage,
    ];

    /// Who seals: `user` or `kernel`.
    pub fn tls(self) -> &'static str {
        if self.is_kernel() { "kernel" } else { "user" }
    }

    /// Whether the kernel seals.
    pub fn is_kernel(self) -> bool {
        self as u8 >= Self::KernelCache as u8
    }

    /// Where the content comes from.
    pub fn body(self) -> &'static str {
        match self {
            Self::UserCache | Self::KernelCache => "cache",
            Self::KernelSendfile => "sendfile",
            Self::UserRead | Self::KernelRead => "read",
            Self::UserPage | Self::KernelPage => "generated",
        }
    }

    /// Both, as reports and logs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserCache => "user_tls/cache",
            Self::UserRead => "user_tls/read",
            Self::UserPage => "user_tls/generated",
            Self::KernelCache => "kernel_tls/cache",
            Self::KernelSendfile => "kernel_tls/sendfile",
            Self::KernelRead => "kernel_tls/read",
            Self::KernelPage => "kernel_tls/generated",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::UserCache => "user-space TLS, file from the cache",
            Self::UserRead => "user-space TLS, file read",
            Self::UserPage => "user-space TLS, generated body",
            Self::KernelCache => "kernel TLS, file from the cache",
            Self::KernelSendfile => "kernel TLS, file from the page cache",
            Self::KernelRead => "kernel TLS, file read",
            Self::KernelPage => "kernel TLS, generated body",
        }
    }
}

/// Bytes that moved from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The place before.
    pub from: &'static str,
    /// The place after.
    pub to: &'static str,
    /// `copy` or `cipher`.
    pub kind: &'static str,
    /// `user` or `kernel`.
    pub by: &'static str,
    /// The function that does it.
    pub place: &'static str,
    /// How many.
    pub bytes: u64,
    /// How that is known.
    pub basis: Basis,
}

/// What one route carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Responses that took it for the most of their content.
    pub responses: u64,
    /// Of pages: copied in user space. Of files: copied behind a head.
    pub copied: u64,
    /// Content that was not copied into send memory by us.
    pub straight: u64,
    /// Of pages: copied into memory of their own first. Part of the others.
    pub shared: u64,
}

impl Carried {
    /// Bytes of content.
    pub fn payload(self) -> u64 {
        self.copied + self.straight
    }
}

/// The ledger of one worker, or the sum of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    routes: [Carried; Route::COUNT],
    taken: Taken,
    /// Bytes of response heads.
    pub heads: u64,
    /// Bytes received in handshakes. Each is copied once: to rustls's input.
    pub handshake_received: u64,
    /// Bytes sent in handshakes. Each is copied once: to send memory.
    pub handshake_sent: u64,
}

impl Ledger {
    /// Enters a response and says which route most of its content took.
    pub fn sent(&mut self, kernel: bool, moved: Moved) -> Option<Route> {
        self.heads += moved.head;
        let page = moved.inline + moved.shared > 0;
        let (route, copied, straight) = match (page, kernel) {
            (true, true) => (Route::KernelPage, moved.inline, moved.lent),
            (true, false) => (Route::UserPage, moved.inline + moved.copied, moved.sealed),
            (false, true) => {
                let lent = (Route::KernelCache, moved.lent);
                let sent = (Route::KernelSendfile, moved.sendfile);
                let read = (Route::KernelRead, moved.read_for_kernel);
                let (route, straight) = self.most_of([lent, sent, read]);
                (route, 0, straight)
            }
            (false, false) => {
                if moved.read > moved.copied + moved.sealed {
                    self.routes[Route::UserCache as usize].copied += moved.copied;
                    self.routes[Route::UserCache as usize].straight += moved.sealed;
                    (Route::UserRead, 0, moved.read)
                } else {
                    self.routes[Route::UserRead as usize].straight += moved.read;
                    (Route::UserCache, moved.copied, moved.sealed)
                }
            }
        };
        if copied + straight == 0 {
            return None;
        }
        let carried = &mut self.routes[route as usize];
        carried.copied += copied;
        carried.straight += straight;
        carried.shared += moved.shared;
        carried.responses += 1;
        Some(route)
    }

    /// The way that carried most, and how much. The others' content is entered.
    fn most_of<const N: usize>(&mut self, ways: [(Route, u64); N]) -> (Route, u64) {
        let mut most = ways[0];
        for way in &ways[1..] {
            if way.1 > 0 {
                let less = if way.1 > most.1 { std::mem::replace(&mut most, *way) } else { *way };
                self.routes[less.0 as usize].straight += less.1;
            }
        }
        most
    }

    /// Enters what was received.
    pub fn received(&mut self, taken: Taken) {
        self.taken.sealed += taken.sealed;
        self.taken.opened += taken.opened;
        self.taken.plain += taken.plain;
        self.taken.copied += taken.copied;
        self.taken.copied_of_kernel += taken.copied_of_kernel;
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.routes.iter_mut().zip(other.routes) {
            sum.responses += more.responses;
            sum.copied += more.copied;
            sum.straight += more.straight;
            sum.shared += more.shared;
        }
        self.received(other.taken);
        self.heads += other.heads;
        self.handshake_received += other.handshake_received;
        self.handshake_sent += other.handshake_sent;
    }

    /// What a route carried.
    pub fn carried(&self, route: Route) -> Carried {
        self.routes[route as usize]
    }

    /// What was received.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// The flows of a route; those without bytes are left out. What kernel TLS does with content
    /// is derived: it encrypts from where the bytes lie into the records that it sends
    /// (`net/tls/tls_sw.c`, seen by probing `sk_msg_zerocopy_from_iter`); so is the copy that
    /// sending to a plain socket makes (`net/ipv4/tcp.c`).
    pub fn flows(&self, route: Route) -> Vec<Flow> {
        let Carried { copied, straight, shared, .. } = self.carried(route);
        let all = copied + straight;
        let flows = match route {
            Route::UserCache | Route::UserPage => {
                let (from, place) = match route {
                    Route::UserPage => ("page", "reply::queue_page"),
                    _ => ("file_cache", "Writer::copy_behind"),
                };
                vec![
                    user("page", "page", "copy", "Pages::from", shared),
                    user(from, "send_memory", "copy", place, copied),
                    user("send_memory", "send_memory", "cipher", "Sealer::seal_in_place", copied),
                    user(from, "send_memory", "cipher", "Sealer::seal", straight),
                    kernel("send_memory", "socket", "copy", "tcp_sendmsg", all, Basis::Derived),
                ]
            }
            Route::UserRead => vec![
                kernel("page_cache", "send_memory", "copy", "io_read", all, Basis::Counted),
                user("send_memory", "send_memory", "cipher", "Sealer::seal_in_place", all),
                kernel("send_memory", "socket", "copy", "tcp_sendmsg", all, Basis::Derived),
            ],
            Route::KernelCache => vec![sealed_by_kernel("file_cache", all)],
            Route::KernelSendfile => vec![sealed_by_kernel("page_cache", all)],
            Route::KernelRead => vec![
                kernel("page_cache", "send_memory", "copy", "io_read", all, Basis::Counted),
                sealed_by_kernel("send_memory", all),
            ],
            Route::KernelPage => vec![
                user("page", "page", "copy", "Pages::from", shared),
                user("page", "send_memory", "copy", "reply::queue_page", copied),
                sealed_by_kernel("send_memory", copied),
                sealed_by_kernel("page", straight),
            ],
        };
        flows.into_iter().filter(|flow| flow.bytes > 0).collect()
    }

    /// What requests went through: with user-space TLS, and with kernel TLS, which decrypts
    /// straight into the receive buffer if that has room for a whole record (`whole_records`),
    /// and else into memory of its own first.
    pub fn receive_flows(&self, kernel_tls: bool, whole_records: bool) -> (u64, Vec<Flow>) {
        let taken = self.taken;
        let (buffer, gathered) = ("receive_buffer", "connection");
        let (payload, flows) = if kernel_tls {
            let staged = if whole_records { 0 } else { taken.plain };
            let derived = Basis::Derived;
            let flows = vec![
                kernel("socket", buffer, "cipher", "tls_sw_recvmsg", taken.plain, derived),
                kernel("socket", buffer, "copy", "skb_copy_datagram_iter", staged, derived),
                user(buffer, gathered, "copy", "Reader::gather", taken.copied_of_kernel),
            ];
            (taken.plain, flows)
        } else {
            let counted = Basis::Counted;
            let flows = vec![
                kernel("socket", buffer, "copy", "tcp_recvmsg", taken.sealed, counted),
                user(buffer, buffer, "cipher", "Opener::open", taken.opened),
                user(buffer, gathered, "copy", "Reader::gather", taken.copied),
            ];
            (taken.opened, flows)
        };
        (payload, flows.into_iter().filter(|flow| flow.bytes > 0).collect())
    }
}

fn user(
    from: &'static str,
    to: &'static str,
    kind: &'static str,
    place: &'static str,
    bytes: u64,
) -> Flow {
    Flow { from, to, kind, by: "user", place, bytes, basis: Basis::Counted }
}

fn kernel(
    from: &'static str,
    to: &'static str,
    kind: &'static str,
    place: &'static str,
    bytes: u64,
    basis: Basis,
) -> Flow {
    Flow { from, to, kind, by: "kernel", place, bytes, basis }
}

fn sealed_by_kernel(from: &'static str, bytes: u64) -> Flow {
    kernel(from, "socket", "cipher", "tls_sw_sendmsg", bytes, Basis::Derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(ledger: &Ledger, route: Route) -> f64 {
        let bytes: u64 = ledger.flows(route).iter().map(|flow| flow.bytes).sum();
        bytes as f64 / ledger.carried(route).payload() as f64
    }

    #[test]
    fn each_way_has_its_passes() {
        let mut ledger = Ledger::default();
        let none = Moved { head: 100, ..Moved::default() };
        for (kernel, moved, route, count) in [
            (false, Moved { sealed: 900, ..none }, Route::UserCache, 2.0),
            (false, Moved { read: 70, ..none }, Route::UserRead, 3.0),
            (false, Moved { inline: 50, ..none }, Route::UserPage, 3.0),
            (true, Moved { lent: 40, ..none }, Route::KernelCache, 1.0),
            (true, Moved { sendfile: 30, ..none }, Route::KernelSendfile, 1.0),
            (true, Moved { read_for_kernel: 20, ..none }, Route::KernelRead, 2.0),
            (true, Moved { inline: 10, ..none }, Route::KernelPage, 2.0),
        ] {
            assert_eq!(ledger.sent(kernel, moved), Some(route));
            assert_eq!(ledger.carried(route).responses, 1);
            assert!((passes(&ledger, route) - count).abs() < 1e-9, "{}", route.name());
        }
        assert_eq!(ledger.heads, 700);
    }

    #[test]
    fn a_response_by_two_ways_counts_its_bytes_under_both_and_itself_once() {
        let mut ledger = Ledger::default();
        let moved = Moved { sendfile: 100, read_for_kernel: 300, ..Moved::default() };
        assert_eq!(ledger.sent(true, moved), Some(Route::KernelRead));
        assert_eq!(ledger.carried(Route::KernelSendfile).payload(), 100);
        assert_eq!(ledger.carried(Route::KernelSendfile).responses, 0);
        assert_eq!(ledger.carried(Route::KernelRead).responses, 1);
    }

    #[test]
    fn no_content_no_route() {
        assert_eq!(Ledger::default().sent(false, Moved::default()), None);
    }

    #[test]
    fn ledgers_add_up() {
        let mut one = Ledger::default();
        one.sent(false, Moved { head: 5, copied: 3, sealed: 4, ..Moved::default() });
        one.received(Taken { sealed: 9, opened: 7, copied: 1, ..Taken::default() });
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.carried(Route::UserCache).payload(), 14);
        assert_eq!((sum.heads, sum.taken().sealed), (10, 18));
        let (payload, flows) = sum.receive_flows(false, true);
        assert_eq!((payload, flows.len()), (14, 3));
    }

    #[test]
    fn small_receive_buffers_cost_kernel_tls_a_copy() {
        let mut ledger = Ledger::default();
        ledger.received(Taken { plain: 10, ..Taken::default() });
        assert_eq!(ledger.receive_flows(true, true).1.len(), 1);
        assert_eq!(ledger.receive_flows(true, false).1.len(), 2);
    }
}
