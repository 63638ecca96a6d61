//! Ports of the loopback that nobody else takes while a test needs them.

use std::{net::Ipv4Addr, os::fd::OwnedFd};

use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, getsockname, socket};

/// A port at which nobody listens: connections to it are refused. It is free again when this is
/// dropped.
pub(crate) struct Reserved {
    _socket: OwnedFd,
    pub(crate) number: u16,
}

impl Reserved {
    /// Bound and not listening, so that the kernel gives the port to nobody else.
    pub(crate) fn new() -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address: std::net::SocketAddr = getsockname(&socket).unwrap().try_into().unwrap();
        Self { _socket: socket, number: address.port() }
    }
}
