//! `host [ ":" port ]` as it stands in `Host` and in targets (RFC 3986 section 3.2, RFC 9110
//! section 7.2). User information is refused (RFC 9110 section 4.2.4).

use std::net::Ipv6Addr;

/// Whether each byte may stand in a `reg-name` by itself: `unreserved` and `sub-delims`.
static REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether `text` is a host with an optional port. The host may be empty only if all of `text`
/// is: RFC 9112 section 3.2 has clients send an empty `Host` for a target without authority.
pub(super) fn is_host(text: &[u8]) -> bool {
    text.is_empty() || split(text).is_some()
}

/// Whether `text` is the authority of an `http` or `https` URI: a host that is not empty, with an
/// optional port (RFC 9110 section 4.2).
pub(super) fn is_authority(text: &[u8]) -> bool {
    split(text).is_some()
}

/// Whether `text` is the target of CONNECT: a host and a port, both not empty (RFC 9112
/// section 3.2.3).
pub(super) fn is_host_and_port(text: &[u8]) -> bool {
    split(text).is_some_and(|port| !port.is_empty())
}

/// Checks host and port and returns the port's digits.
fn split(text: &[u8]) -> Option<&[u8]> {
    let end = if let Some(inside) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', inside)?;
        let (address, _) = inside.split_at_checked(end)?;
        std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
        end + 2
    } else {
        reg_name(text)?
    };
    let (_, port) = text.split_at_checked(end)?;
    match port {
        [] => Some(port),
        [b':', digits @ ..] => is_port(digits).then_some(digits),
        _ => None,
    }
}

/// Bytes of the `reg-name` at the front of `text`, which nothing but a colon may follow. Names are
/// short: looking for the colon first takes longer than looking at each byte once.
fn reg_name(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let end = loop {
        let plain = rest.iter().position(|byte| !REG_NAME[usize::from(*byte)]);
        let (_, behind) = rest.split_at_checked(plain.unwrap_or(rest.len()))?;
        match behind {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = tail;
            }
            [] | [b':', ..] => break behind,
            _ => return None,
        }
    };
    let length = text.len() - end.len();
    (length > 0).then_some(length)
}

/// Whether `digits` are a port number, or empty as the grammar allows.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let number = number * 10 + u32::from(digit.wrapping_sub(b'0'));
        (digit.is_ascii_digit() && number <= 65_535).then_some(number)
    });
    number.is_some()
}
