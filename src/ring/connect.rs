//! Outgoing connections: the address in a form that the kernel reads, kept in the operation's slot,
//! and the socket that is connected.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    rc::Rc,
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::{Descriptor, Flight, Ring, ops::Op};

/// An address for connect(2).
pub(super) struct ConnectAddress {
    storage: libc::sockaddr_storage,
    len: u32,
}

impl ConnectAddress {
    pub(super) fn new(address: SocketAddr) -> Self {
        // SAFETY: all-zero is a valid sockaddr_storage of no family.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let len = match address {
            SocketAddr::V4(address) => {
                let to = (&raw mut storage).cast::<libc::sockaddr_in>();
                // SAFETY: a sockaddr_storage is large enough for every address and aligned for it.
                unsafe {
                    (*to).sin_family = libc::AF_INET as libc::sa_family_t;
                    (*to).sin_port = address.port().to_be();
                    (*to).sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                }
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(address) => {
                let to = (&raw mut storage).cast::<libc::sockaddr_in6>();
                // SAFETY: as above.
                unsafe {
                    (*to).sin6_family = libc::AF_INET6 as libc::sa_family_t;
                    (*to).sin6_port = address.port().to_be();
                    (*to).sin6_flowinfo = address.flowinfo();
                    (*to).sin6_addr.s6_addr = address.ip().octets();
                    (*to).sin6_scope_id = address.scope_id();
                }
                size_of::<libc::sockaddr_in6>()
            }
        };
        Self { storage, len: len as u32 }
    }

    /// Address and length as connect(2) takes them; good while the box stays where it is.
    pub(super) fn raw(&self) -> (*const libc::sockaddr, u32) {
        ((&raw const self.storage).cast(), self.len)
    }
}

impl fmt::Debug for ConnectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectAddress").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Seconds without traffic after which the kernel probes an outgoing connection, between two probes,
/// and probes without an answer that end it (tcp(7)): a server that vanished is noticed in a minute.
const KEEP_ALIVE: [(libc::c_int, libc::c_int); 3] =
    [(libc::TCP_KEEPIDLE, 30), (libc::TCP_KEEPINTVL, 10), (libc::TCP_KEEPCNT, 3)];

/// A TCP socket to connect to an address: close-on-exec, without delay of small segments, with probes.
///
/// # Errors
/// What socket(2) says: EMFILE, ENFILE, ENOBUFS.
pub(crate) fn outgoing_socket(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::sockopt::set_socket_keepalive(&socket, true)?;
    for (option, value) in KEEP_ALIVE {
        // SAFETY: the kernel reads one int, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                option,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

/// Connects to a Unix socket at once. connect(2) itself on a socket that does not block: it succeeds
/// or fails without waiting, while the ring's would hand a full backlog to a thread of the kernel.
///
/// # Errors
/// What connect(2) says; EAGAIN means that the listener's backlog is full.
pub(crate) fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    // A ring arms its own poll where a socket would block, and only for one that may block.
    let status = rustix::fs::fcntl_getfl(&socket)?;
    rustix::fs::fcntl_setfl(&socket, status - rustix::fs::OFlags::NONBLOCK)?;
    Ok(socket)
}

impl Ring {
    /// Connects a socket that [`outgoing_socket`] made. Dropping the flight cancels the attempt.
    pub(crate) fn begin_connect(
        self: &Rc<Self>,
        socket: impl Into<Descriptor>,
        address: SocketAddr,
    ) -> Flight<()> {
        let address = Box::new(ConnectAddress::new(address));
        super::flight::flight(Op::connect(Rc::clone(self), socket.into(), address))
    }
}
