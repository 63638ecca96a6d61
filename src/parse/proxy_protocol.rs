//! The header with which a balancer announces the client of a connection: PROXY protocol, versions 1
//! and 2 (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). Pure.
//!
//! Invariant: a header has one meaning. It is complete, incomplete or refused, whatever the pieces in
//! which it arrives; nothing behind it is looked at, and no more than [`LONGEST_PROXY_HEADER`] bytes
//! are ever waited for.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The first bytes of version 2 (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, with its CRLF (section 2.1).
const LONGEST_V1: usize = 107;

/// The fixed part of version 2: signature, version and command, family and transport, length.
const FIXED: usize = 16;

/// The longest header that is taken, in bytes. Version 2 could announce 65,551; balancers send some
/// hundred at most, of which all but the addresses are ignored here.
pub(crate) const LONGEST_PROXY_HEADER: usize = 4 << 10;

/// The type of the value that holds the CRC32c of the whole header (section 2.2.3).
const CRC32C: u8 = 0x03;

/// What a header says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// The balancer speaks for this client.
    Client {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
    /// The balancer speaks for itself (a check of health), or for what has no address of IP.
    Itself,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeaderError {
    /// The first bytes are no header.
    Missing,
    /// The header breaks the rules of its version.
    Malformed(&'static str),
    /// It is longer than [`LONGEST_PROXY_HEADER`], or than its version allows.
    TooLong,
    /// Its checksum is wrong.
    Checksum,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the connection does not begin with a PROXY header"),
            Self::Malformed(what) => write!(f, "the PROXY header is malformed: {what}"),
            Self::TooLong => f.write_str("the PROXY header is too long"),
            Self::Checksum => f.write_str("the checksum of the PROXY header is wrong"),
        }
    }
}

impl std::error::Error for ProxyHeaderError {}

/// Reads the header at the start of `bytes`: its length and what it says; None if more bytes are
/// needed.
///
/// # Errors
/// What begins there is no header that can be taken.
pub(crate) fn proxy_header(bytes: &[u8]) -> Result<Option<(usize, Announced)>, ProxyHeaderError> {
    let begins = |start: &[u8]| {
        let length = start.len().min(bytes.len());
        bytes.get(..length) == start.get(..length)
    };
    if begins(SIGNATURE) {
        version_2(bytes)
    } else if begins(b"PROXY ") {
        version_1(bytes)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// Whether a connection begins with a header, as far as its first bytes show.
pub(crate) fn is_proxy_header(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [SIGNATURE, b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
    starts.iter().any(|start| bytes.starts_with(start))
}

/// `PROXY TCP4 192.0.2.1 192.0.2.9 40000 443` and CRLF (section 2.1).
fn version_1(bytes: &[u8]) -> Result<Option<(usize, Announced)>, ProxyHeaderError> {
    use ProxyHeaderError::{Malformed, TooLong};
    let within = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if bytes.len() >= LONGEST_V1 { Err(TooLong) } else { Ok(None) };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(Malformed("the line does not end with CRLF"))?;
    let line = str::from_utf8(line).map_err(|_| Malformed("the line is no text"))?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(Malformed("the line has too few words"));
    let family = word()?;
    if family == "UNKNOWN" {
        // What follows is ignored.
        return Ok(Some((end + 1, Announced::Itself)));
    }
    let (source, destination) = (word()?, word()?);
    let ports = (port(word()?)?, port(word()?)?);
    let (source, destination) = match family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(Malformed("the protocol is none of TCP4, TCP6 and UNKNOWN")),
    };
    if words.next().is_some() {
        return Err(Malformed("the line has too many words"));
    }
    Ok(Some((end + 1, client((source, ports.0), (destination, ports.1)))))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, ProxyHeaderError> {
    let parsed = text.parse::<A>();
    parsed.map(Into::into).map_err(|_| ProxyHeaderError::Malformed("an address is none"))
}

/// A decimal number without leading zeros.
fn port(text: &str) -> Result<u16, ProxyHeaderError> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    let parsed = text.parse().ok().filter(|_| canonical);
    parsed.ok_or(ProxyHeaderError::Malformed("a port is none"))
}

/// An IPv4 address in the form of IPv6 is that IPv4 address, as it is for peers.
fn client(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Announced {
    let canonical = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Announced::Client { source: canonical(source), destination: canonical(destination) }
}

/// The binary form (section 2.2).
fn version_2(bytes: &[u8]) -> Result<Option<(usize, Announced)>, ProxyHeaderError> {
    use ProxyHeaderError::{Malformed, TooLong};
    let Some(&[version, family, high, low]) =
        bytes.get(SIGNATURE.len()..FIXED).and_then(|fixed| fixed.first_chunk())
    else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 2 {
        return Err(Malformed("the version is not 2"));
    }
    if length > LONGEST_PROXY_HEADER {
        return Err(TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let Some((_, body)) = header.split_at_checked(FIXED) else { return Ok(None) };
    let announced = match version & 0xf {
        0 => (Announced::Itself, None),
        1 => announced_in(family, body)?,
        _ => return Err(Malformed("the command is neither LOCAL nor PROXY")),
    };
    let (announced, addresses) = announced;
    if let Some(values) = addresses.and_then(|taken| body.get(taken..)) {
        check_values(header, values)?;
    }
    Ok(Some((length, announced)))
}

/// The addresses of a family, and how many bytes they take; None where the family has no addresses
/// that are understood, and all that follows is ignored.
fn announced_in(family: u8, body: &[u8]) -> Result<(Announced, Option<usize>), ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    const SHORT: ProxyHeaderError = Malformed("the addresses are cut short");
    let port = |at: usize| -> Result<u16, ProxyHeaderError> {
        let bytes = body.get(at..).and_then(|rest| rest.first_chunk()).ok_or(SHORT)?;
        Ok(u16::from_be_bytes(*bytes))
    };
    match family {
        // TCP over IPv4.
        0x11 => {
            let ip = |at: usize| -> Result<IpAddr, ProxyHeaderError> {
                let octets: &[u8; 4] = body.get(at..).and_then(|r| r.first_chunk()).ok_or(SHORT)?;
                Ok(IpAddr::from(*octets))
            };
            Ok((client((ip(0)?, port(8)?), (ip(4)?, port(10)?)), Some(12)))
        }
        // TCP over IPv6.
        0x21 => {
            let ip = |at: usize| -> Result<IpAddr, ProxyHeaderError> {
                let octets: &[u8; 16] =
                    body.get(at..).and_then(|r| r.first_chunk()).ok_or(SHORT)?;
                Ok(IpAddr::from(*octets))
            };
            Ok((client((ip(0)?, port(32)?), (ip(16)?, port(34)?)), Some(36)))
        }
        // Unspecified, and streams of Unix sockets: the balancer's own ends hold.
        0x00 | 0x31 => Ok((Announced::Itself, None)),
        _ => Err(Malformed("the family or the transport is not that of a connection")),
    }
}

/// Walks the values behind the addresses; a checksum among them must be right.
fn check_values(header: &[u8], mut values: &[u8]) -> Result<(), ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    while let Some((&[kind, high, low], rest)) = values.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, behind) =
            rest.split_at_checked(length).ok_or(Malformed("a value is cut short"))?;
        if kind == CRC32C {
            let at = header.len() - rest.len();
            let sum: [u8; 4] =
                value.try_into().map_err(|_| Malformed("the checksum has not four bytes"))?;
            if crc32c(header, at..at + 4) != u32::from_be_bytes(sum) {
                return Err(ProxyHeaderError::Checksum);
            }
        }
        values = behind;
    }
    if values.is_empty() { Ok(()) } else { Err(Malformed("a value is cut short")) }
}

/// CRC32c (RFC 3720 appendix B.4) of bytes of which those in `zeroed` count as zero. Bit by bit: it
/// runs once for a connection whose balancer sends a checksum, over some hundred bytes.
fn crc32c(bytes: &[u8], zeroed: std::ops::Range<usize>) -> u32 {
    let mut sum = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        sum ^= if zeroed.contains(&at) { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(unreachable_pub, reason = "the fuzzer has it")]
pub mod hold {
    //! What holds for any bytes; each by a panic.
    use super::{LONGEST_PROXY_HEADER, is_proxy_header, proxy_header};

    /// Every piece of a header that is taken is incomplete, nothing behind it changes it, and what is
    /// incomplete is short.
    pub fn a_header_has_one_meaning(bytes: &[u8]) {
        match proxy_header(bytes) {
            Ok(Some((length, announced))) => {
                assert!(length <= bytes.len() && length <= LONGEST_PROXY_HEADER);
                assert!((0..length).all(|cut| proxy_header(&bytes[..cut]) == Ok(None)));
                assert_eq!(proxy_header(&bytes[..length]), Ok(Some((length, announced))));
                assert!(is_proxy_header(bytes), "it is known as one");
            }
            Ok(None) => assert!(bytes.len() < LONGEST_PROXY_HEADER),
            Err(error) => {
                let longer = [bytes, b"\r\nmore"].concat();
                assert_eq!(proxy_header(&longer), Err(error), "more bytes do not mend it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(source: &str, destination: &str) -> Announced {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Announced::Client { source, destination }
    }

    #[test]
    fn lines_of_version_1_are_read() {
        for (line, announced) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.9 40000 443\r\n",
                taken("192.0.2.1:40000", "192.0.2.9:443"),
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", taken("[2001:db8::1]:1", "[::1]:65535")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 0 1\r\n", taken("192.0.2.1:0", "[::1]:1")),
            ("PROXY UNKNOWN\r\n", Announced::Itself),
            ("PROXY UNKNOWN ffff:f..f whatever\r\n", Announced::Itself),
        ] {
            let bytes = [line.as_bytes(), b"rest"].concat();
            assert_eq!(proxy_header(&bytes), Ok(Some((line.len(), announced))), "{line}");
        }
    }

    #[test]
    fn lines_of_another_form_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.9 40000 443\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 40000\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 40000 443 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.9 40000 443\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.9 40000 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 040 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 +40 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 65536 443\r\n",
            "PROXY TCP4 ::1 192.0.2.9 1 443\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 443\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.9 1 443\r\n",
            "PROXY \r\n",
        ] {
            let read = proxy_header(line.as_bytes());
            assert!(matches!(read, Err(ProxyHeaderError::Malformed(_))), "{line}: {read:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1));
        assert_eq!(proxy_header(long.as_bytes()), Err(ProxyHeaderError::TooLong));
        assert_eq!(proxy_header(b"GET / HTTP/1.1\r\n"), Err(ProxyHeaderError::Missing));
        assert_eq!(proxy_header(&[22, 3, 1]), Err(ProxyHeaderError::Missing));
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 9, 0x9c, 0x40, 1, 0xbb];

    #[test]
    fn headers_of_version_2_are_read() {
        let client = taken("192.0.2.1:40000", "192.0.2.9:443");
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[31], v6[33], v6[35]) = (0x20, 1, 2, 7, 8);
        let tlv = [&V4[..], &[4, 0, 2, 9, 9]].concat();
        for (command, family, body, announced) in [
            (0x21, 0x11, &V4[..], client),
            (0x21, 0x11, &tlv, client),
            (0x21, 0x21, &v6, taken("[2000::1]:7", "[::2]:8")),
            (0x20, 0x00, &[], Announced::Itself),
            (0x20, 0x11, &V4, Announced::Itself),
            (0x21, 0x00, &[1, 2], Announced::Itself),
            (0x21, 0x31, &[0; 216], Announced::Itself),
        ] {
            let header = binary(command, family, body);
            let read = proxy_header(&[&header[..], b"rest"].concat());
            assert_eq!(read, Ok(Some((header.len(), announced))), "{command:x} {family:x}");
        }
    }

    #[test]
    fn headers_of_version_2_of_another_form_are_refused() {
        let cut = [&V4[..], &[4, 0, 9, 9]].concat();
        for (command, family, body) in [
            (0x11, 0x11, &V4[..]),
            (0x22, 0x11, &V4),
            (0x21, 0x12, &V4),
            (0x21, 0x41, &V4),
            (0x21, 0x11, &V4[..11]),
            (0x21, 0x21, &V4),
            (0x21, 0x11, &cut),
        ] {
            let read = proxy_header(&binary(command, family, body));
            assert!(matches!(read, Err(ProxyHeaderError::Malformed(_))), "{command:x} {family:x}");
        }
        let long = binary(0x21, 0x11, &[0; LONGEST_PROXY_HEADER]);
        assert_eq!(proxy_header(&long[..FIXED]), Err(ProxyHeaderError::TooLong));
    }

    /// Section 2.1: 107 bytes hold the longest line, with its CRLF.
    #[test]
    fn a_line_of_version_1_is_bounded() {
        let line = |length: usize| {
            let fill = length - "PROXY UNKNOWN \r\n".len();
            format!("PROXY UNKNOWN {}\r\n", "x".repeat(fill)).into_bytes()
        };
        let longest = proxy_header(&line(LONGEST_V1));
        assert_eq!(longest, Ok(Some((LONGEST_V1, Announced::Itself))));
        assert_eq!(proxy_header(&line(LONGEST_V1)[..LONGEST_V1 - 1]), Ok(None));
        assert_eq!(proxy_header(&line(LONGEST_V1 + 1)), Err(ProxyHeaderError::TooLong));
        assert_eq!(
            proxy_header(&line(LONGEST_V1 + 1)[..LONGEST_V1]),
            Err(ProxyHeaderError::TooLong)
        );
    }

    #[test]
    fn the_longest_header_of_version_2_is_taken() {
        let header = binary(0x21, 0x00, &[0; LONGEST_PROXY_HEADER - FIXED]);
        let taken = proxy_header(&header);
        assert_eq!(taken, Ok(Some((LONGEST_PROXY_HEADER, Announced::Itself))));
        assert_eq!(proxy_header(&header[..FIXED - 1]), Ok(None));
        assert_eq!(proxy_header(&header[..FIXED]), Ok(None));
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        for (error, part) in [
            (ProxyHeaderError::Missing, "does not begin"),
            (ProxyHeaderError::Malformed("a port is none"), "malformed: a port is none"),
            (ProxyHeaderError::TooLong, "too long"),
            (ProxyHeaderError::Checksum, "checksum"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    /// Values behind a checksum are walked too, and each must be whole.
    #[test]
    fn a_checksum_must_be_right() {
        assert_eq!(crc32c(b"123456789", 0..0), 0xe306_9283, "RFC 3720's check value");
        let mut header = binary(0x21, 0x11, &[&V4[..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat());
        assert_eq!(proxy_header(&header), Err(ProxyHeaderError::Checksum));
        let at = header.len() - 4..header.len();
        let sum = crc32c(&header, at.clone()).to_be_bytes();
        header[at].copy_from_slice(&sum);
        assert!(matches!(proxy_header(&header), Ok(Some(_))));
        for values in
            [&[CRC32C, 0, 3, 0, 0, 0][..], &[CRC32C, 0, 5, 0, 0, 0, 0, 0], &[4, 0], &[4, 0, 1]]
        {
            let read = proxy_header(&binary(0x21, 0x11, &[&V4[..], values].concat()));
            assert!(matches!(read, Err(ProxyHeaderError::Malformed(_))), "{values:?}: {read:?}");
        }
        // Between other values, and its own place alone counts as zero.
        let values = [4, 0, 1, 9, CRC32C, 0, 4, 0, 0, 0, 0, 4, 0, 1, 7];
        let mut header = binary(0x21, 0x11, &[&V4[..], &values].concat());
        let at = header.len() - 8..header.len() - 4;
        let sum = crc32c(&header, 0..0).to_be_bytes();
        header[at].copy_from_slice(&sum);
        assert!(matches!(proxy_header(&header), Ok(Some(_))));
        let last = header.len() - 1;
        header[last] ^= 1;
        assert_eq!(proxy_header(&header), Err(ProxyHeaderError::Checksum));
    }

    proptest! {
        #[test]
        fn any_bytes_have_one_meaning(
            start in prop::sample::select(vec![&b""[..], SIGNATURE, b"PROXY ", b"PROXY TCP4 "]),
            fixed in prop::collection::vec(prop::sample::select(vec![0x21, 0x20, 0x11, 0, 12, 4]), 0..6),
            rest in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            hold::a_header_has_one_meaning(&[start, &fixed, &rest].concat());
        }

        #[test]
        fn what_a_balancer_writes_is_what_is_read(source: Ipv4Addr, to: Ipv6Addr, ports: (u16, u16)) {
            let line = format!("PROXY TCP4 {source} 192.0.2.9 {} {}\r\n", ports.0, ports.1);
            hold::a_header_has_one_meaning(line.as_bytes());
            let expected = taken(&format!("{source}:{}", ports.0), &format!("192.0.2.9:{}", ports.1));
            prop_assert_eq!(proxy_header(line.as_bytes()), Ok(Some((line.len(), expected))));
            let body = [&to.octets()[..], &to.octets(), &ports.0.to_be_bytes(), &ports.1.to_be_bytes()];
            let header = binary(0x21, 0x21, &body.concat());
            hold::a_header_has_one_meaning(&header);
            let end = |port| SocketAddr::new(IpAddr::from(to).to_canonical(), port);
            let expected = Announced::Client { source: end(ports.0), destination: end(ports.1) };
            prop_assert_eq!(proxy_header(&header), Ok(Some((header.len(), expected))));
        }
    }
}
