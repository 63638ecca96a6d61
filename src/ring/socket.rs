//! A connection's descriptor, closed through the ring whatever becomes of the connection.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Descriptor, Ring};

/// An accepted socket. Dropping it closes it through the ring, after what was queued before. While
/// an operation on it is in flight, that operation keeps it open, and its last completion closes it:
/// the number cannot be used again under an operation.
#[derive(Debug)]
pub(crate) struct Socket {
    ring: Rc<Ring>,
    fd: Option<Rc<OwnedFd>>,
}

impl Socket {
    /// Takes the descriptor.
    pub(crate) fn new(ring: &Rc<Ring>, fd: OwnedFd) -> Self {
        Self { ring: Rc::clone(ring), fd: Some(Rc::new(fd)) }
    }

    fn owner(&self) -> &Rc<OwnedFd> {
        match &self.fd {
            Some(fd) => fd,
            None => unreachable!("only drop takes the descriptor"),
        }
    }

    /// Another owner of the descriptor, for an operation.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::Local(Rc::clone(self.owner()))
    }
}

impl Socket {
    /// The descriptor, if no operation owns it as well; else it is closed as by a drop.
    pub(crate) fn into_descriptor(mut self) -> Option<OwnedFd> {
        self.fd.take().and_then(Rc::into_inner)
    }

    /// Ends the direction to the peer, which gets a FIN behind what was sent (shutdown(2) itself).
    pub(crate) fn shut_down_sending(&self) {
        // It fails only for a connection that has ended.
        let _ = rustix::net::shutdown(self, rustix::net::Shutdown::Write);
    }

    /// Ends both directions at once (shutdown(2) itself: the ring's goes to a thread of the kernel),
    /// so that the peer learns of it and every operation on it ends, however many there are.
    pub(crate) fn shut_down(&self) {
        // It fails only for a connection that has ended.
        let _ = rustix::net::shutdown(self, rustix::net::Shutdown::Both);
    }
}

/// What is known of the peer of a connection apart from the bytes that it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It may send more.
    Sends,
    /// It has ended its side (FIN), maybe behind bytes that were not received yet. It may still read.
    EndedItsSide,
    /// Both sides have ended, or the connection has failed (RST).
    Gone,
}

impl Socket {
    /// What the kernel knows of the peer now, for connections on which nothing is received: poll(2),
    /// which does not wait.
    pub(crate) fn peer(&self) -> Peer {
        let mut poll = [PollFd::new(self, PollFlags::RDHUP)];
        // It fails only if the kernel lacks memory: then nothing is known, and the caller asks again.
        let _ = rustix::event::poll(&mut poll, Some(&Timespec::default()));
        let [poll] = poll;
        match poll.revents() {
            flags if flags.intersects(PollFlags::HUP | PollFlags::ERR) => Peer::Gone,
            flags if flags.contains(PollFlags::RDHUP) => Peer::EndedItsSide,
            _ => Peer::Sends,
        }
    }
}

/// `SO_MEMINFO` (Linux 4.12) and its indices (`include/uapi/linux/sock_diag.h`).
const SO_MEMINFO: libc::c_int = 55;
const MEMINFO_SNDBUF: usize = 3;
const MEMINFO_WMEM_QUEUED: usize = 5;
const MEMINFO_VARS: usize = 9;

/// `SIOCOUTQNSD` (tcp(7), `include/uapi/linux/sockios.h`).
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// Bytes that a socket holds and has not sent yet, at most (`TCP_NOTSENT_LOWAT`). What the peer's
/// window takes is not among them, so it costs a fast peer nothing; a stalled one would else make
/// the kernel hold what its send buffer has grown to, which is megabytes (`net.ipv4.tcp_wmem`).
pub(crate) const MAX_UNSENT: usize = 256 << 10;

/// Sets the bound of [`MAX_UNSENT`]; what a listener accepts inherits it.
///
/// # Errors
/// What setsockopt(2) says; there is no reason to expect any.
pub(crate) fn limit_unsent(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket, (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), MAX_UNSENT as libc::c_int)
}

/// setsockopt(2) of an option that is an int, by its level and its name.
fn set_option(
    socket: &impl AsFd,
    (level, name): (libc::c_int, libc::c_int),
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads one int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Socket {
    /// From now on a wait for bytes ends once so many have come (`SO_RCVLOWAT`): that of a receive that is
    /// armed as well, on io_uring as over epoll, at once if they are there. The kernel sees to a receive buffer
    /// that holds them, and takes half of the last figure of `net.ipv4.tcp_rmem` at most
    /// (`tcp_set_rcvlowat` in `net/ipv4/tcp.c`).
    ///
    /// # Errors
    /// What setsockopt(2) says; there is no reason to expect any.
    pub(crate) fn set_low_water_mark(&self, bytes: u32) -> io::Result<()> {
        let bytes = libc::c_int::try_from(bytes).map_err(io::Error::other)?;
        set_option(self, (libc::SOL_SOCKET, libc::SO_RCVLOWAT), bytes)
    }
}

/// What the kernel holds of what was sent on a socket, and may hold, in bytes of its own memory:
/// payload and the frames around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendQueue {
    /// Sent and not acknowledged by the peer.
    pub queued: usize,
    /// A send waits for the peer once so much is queued; it grows with the congestion window.
    pub limit: usize,
    /// Payload that has not left, since the peer's window or the network does not take it.
    pub unsent: usize,
}

impl SendQueue {
    /// What can be sent without waiting for the peer.
    pub(crate) fn free(self) -> usize {
        let unsent = MAX_UNSENT.saturating_sub(self.unsent);
        self.limit.saturating_sub(self.queued).min(unsent)
    }
}

impl Socket {
    /// How full the socket is.
    ///
    /// # Errors
    /// What getsockopt(2) says; there is no reason to expect any.
    pub(crate) fn send_queue(&self) -> io::Result<SendQueue> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(queue) = self.ring.scripted_queue(self.as_fd().as_raw_fd()) {
            return Ok(queue);
        }
        let mut found = [0_u32; MEMINFO_VARS];
        let mut len = size_of_val(&found) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, which `found` has, and both outlive the
        // call.
        let result = unsafe {
            libc::getsockopt(
                self.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                found.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let (queued, limit) = (found[MEMINFO_WMEM_QUEUED], found[MEMINFO_SNDBUF]);
        if queued == 0 {
            // As it is before most responses: then nothing is unsent either.
            return Ok(SendQueue { queued: 0, limit: limit as usize, unsent: 0 });
        }
        let mut unsent: libc::c_int = 0;
        // SAFETY: the kernel writes one int, which outlives the call.
        let result = unsafe { libc::ioctl(self.as_fd().as_raw_fd(), SIOCOUTQNSD, &raw mut unsent) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let unsent = usize::try_from(unsent).map_err(io::Error::other)?;
        Ok(SendQueue { queued: queued as usize, limit: limit as usize, unsent })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.owner().as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take().and_then(Rc::into_inner) {
            self.ring.close(fd);
        }
    }
}
