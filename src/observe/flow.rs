//! From what the ledger counted to who touched the bytes: each pass over them, where it happened and
//! how that is known.
//!
//! The invariant: the flows of a route add up to its passes over each byte of its content.

use super::{Basis, Carried, Ledger, Route};

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
        let Carried { copied, straight, shared, .. } = self.carried(route);
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
        };
        flows.into_iter().filter(|flow| flow.bytes > 0).collect()
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
    use crate::observe::{Moved, Taken};

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
    fn small_receive_buffers_cost_kernel_tls_a_copy() {
        let mut ledger = Ledger::default();
        ledger.received(Taken { plain: 10, ..Taken::default() });
        assert_eq!(ledger.receive_flows(true, true).1.len(), 1);
        assert_eq!(ledger.receive_flows(true, false).1.len(), 2);
    }
}
