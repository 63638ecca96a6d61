//! Which connections kernel TLS takes.

use std::sync::Arc;

use crate::{
    record::{Suite, TlsVersion},
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

    /// Whether the kernel takes new keys in place of old ones (Linux 6.14).
    pub(crate) fn may_rekey(&self) -> bool {
        self.support.as_ref().is_some_and(|support| support.rekey.is_ok())
    }
}
