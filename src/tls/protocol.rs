//! The application protocols that Ringway speaks, by their ALPN names (RFC 7301).
//!
//! The server's order of preference decides: the handshake takes the first protocol of
//! [`Protocol::offered`] that the client lists too. A client that lists only others gets the alert
//! `no_application_protocol`; a client without the extension gets HTTP/1.1.

#![forbid(unsafe_code)]

/// HTTP/2 over TLS (RFC 9113 section 3.1).
const H2: &[u8] = b"h2";

/// HTTP/1.1 (RFC 7301 section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// HTTP/1.0, which `curl --http1.0` and old clients list alone.
const HTTP_1_0: &[u8] = b"http/1.0";

/// The protocol of the requests on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 or HTTP/1.0: each request names its version.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The ALPN names to offer, the preferred one first.
    pub(crate) fn offered(http2: bool) -> Vec<Vec<u8>> {
        let names = if http2 { &[H2, HTTP_1_1, HTTP_1_0][..] } else { &[HTTP_1_1, HTTP_1_0] };
        names.iter().map(|name| name.to_vec()).collect()
    }

    /// The protocol that ALPN agreed on. `None` for a name that [`Protocol::offered`] never has.
    pub(crate) fn agreed(alpn: Option<&[u8]>) -> Option<Self> {
        match alpn {
            None | Some(HTTP_1_1 | HTTP_1_0) => Some(Self::Http1),
            Some(H2) => Some(Self::Http2),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_name_is_understood() {
        for http2 in [false, true] {
            let agreed: Vec<_> = Protocol::offered(http2)
                .iter()
                .map(|name| Protocol::agreed(Some(name)).expect("an offered name is understood"))
                .collect();
            let expected = [Protocol::Http2, Protocol::Http1, Protocol::Http1];
            assert_eq!(agreed, expected[usize::from(!http2)..]);
        }
        assert_eq!(Protocol::agreed(None), Some(Protocol::Http1));
        assert_eq!(Protocol::agreed(Some(b"h3")), None);
    }
}
