//! What the kernel knows of a TCP socket (`TCP_INFO`, tcp(7), `include/uapi/linux/tcp.h`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// The beginning of `struct tcp_info`, which is the same in every kernel; what an older one does not
/// have is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    info: libc::tcp_info,
}

impl TcpInfo {
    /// Asks the kernel. One system call.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        // SAFETY: all-zero is a valid tcp_info: it consists of integers.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most
        // `length` bytes to `info` and the length to `length`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(Self { info }) } else { Err(io::Error::last_os_error()) }
    }

    /// Of a connection that has sent nothing: nanoseconds since its TCP handshake was complete,
    /// in ticks of the kernel. The kernel sets the time of the last sending when it makes the
    /// socket of a new connection (`tcp_create_openreq_child`), so right after accept(2) this is
    /// how long it waited in the accept queue.
    pub(crate) fn unsent_for(self) -> u64 {
        u64::from(self.info.tcpi_last_data_sent) * 1_000_000
    }

    /// Nanoseconds since data was received last, in ticks of the kernel (`tcpi_last_data_recv`).
    pub(crate) fn received_ago(self) -> u64 {
        u64::from(self.info.tcpi_last_data_recv) * 1_000_000
    }

    /// The smoothed round-trip time, in nanoseconds.
    pub(crate) fn round_trip(self) -> u64 {
        u64::from(self.info.tcpi_rtt) * 1_000
    }

    /// Nanoseconds in which something was to be sent or acknowledged (`tcpi_busy_time`); of these
    /// with the peer's receive window shut (`tcpi_rwnd_limited`), and with nothing left to send in a
    /// send buffer that is too small (`tcpi_sndbuf_limited`). All since the connection began.
    pub(crate) fn busy(self) -> [u64; 3] {
        let libc::tcp_info { tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited, .. } =
            self.info;
        [tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited]
            .map(|microseconds| microseconds.saturating_mul(1_000))
    }

    /// Segments that were sent again since the connection began.
    pub(crate) fn retransmits(self) -> u32 {
        self.info.tcpi_total_retrans
    }

    /// Of a listener: connections in its accept queue, and how many there may be
    /// (`net/ipv4/tcp.c`, `tcp_get_info`).
    pub(crate) fn accept_queue(self) -> (u32, u32) {
        (self.info.tcpi_unacked, self.info.tcpi_sacked)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_tells_its_queue_and_a_connection_its_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (queued, limit) = TcpInfo::of(&listener).unwrap().accept_queue();
        assert_eq!(queued, 1);
        assert!(limit >= 1, "{limit}");
        std::thread::sleep(std::time::Duration::from_millis(120));
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(TcpInfo::of(&listener).unwrap().accept_queue().0, 0);
        let info = TcpInfo::of(&accepted).unwrap();
        assert!(info.unsent_for() >= 100_000_000, "{info:?}");
        // A megabyte that nobody reads: the peer's window shuts.
        accepted.set_nonblocking(true).unwrap();
        let megabyte = vec![0; 1 << 20];
        while io::Write::write(&mut &accepted, &megabyte).is_ok() {}
        std::thread::sleep(std::time::Duration::from_millis(20));
        let [busy, window_shut, buffer_empty] = TcpInfo::of(&accepted).unwrap().busy();
        assert!(busy > 0 && window_shut <= busy && buffer_empty <= busy);
        assert!(busy < 60_000_000_000, "the fields lie where they should");
        drop(first);
    }

    #[test]
    fn what_is_no_tcp_socket_is_an_error() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(TcpInfo::of(&file).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }
}
