//! From what the ledger counted to who touched the bytes: each pass over them, where it happened and
//! how that is known.
//!
//! The invariant: the flows of a route add up to its passes over each byte of its content.

use super::{Basis, Carried, Ledger, PassedOn, Route};

/// Bytes that moved from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Ledger {
    /// The flows of a route; those without bytes are left out. What kernel TLS does with content
    /// is derived: it encrypts from where the bytes lie into the records that it sends
    /// (`net/tls/tls_sw.c`, seen by probing `sk_msg_zerocopy_from_iter`); so is the copy that
    /// sending to a plain socket makes (`net/ipv4/tcp.c`).
    pub fn flows(&self, route: Route) -> Vec<Flow> {
        let carried = self.carried(route);
        let Carried { copied, straight, shared, .. } = carried;
        let all = copied + straight;
        let flows = match route {
            Route::UserCache | Route::UserPage => {
                let (from, place) = match route {
                    Route::UserPage => ("page", "Writer::copy_behind"),
                    _ => ("file_cache", "Writer::begin_pages"),
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
            // What sendfile(2) sends is not copied at all.
            Route::Plain => vec![
                user("page", "page", "copy", "Pages::from", shared),
                kernel("send_memory", "socket", "copy", "tcp_sendmsg", copied, Basis::Derived),
            ],
            Route::KernelPage => vec![
                user("page", "page", "copy", "Pages::from", shared),
                user("page", "send_memory", "copy", "Writer::copy_behind", copied),
                sealed_by_kernel("send_memory", copied),
                sealed_by_kernel("page", straight),
            ],
            Route::UserProxied | Route::KernelProxied | Route::PlainProxied => {
                let mut flows = from_server(carried);
                flows.extend(to_client(route, carried));
                flows
            }
        };
        flows.into_iter().filter(|flow| flow.bytes > 0).collect()
    }

    /// What request content went through on its way to servers, once it had been received: how much of it
    /// went on, and the flows.
    pub fn upload_flows(&self) -> (u64, Vec<Flow>) {
        let PassedOn { sent, held, sealed } = self.uploaded();
        let (buffer, out) = ("receive_buffer", "server");
        let flows = vec![
            user(buffer, "held", "copy", "Exchange::copy_held", held),
            user(buffer, "send_memory", "copy", "Message::gather", sealed),
            derived(user("send_memory", "send_memory", "copy", "rustls", 2 * sealed)),
            user("send_memory", "send_memory", "cipher", "Secured::seal", sealed),
            kernel("send_memory", out, "copy", "tcp_sendmsg", sealed, Basis::Derived),
            kernel(buffer, out, "copy", "tcp_sendmsg", sent - sealed, Basis::Derived),
        ];
        (sent, flows.into_iter().filter(|flow| flow.bytes > 0).collect())
    }

    /// What requests went through: with user-space TLS, and with kernel TLS, which decrypts
    /// straight into the receive buffer if that has room for a whole record (`whole_records`),
    /// and else into memory of its own first.
    pub fn receive_flows(&self, kernel_tls: bool, whole_records: bool) -> (u64, Vec<Flow>) {
        let taken = self.taken();
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

/// What proxied content went through until it could be sent. rustls copies what it opens: into its own
/// memory before, and twice on the way out of it.
fn from_server(carried: Carried) -> Vec<Flow> {
    let Carried { shared, relayed, opened, encoded, coded, .. } = carried;
    let (server, buffer) = ("server", "receive_buffer");
    let buffered = carried.payload() - relayed - coded + encoded;
    vec![
        kernel(server, buffer, "copy", "tcp_recvmsg", buffered, Basis::Counted),
        kernel(server, "send_memory", "copy", "tcp_recvmsg", relayed, Basis::Counted),
        derived(user(buffer, buffer, "copy", "rustls", 3 * opened)),
        user(buffer, buffer, "cipher", "Secured::open", opened),
        user(buffer, "held", "copy", "Exchange::poll_chunk", shared),
        user(buffer, "coded", "copy", "Encoder::write", encoded),
    ]
}

/// What it went through from there to the client.
fn to_client(route: Route, carried: Carried) -> Vec<Flow> {
    let Carried { copied, straight, relayed, .. } = carried;
    let (buffer, memory) = ("receive_buffer", "send_memory");
    let (all, as_it_is) = (carried.payload(), straight - relayed);
    let copied_behind = user(buffer, memory, "copy", "Writer::queue_copy", copied);
    match route {
        Route::KernelProxied => vec![
            copied_behind,
            sealed_by_kernel(memory, copied + relayed),
            sealed_by_kernel(buffer, as_it_is),
        ],
        Route::PlainProxied => vec![
            copied_behind,
            kernel(memory, "socket", "copy", "tcp_sendmsg", copied + relayed, Basis::Derived),
            kernel(buffer, "socket", "copy", "tcp_sendmsg", as_it_is, Basis::Derived),
        ],
        _ => vec![
            copied_behind,
            user(memory, memory, "cipher", "Sealer::seal_in_place", copied + relayed),
            user(buffer, memory, "cipher", "Sealer::seal", as_it_is),
            kernel(memory, "socket", "copy", "tcp_sendmsg", all, Basis::Derived),
        ],
    }
}

fn derived(flow: Flow) -> Flow {
    Flow { basis: Basis::Derived, ..flow }
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
    use crate::observe::{FromServer, Moved, Taken};

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
    fn proxied_content_has_the_passes_of_its_way() {
        let (sealed, read) = (Moved { sealed: 60, ..Moved::default() }, 60);
        let [copied, lent] =
            [Moved { copied: 60, ..Moved::default() }, Moved { lent: 60, ..Moved::default() }];
        let relayed = Moved { read, ..Moved::default() };
        let for_kernel = Moved { read_for_kernel: read, ..Moved::default() };
        let none = FromServer::default();
        let (held, opened) = (FromServer { held: 60, ..none }, FromServer { opened: 60, ..none });
        let encoded = FromServer { encoded: 120, coded: 60, ..none };
        for (route, moved, before, count) in [
            (Route::UserProxied, sealed, none, 3.0),
            (Route::UserProxied, relayed, none, 3.0),
            (Route::UserProxied, copied, none, 4.0),
            (Route::UserProxied, sealed, held, 4.0),
            (Route::UserProxied, sealed, opened, 7.0),
            // Twice as much was received, and read by the encoder.
            (Route::UserProxied, sealed, encoded, 6.0),
            (Route::KernelProxied, lent, none, 2.0),
            (Route::KernelProxied, for_kernel, none, 2.0),
            (Route::KernelProxied, copied, none, 3.0),
            (Route::PlainProxied, lent, none, 2.0),
            (Route::PlainProxied, for_kernel, none, 2.0),
        ] {
            let mut ledger = Ledger::default();
            assert_eq!(ledger.sent_proxied(route, moved, before), Some(route));
            assert!((passes(&ledger, route) - count).abs() < 1e-9, "{moved:?} {before:?}");
        }
    }

    #[test]
    fn what_is_passed_on_is_copied_once_and_once_more_if_it_was_held() {
        let mut ledger = Ledger::default();
        ledger.passed_on(PassedOn { sent: 10, held: 4, sealed: 3 });
        let (sent, flows) = ledger.upload_flows();
        assert_eq!(sent, 10);
        let of = |place: &str| -> u64 {
            flows.iter().filter(|flow| flow.place == place).map(|flow| flow.bytes).sum()
        };
        assert_eq!((of("tcp_sendmsg"), of("Exchange::copy_held")), (10, 4));
        assert_eq!((of("Secured::seal"), of("Message::gather"), of("rustls")), (3, 3, 6));
    }

    #[test]
    fn small_receive_buffers_cost_kernel_tls_a_copy() {
        let mut ledger = Ledger::default();
        ledger.received(Taken { plain: 10, ..Taken::default() });
        assert_eq!(ledger.receive_flows(true, true).1.len(), 1);
        assert_eq!(ledger.receive_flows(true, false).1.len(), 2);
    }
}
