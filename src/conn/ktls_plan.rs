//! Which connections kernel TLS takes.

use std::sync::Arc;

use crate::{
    record::{MAX_PLAINTEXT, Suite, TLS13_OVERHEAD, TlsVersion},
    tls::kernel::{Direction, KtlsSupport},
};

/// What the kernel does for TLS on this host, as decided at start.
#[derive(Clone, Debug, Default)]
pub(crate) struct KtlsPlan {
    /// None: user-space TLS throughout.
    pub support: Option<Arc<KtlsSupport>>,
    /// The kernel receives as well as it sends.
    pub receives: bool,
}

impl KtlsPlan {
    /// Whether the kernel takes a connection's sending side, and whether its receiving side too.
    pub(crate) fn directions(&self, version: TlsVersion, suite: Suite) -> (bool, bool) {
        let Some(support) = &self.support else { return (false, false) };
        let covers = |direction| support.covers(version, suite, direction);
        let transmit = covers(Direction::Transmit);
        (transmit, transmit && self.receives && covers(Direction::Receive))
    }

    /// Bytes of a receive buffer for `plaintext` bytes. Where records are opened in user space, a buffer
    /// has room for their framing too: full records of TLS 1.3 that begin with a buffer then each fill
    /// one, are opened in place and can be lent. Where the kernel opens them, only plaintext arrives.
    pub(crate) fn receive_buffer_len(&self, plaintext: usize) -> usize {
        let records = plaintext.div_ceil(MAX_PLAINTEXT);
        plaintext + if self.receives { 0 } else { records * TLS13_OVERHEAD }
    }

    /// Whether the kernel takes new keys in place of old ones (Linux 6.14).
    pub(crate) fn may_rekey(&self) -> bool {
        self.support.as_ref().is_some_and(|support| support.rekey.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_full_records_of_tls13_where_they_are_opened_here() {
        let user = KtlsPlan::default();
        // Header, content, its type, tag.
        assert_eq!(user.receive_buffer_len(16 << 10), 5 + (16 << 10) + 1 + 16);
        assert_eq!(user.receive_buffer_len(64 << 10), 4 * user.receive_buffer_len(16 << 10));
        let kernel = KtlsPlan { receives: true, ..user };
        assert_eq!(kernel.receive_buffer_len(16 << 10), 16 << 10);
    }
}
