//! The client of a request that trusted proxies passed on: `X-Forwarded-For`, or `Forwarded`
//! (RFC 7239). Pure.
//!
//! Invariant: what a client wrote never becomes its address. Each proxy appends the address of its own
//! peer, so the list is read from its right end, and only as far as addresses are trusted: the client
//! is the rightmost one that is not. What cannot be read ends the walk at the proxy that vouches for it.

use std::net::{IpAddr, SocketAddr};

/// Hops that are looked at, from the right. A chain of more trusted proxies than these has its client
/// taken for the last of them.
const MOST_HOPS: usize = 32;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HopForm {
    /// `X-Forwarded-For: 192.0.2.1, 2001:db8::1`.
    Addresses,
    /// `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:4711"`.
    Standard,
}

impl HopForm {
    /// The name of the field.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Addresses => "x-forwarded-for",
            Self::Standard => "forwarded",
        }
    }
}

/// The last hops of a request, as its fields name them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hops {
    form: HopForm,
    /// The last of them, at their number modulo the length; None for what is no address.
    last: [Option<IpAddr>; MOST_HOPS],
    count: usize,
}

impl Hops {
    /// None yet.
    pub(crate) fn new(form: HopForm) -> Self {
        Self { form, last: [None; MOST_HOPS], count: 0 }
    }

    /// Takes the next line of the field, in the order of the head.
    pub(crate) fn line(&mut self, value: &[u8]) {
        let (mut begin, mut quoted, mut escaped) = (0, false, false);
        for (at, byte) in value.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted && self.form == HopForm::Standard,
                b',' if !quoted => {
                    if let Some(element) = value.get(begin..at) {
                        self.element(element);
                    }
                    begin = at + 1;
                }
                // Part of an element.
                _ => {}
            }
        }
        // An element whose quotes do not end is none.
        match value.get(begin..) {
            Some(rest) if !quoted => self.element(rest),
            _ => self.push(None),
        }
    }

    fn element(&mut self, element: &[u8]) {
        let element = element.trim_ascii();
        // Empty elements of a list count for nothing (RFC 9110 section 5.6.1).
        if element.is_empty() {
            return;
        }
        let text = str::from_utf8(element).ok();
        self.push(text.and_then(|text| match self.form {
            HopForm::Addresses => address(text),
            HopForm::Standard => named_for(text),
        }));
    }

    fn push(&mut self, hop: Option<IpAddr>) {
        if let Some(place) = self.last.get_mut(self.count % MOST_HOPS) {
            *place = hop;
        }
        self.count += 1;
    }

    /// The client, for a connection of this peer.
    pub(crate) fn client(&self, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
        let mut client = peer;
        for back in 1..=self.count.min(MOST_HOPS) {
            if !trusted(client) {
                break;
            }
            let hop = self.last.get((self.count - back) % MOST_HOPS);
            let Some(hop) = hop.copied().flatten() else { break };
            client = hop;
        }
        client
    }
}

/// An address, perhaps in brackets, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let bare = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    let ip = bare.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(ip.to_canonical())
}

/// The address of `for=` in an element, which has it once.
fn named_for(element: &str) -> Option<IpAddr> {
    let (mut found, mut begin, mut quoted) = (None, 0, false);
    let ends = element.char_indices().chain([(element.len(), ';')]);
    for (at, letter) in ends {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => {
                let pair = element.get(begin..at)?.trim();
                begin = at + 1;
                let Some((name, value)) = pair.split_once('=') else { continue };
                if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
                    return None;
                }
            }
            // No address has an escape in it, and one would hide a quote.
            '\\' => return None,
            _ => {}
        }
    }
    let value = found?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    address(unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(form: HopForm, lines: &[&str]) -> String {
        let mut hops = Hops::new(form);
        for line in lines {
            hops.line(line.as_bytes());
        }
        let trusted = |ip: IpAddr| ip.to_string().starts_with("10.") || ip.to_string() == "fd00::1";
        hops.client("10.0.0.1".parse().unwrap(), trusted).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_is_the_client() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1,10.0.0.2", " fd00::1 "], "192.0.2.1"),
            (&["192.0.2.1:5000"], "192.0.2.1"),
            (&["[2001:db8::1]:5000"], "2001:db8::1"),
            (&["[2001:db8::1]", "::ffff:10.0.0.9"], "2001:db8::1"),
            (&[], "10.0.0.1"),
            (&["", ", ,"], "10.0.0.1"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1,,10.0.0.2"], "192.0.2.1"),
            (&["\"192.0.2.1, 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(client(HopForm::Addresses, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_standard_form_is_read() {
        for (line, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("for=6.6.6.6, For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            ("for=192.0.2.1, by=x;for=10.0.0.2", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a,for=6.6.6.6;x=y\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a\\\",for=6.6.6.6\"", "10.0.0.1"),
            ("for=\"192.0.2.1, for=10.0.0.2", "10.0.0.1"),
            ("for=192.0.2.1;for=6.6.6.6", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client(HopForm::Standard, &[line]), expected, "{line}");
        }
    }

    #[test]
    fn many_hops_are_bounded() {
        let many = vec!["192.0.2.1"; 1].into_iter().chain(vec!["10.0.0.2"; 200]);
        let line = many.collect::<Vec<_>>().join(",");
        assert_eq!(client(HopForm::Addresses, &[&line]), "10.0.0.2");
        // Behind so many proxies, with what the client wrote before.
        for (proxies, expected) in [
            (0, "192.0.2.1"),
            (1, "192.0.2.1"),
            (31, "192.0.2.1"),
            (32, "10.0.1.0"),
            (45, "10.0.1.13"),
        ] {
            let own = (0..proxies).map(|number| format!("10.0.1.{number}"));
            let hops = vec!["6.6.6.6".to_owned(); 40].into_iter().chain(["192.0.2.1".to_owned()]);
            let line = hops.chain(own).collect::<Vec<_>>().join(", ");
            assert_eq!(client(HopForm::Addresses, &[&line]), expected, "{proxies}");
        }
    }

    proptest! {
        /// A client behind one trusted proxy has the address that this proxy appends, whatever it sent.
        #[test]
        fn nothing_that_a_client_writes_is_its_address(
            forged in "[ ,;=\"\\\\a-z0-9.:]{0,40}", own: [u8; 4], appended: bool,
        ) {
            let own = IpAddr::from(own);
            prop_assume!(!own.to_string().starts_with("10."));
            let element = |form| match form {
                HopForm::Addresses => own.to_string(),
                HopForm::Standard => format!("for={own}"),
            };
            for form in [HopForm::Addresses, HopForm::Standard] {
                let own_line = element(form);
                let joined = format!("{forged}, {own_line}");
                let found = if appended {
                    client(form, &[&joined])
                } else {
                    client(form, &[&forged, &own_line])
                };
                // A quote that the client left open swallows what its proxy appends: then the proxy
                // itself is the client.
                let vouched = [own.to_string(), "10.0.0.1".to_owned()];
                prop_assert!(vouched.contains(&found), "{found} of {joined}");
                if form == HopForm::Addresses || !appended {
                    prop_assert_eq!(found, own.to_string());
                }
            }
        }
    }
}
