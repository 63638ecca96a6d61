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

/// A port to listen at, which no other test of this process gets. It lies below those that the kernel
/// gives to who asks for any, so that no other server takes it before it is used.
pub(crate) fn to_listen_at() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};

    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes that run these tests begin elsewhere.
    let first = 10_000 + (std::process::id() % 200 * 100) as u16;
    loop {
        let number = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
            return number;
        }
    }
}
