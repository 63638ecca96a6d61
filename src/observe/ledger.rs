//! The copy ledger: which bytes of content passed through which hands.
//!
//! The invariant: what stands here was counted where the bytes moved, and no byte is counted under two
//! paths; what follows from it is derived elsewhere ([`Flow`](super::Flow)). Heads are not content and
//! are counted apart.

use super::Route;

/// What a [`Writer`](crate::write::Writer) did with content since it was last asked, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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

/// Content of a proxied response before a [`Writer`](crate::write::Writer) got it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FromServer {
    /// Copied into memory of its own; counted once for each copy.
    pub held: u64,
    /// Opened from the server's TLS records.
    pub opened: u64,
    /// Compressed before it was sent.
    pub encoded: u64,
    /// What came out of that, which was sent in its place.
    pub coded: u64,
}

impl FromServer {
    /// Adds more.
    pub(crate) fn add(&mut self, more: Self) {
        self.held += more.held;
        self.opened += more.opened;
        self.encoded += more.encoded;
        self.coded += more.coded;
    }
}

/// Request content that was passed on to servers of pools, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOn {
    /// Given to the kernel or, for a server that speaks TLS, sealed: counted for each server that it was
    /// sent to.
    pub sent: u64,
    /// Copied into memory of its own until a connection was taken, and for a second try.
    pub held: u64,
    /// Of what was sent, sealed for servers that speak TLS.
    pub sealed: u64,
}

impl PassedOn {
    /// Adds more.
    pub(crate) fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.held += more.held;
        self.sealed += more.sealed;
    }
}

/// What a [`Reader`](crate::read::Reader) took since it was last asked, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Given to applications in the memory in which they lay.
    pub lent: u64,
    /// Copied for applications, which had as much of that memory as they may have.
    pub copied_for_application: u64,
}

impl Taken {
    /// Takes note of bytes that were copied because they came in pieces, opened by the kernel or
    /// not.
    pub fn note_copy(&mut self, kernel: bool, count: usize) {
        let copied = if kernel { &mut self.copied_of_kernel } else { &mut self.copied };
        *copied += count as u64;
    }
}

/// Content of the answers that applications made, in bytes. It is part of what the routes carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplicationContent {
    /// Copied in user space, so that it leaves in one record with what is gathered before or behind it.
    pub copied: u64,
    /// Sealed from where it lies, or lent to the kernel there.
    pub from_place: u64,
    /// Of files that a handler named: read into send memory, or sent by sendfile(2).
    pub files: u64,
}

impl ApplicationContent {
    fn add(&mut self, moved: Moved) {
        self.copied += moved.inline + moved.copied;
        self.from_place += moved.sealed + moved.lent;
        self.files += moved.read + moved.read_for_kernel + moved.sendfile;
    }
}

/// Content that encoders have read and written, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compressed {
    /// Plain content. Each encoder copies it into its window.
    pub read: u64,
    /// Coded content, in memory that it is sealed from.
    pub written: u64,
}

/// What one route carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Responses that took it for the most of their content.
    pub responses: u64,
    /// Of pages: copied in user space. Of files: copied behind a head.
    pub copied: u64,
    /// Content that was not copied into send memory by us.
    pub straight: u64,
    /// Of pages, and of proxied content: copied into memory of its own first. Part of the others.
    pub shared: u64,
    /// Of proxied content: received into the memory that it was sent from. Part of `straight`.
    pub relayed: u64,
    /// Of proxied content: opened from the server's TLS records. Part of the others.
    pub opened: u64,
    /// Of proxied content, as it was received: compressed before it was sent. No part of the others.
    pub encoded: u64,
    /// What came out of that. Part of `copied` and `straight`.
    pub coded: u64,
}

impl Carried {
    fn add(&mut self, more: Self) {
        self.responses += more.responses;
        self.copied += more.copied;
        self.straight += more.straight;
        self.shared += more.shared;
        self.relayed += more.relayed;
        self.opened += more.opened;
        self.encoded += more.encoded;
        self.coded += more.coded;
    }
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
    /// What applications answered with.
    pub of_applications: ApplicationContent,
    passed_on: PassedOn,
    /// Bytes of response heads.
    pub heads: u64,
    /// Content that was compressed while it was sent.
    pub compressed: Compressed,
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

    /// Enters the content of an answer that an application made, besides the route that it took.
    pub fn sent_for_application(&mut self, moved: Moved) {
        self.of_applications.add(moved);
    }

    /// As [`Self::sent`] on a connection without TLS: what tcp_sendmsg copies counts as copied, and what
    /// sendfile(2) takes from the page cache as straight.
    pub fn sent_plain(&mut self, moved: Moved) -> Option<Route> {
        self.heads += moved.head;
        let copied = moved.content().saturating_sub(moved.sendfile);
        if moved.content() == 0 {
            return None;
        }
        let carried = &mut self.routes[Route::Plain as usize];
        carried.copied += copied;
        carried.straight += moved.sendfile;
        carried.shared += moved.shared;
        carried.responses += 1;
        Some(Route::Plain)
    }

    /// The same of a response that a server of a pool made.
    pub fn sent_proxied(
        &mut self,
        route: Route,
        moved: Moved,
        before: FromServer,
    ) -> Option<Route> {
        self.heads += moved.head;
        let content = moved.content();
        if content == 0 {
            return None;
        }
        self.routes[route as usize].add(Carried {
            responses: 1,
            copied: moved.copied,
            straight: content - moved.copied,
            shared: before.held,
            relayed: moved.read + moved.read_for_kernel,
            opened: before.opened,
            encoded: before.encoded,
            // Without what a client that left did not get.
            coded: before.coded.min(content),
        });
        Some(route)
    }

    /// Enters request content that was passed on.
    pub fn passed_on(&mut self, more: PassedOn) {
        self.passed_on.add(more);
    }

    /// Request content that was passed on.
    pub fn uploaded(&self) -> PassedOn {
        self.passed_on
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
        self.taken.lent += taken.lent;
        self.taken.copied_for_application += taken.copied_for_application;
    }

    /// Enters what an encoder has done.
    pub(super) fn compressed(&mut self, read: u64, written: u64) {
        self.compressed.read += read;
        self.compressed.written += written;
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.routes.iter_mut().zip(other.routes) {
            sum.add(more);
        }
        self.received(other.taken);
        self.of_applications.copied += other.of_applications.copied;
        self.of_applications.from_place += other.of_applications.from_place;
        self.of_applications.files += other.of_applications.files;
        self.passed_on.add(other.passed_on);
        self.heads += other.heads;
        self.compressed(other.compressed.read, other.compressed.written);
        self.handshake_received += other.handshake_received;
        self.handshake_sent += other.handshake_sent;
    }

    /// What was added since `earlier`, a copy of the same ledger.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        let take = |of: &mut u64, before: u64| *of = of.saturating_sub(before);
        for (of, before) in since.routes.iter_mut().zip(earlier.routes) {
            take(&mut of.responses, before.responses);
            take(&mut of.copied, before.copied);
            take(&mut of.straight, before.straight);
            take(&mut of.shared, before.shared);
            take(&mut of.relayed, before.relayed);
            take(&mut of.opened, before.opened);
            take(&mut of.encoded, before.encoded);
            take(&mut of.coded, before.coded);
        }
        take(&mut since.passed_on.sent, earlier.passed_on.sent);
        take(&mut since.passed_on.held, earlier.passed_on.held);
        take(&mut since.passed_on.sealed, earlier.passed_on.sealed);
        take(&mut since.taken.sealed, earlier.taken.sealed);
        take(&mut since.taken.opened, earlier.taken.opened);
        take(&mut since.taken.plain, earlier.taken.plain);
        take(&mut since.taken.copied, earlier.taken.copied);
        take(&mut since.taken.copied_of_kernel, earlier.taken.copied_of_kernel);
        take(&mut since.taken.lent, earlier.taken.lent);
        let copied = earlier.taken.copied_for_application;
        take(&mut since.taken.copied_for_application, copied);
        let (of, before) = (&mut since.of_applications, earlier.of_applications);
        take(&mut of.copied, before.copied);
        take(&mut of.from_place, before.from_place);
        take(&mut of.files, before.files);
        take(&mut since.heads, earlier.heads);
        take(&mut since.compressed.read, earlier.compressed.read);
        take(&mut since.compressed.written, earlier.compressed.written);
        take(&mut since.handshake_received, earlier.handshake_received);
        take(&mut since.handshake_sent, earlier.handshake_sent);
        since
    }

    /// What a route carried.
    pub fn carried(&self, route: Route) -> Carried {
        self.routes[route as usize]
    }

    /// What was received.
    pub fn taken(&self) -> Taken {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let moved = Moved { head: 5, copied: 3, sealed: 4, ..Moved::default() };
        one.sent(false, moved);
        one.sent_for_application(moved);
        one.received(Taken { sealed: 9, opened: 7, copied: 1, ..Taken::default() });
        one.passed_on(PassedOn { sent: 6, held: 2, sealed: 1 });
        let before = FromServer { held: 3, opened: 4, encoded: 5, coded: 2 };
        one.sent_proxied(Route::UserProxied, Moved { read: 8, ..Moved::default() }, before);
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.carried(Route::UserCache).payload(), 14);
        assert_eq!((sum.heads, sum.taken().sealed), (10, 18));
        let of_applications = ApplicationContent { copied: 6, from_place: 8, files: 0 };
        assert_eq!(sum.of_applications, of_applications);
        let (payload, flows) = sum.receive_flows(false, true);
        assert_eq!((payload, flows.len()), (14, 3));
        assert_eq!(sum.uploaded(), PassedOn { sent: 12, held: 4, sealed: 2 });
        let Carried { responses, straight, shared, relayed, opened, encoded, coded, .. } =
            sum.carried(Route::UserProxied);
        assert_eq!((responses, straight, shared, relayed, opened), (2, 16, 6, 16, 8));
        assert_eq!((encoded, coded), (10, 4));
        assert_eq!(sum.since(&one), one);
    }
}
