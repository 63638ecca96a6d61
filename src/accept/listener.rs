//! Listening sockets.

use std::{fmt, io, net::SocketAddr, os::fd::OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// The queue of established connections that wait for accept (`net.core.somaxconn` may cut it,
/// and is the same by default). So many may come in one burst of a multishot accept.
pub(super) const BACKLOG: i32 = 4_096;

/// An address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

impl BindError {
    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// Whether the host lacks the address, or its whole family.
    pub fn lacks_address(&self) -> bool {
        self.kind() == io::ErrorKind::AddrNotAvailable
            || self.error.raw_os_error() == Some(libc::EAFNOSUPPORT)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on {address}: {error}")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "; another program listens there: stop it, or choose another --listen")
            }
            io::ErrorKind::PermissionDenied => write!(
                f,
                "; ports below {} need CAP_NET_BIND_SERVICE, or a lower \
                 net.ipv4.ip_unprivileged_port_start",
                1024
            ),
            io::ErrorKind::AddrNotAvailable => write!(f, "; this host has no such address"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Which connections a listener takes on an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// Those of the address's own family.
    Own,
    /// On `[::]`, those of IPv4 as well. Their addresses arrive in the IPv6 form, `::ffff:192.0.2.1`.
    Both,
}

/// Binds `count` listeners to one address, for as many workers. With port 0 the kernel chooses
/// one for all of them.
///
/// # Errors
/// The first call that the system refuses.
pub(crate) fn bind(
    address: SocketAddr,
    families: Families,
    count: usize,
) -> Result<(SocketAddr, Vec<OwnedFd>), BindError> {
    let failed = |error: io::Error| BindError { address, error };
    probe_free(address, families).map_err(failed)?;
    let first = listen(address, families).map_err(failed)?;
    let bound = local_address(&first).map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen(bound, families).map_err(failed)?);
    }
    Ok((bound, listeners))
}

/// `SO_REUSEPORT` would let a second server of the same user share our port in silence and take
/// half of the connections. So the address is first bound without it.
fn probe_free(address: SocketAddr, families: Families) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = open(address, families)?;
    rustix::net::bind(&socket, &address)?;
    Ok(())
}

fn open(address: SocketAddr, families: Families) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // Said in either case: the default is the host's (net.ipv6.bindv6only).
        sockopt::set_ipv6_v6only(&socket, families == Families::Own)?;
    }
    Ok(socket)
}

fn listen(address: SocketAddr, families: Families) -> io::Result<OwnedFd> {
    let socket = open(address, families)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // Inherited by accepted sockets. Responses leave whole; there is nothing for Nagle's
    // algorithm to wait for but trouble.
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Inherited too. A kernel that refuses it holds more for those that do not read.
    if let Err(error) = crate::ring::limit_unsent(&socket) {
        log::warn!("accept: what sockets hold unsent cannot be bounded: {error}");
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(address)
        .map_err(|_| io::Error::other("a bound socket has an address of its family"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_port_of_the_kernels_choice() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, listeners) = bind(any, Families::Own, 3).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(local_address(listener).unwrap(), address);
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_says_what_to_do() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, _listeners) = bind(any, Families::Own, 1).unwrap();
        let error = bind(address, Families::Own, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("--listen"), "{error}");
    }
}
