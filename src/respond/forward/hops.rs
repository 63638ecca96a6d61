//! Fields that concern one connection only (RFC 9110 section 7.6.1).

use super::{ForwardError, Visit, elements};

/// Fields that no sender may name away: the recipient would read the message differently.
const NEEDED: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "authorization", "cookie", "via"];

/// Whether a field ends here, whether `Connection` names it or not.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    let is = |hop: &str| name.eq_ignore_ascii_case(hop);
    // The length rules out nearly every other field with one comparison.
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

/// What the `Connection` lines of a head name.
#[derive(Debug, Default)]
pub(super) struct Options(Vec<u8>);

impl Options {
    pub(super) fn of(fields: &Visit<'_>) -> Self {
        let mut options = Vec::new();
        fields(&mut |name, value| {
            if name.eq_ignore_ascii_case("connection") {
                options.extend_from_slice(value);
                options.push(b',');
            }
        });
        Self(options)
    }

    /// Whether one of them is this field.
    pub(super) fn name(&self, field: &str) -> bool {
        !self.0.is_empty()
            && elements(&self.0).any(|option| option.eq_ignore_ascii_case(field.as_bytes()))
    }

    /// Refuses options that would remove what the recipient needs or what this server adds.
    pub(super) fn check(&self) -> Result<(), ForwardError> {
        let refused = |option: &[u8]| {
            NEEDED.iter().any(|needed| option.eq_ignore_ascii_case(needed.as_bytes()))
                || std::str::from_utf8(option).is_ok_and(super::origin::is_of_origin)
        };
        if elements(&self.0).any(refused) { Err(ForwardError::ConnectionNames) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_connection_are_known_in_any_case() {
        let hops = "Connection keep-alive PROXY-CONNECTION Proxy-Authorization te Trailer \
                    transfer-encoding Upgrade HTTP2-Settings";
        assert!(hops.split_whitespace().all(is_hop_by_hop));
        let others = "tea x-connection connection-x trailers via cookie accept-encoding date";
        assert!(!others.split_whitespace().any(is_hop_by_hop));
    }
}
