//! Who sent a request: `X-Forwarded-*`, `Forwarded` (RFC 7239), and which of them to believe.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use super::{Outgoing, Visit, line};
use crate::respond::decimal::Decimal;

/// Where the requests of a connection come from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The other end of the client's connection.
    pub(crate) peer: SocketAddr,
    /// The end of that connection at this host.
    pub(crate) local: SocketAddr,
    /// They come by TLS.
    secure: bool,
    /// `X-Forwarded-For`, `-Proto` and `-Port` where the peer's own are not believed: all requests of the
    /// connection have the same.
    lines: Box<[u8]>,
}

impl Origin {
    /// The origin of the requests of a connection from `peer` to `local`, `secure` if by TLS.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, secure: bool) -> Self {
        let mut origin = Self { peer, local, secure, lines: Box::default() };
        let mut lines = Vec::new();
        origin.write_forwarded(&mut lines, &Said::default());
        origin.lines = lines.into();
        origin
    }

    fn scheme(&self) -> &'static [u8] {
        if self.secure { b"https" } else { b"http" }
    }

    /// Writes `X-Forwarded-For`, `-Proto` and `-Port` behind what a trusted peer said.
    fn write_forwarded(&self, out: &mut Vec<u8>, said: &Said) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        out.extend_from_slice(&said.chain);
        if !said.chain.is_empty() {
            out.extend_from_slice(b", ");
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", self.peer.ip());
        out.extend_from_slice(b"\r\n");
        line(out, "X-Forwarded-Proto", said.proto.as_deref().unwrap_or(self.scheme()));
        let port = Decimal::new(self.local.port().into());
        line(out, "X-Forwarded-Port", said.port.as_deref().unwrap_or(port.as_bytes()));
    }
}

/// Which fields name the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Standard,
}

/// Whether a field says where a request came from. Names are compared without case.
pub(super) fn is_of_origin(name: &str) -> bool {
    const OTHERS: [&str; 2] = ["forwarded", "x-real-ip"];
    const FAMILIES: [&str; 2] = ["x-forwarded-", "client-cert"];
    OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
        || FAMILIES.iter().any(|family| {
            name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family))
        })
}

/// What a trusted peer said, kept for the lines that are written.
#[derive(Debug, Default)]
struct Said {
    /// `X-Forwarded-For`, all lines as one list.
    chain: Vec<u8>,
    /// `Forwarded`, likewise.
    standard: Vec<u8>,
    /// `X-Forwarded-` `Proto`, `Host`, `Port`: the first of each.
    proto: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    port: Option<Vec<u8>>,
}

impl Said {
    fn collect(fields: &Visit<'_>) -> Self {
        let mut said = Self::default();
        fields(&mut |name, value| {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let first = |kept: &mut Option<Vec<u8>>| {
                kept.get_or_insert_with(|| value.to_vec());
            };
            if is("x-forwarded-for") {
                append(&mut said.chain, value);
            } else if is("forwarded") {
                append(&mut said.standard, value);
            } else if is("x-forwarded-proto") {
                first(&mut said.proto);
            } else if is("x-forwarded-host") {
                first(&mut said.host);
            } else if is("x-forwarded-port") {
                first(&mut said.port);
            }
        });
        said
    }
}

/// Appends to a list.
fn append(list: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(value);
}

/// Writes the fields that name the client.
pub(super) fn write(out: &mut Vec<u8>, outgoing: &Outgoing<'_>, form: Forwarding) {
    let Outgoing { origin, authority, trusted, fields, .. } = *outgoing;
    match form {
        Forwarding::XForwarded if !trusted => {
            out.extend_from_slice(&origin.lines);
            if let Some(host) = authority {
                line(out, "X-Forwarded-Host", host);
            }
        }
        Forwarding::XForwarded => {
            let said = Said::collect(fields);
            origin.write_forwarded(out, &said);
            if let Some(host) = said.host.as_deref().or(authority) {
                line(out, "X-Forwarded-Host", host);
            }
        }
        Forwarding::Standard => {
            let mut said = if trusted { Said::collect(fields) } else { Said::default() };
            let mut element = Vec::new();
            // A vector takes whatever is written to it.
            let _ = match origin.peer.ip() {
                IpAddr::V4(peer) => write!(element, "for={peer}"),
                IpAddr::V6(peer) => write!(element, "for=\"[{peer}]\""),
            };
            element.extend_from_slice(b";proto=");
            element.extend_from_slice(origin.scheme());
            if let Some(host) = authority.filter(|host| !host.is_empty()) {
                element.extend_from_slice(b";host=\"");
                element.extend_from_slice(host);
                element.push(b'"');
            }
            append(&mut said.standard, &element);
            line(out, "Forwarded", &said.standard);
        }
    }
}
