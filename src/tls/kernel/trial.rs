//! Who protects records at less cost here, the kernel or we ourselves: both do it, and a clock
//! tells.
//!
//! Neither is faster by nature. The kernel saves a pass over the bytes and spends more on each
//! record; which code each has for the cipher, and what the processor has for that code, decides. A
//! version number knows nothing of it. The invariant: both sides of a comparison move the same
//! plaintext over the same kind of connection, and nothing is timed but protecting and moving it.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::Duration;

use super::probe::{loopback_pair, test_keys};
use super::{Direction, expect_no_padding, install_receive, install_transmit, install_ulp};
use crate::monotonic::Monotonic;
use crate::record::{ContentType, MAX_PLAINTEXT, Opener, Sealer, Suite, TlsVersion};

/// Comparisons of each length. The least time of each side counts: whatever else the machine does
/// can only add to it.
const ROUNDS: usize = 24;

/// Bytes that are timed together, of short messages: a clock is not read between them.
const TOGETHER: usize = 16 * 1024;

/// A whole comparison must fit into the socket's buffer, as one thread plays both ends.
const SOCKET_BUFFER: usize = 4 * 64 * 1024;

/// No wait of the comparison is longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a message costs, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The direction, as the server sees it.
    pub direction: Direction,
    /// Bytes of the message.
    pub length: usize,
    /// When we protect it.
    pub user: u64,
    /// When the kernel does.
    pub kernel: u64,
}

impl Cost {
    /// Whether the kernel is cheaper by more than the comparison errs.
    pub(crate) fn is_kernels(&self) -> bool {
        self.kernel.saturating_mul(100) < self.user.saturating_mul(97)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let (user, kernel) = (microseconds(self.user), microseconds(self.kernel));
        let Self { direction, length, .. } = self;
        match length {
            0..1024 => write!(f, "{direction} {length} bytes: ")?,
            _ => write!(f, "{direction} {} KiB: ", length / 1024)?,
        }
        write!(f, "{kernel:.1} us by the kernel, {user:.1} by Ringway")
    }
}

/// What was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// A small and a large response, and a request.
    pub costs: [Cost; 3],
}

impl Trial {
    /// Whether the kernel sends at less cost: responses of neither length may lose by it.
    pub(crate) fn kernel_sends(&self) -> bool {
        let mut sends = self.costs.iter().filter(|cost| cost.direction == Direction::Transmit);
        sends.all(Cost::is_kernels)
    }

    /// Whether it receives at less cost.
    pub(crate) fn kernel_receives(&self) -> bool {
        let mut receives = self.costs.iter().filter(|cost| cost.direction == Direction::Receive);
        receives.all(Cost::is_kernels)
    }
}

/// Compares on connections to ourselves, with the cipher that most clients get. Takes some
/// milliseconds.
///
/// # Errors
/// What the kernel refuses, and `WouldBlock` where it takes too little at once.
pub(crate) fn compare(suite: Suite) -> io::Result<Trial> {
    let costs = [sending(suite, 1024)?, sending(suite, 64 * 1024)?, receiving(suite, 512)?];
    Ok(Trial { costs })
}

/// Two ends of a connection that wait for no acknowledgement, and for nothing for long.
fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let (ours, theirs) = loopback_pair()?;
    for end in [&ours, &theirs] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
        rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BUFFER)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(end, SOCKET_BUFFER)?;
    }
    Ok((ours, theirs))
}

/// Nanoseconds that something takes for each of `count` messages, at least.
fn timed(least: &mut u64, count: usize, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let began = Monotonic::now();
    work()?;
    *least = (*least).min(began.elapsed() / count as u64);
    Ok(())
}

fn sending(suite: Suite, length: usize) -> io::Result<Cost> {
    let keys = test_keys(suite, TlsVersion::Tls13, 1)?;
    let (mut by_user, mut from_user) = connection()?;
    let (mut by_kernel, mut from_kernel) = connection()?;
    install_ulp(by_kernel.as_fd())?;
    install_transmit(by_kernel.as_fd(), &keys)?;
    let mut sealer = Sealer::new(&keys);

    let count = (TOGETHER / length).max(1);
    let plaintext = vec![b'r'; length];
    let records = length.div_ceil(MAX_PLAINTEXT);
    let mut sealed = vec![0; length + records * sealer.overhead()];
    let mut arrived = vec![0; sealed.len() * count];
    let (mut user, mut kernel) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        timed(&mut user, count, || {
            for _ in 0..count {
                let mut used = 0;
                for piece in plaintext.chunks(MAX_PLAINTEXT) {
                    let room = &mut sealed[used..];
                    used += sealer
                        .seal(ContentType::ApplicationData, piece, room)
                        .map_err(io::Error::other)?;
                }
                by_user.write_all(&sealed)?;
            }
            Ok(())
        })?;
        from_user.read_exact(&mut arrived)?;
        timed(&mut kernel, count, || (0..count).try_for_each(|_| by_kernel.write_all(&plaintext)))?;
        from_kernel.read_exact(&mut arrived)?;
    }
    Ok(Cost { direction: Direction::Transmit, length, user, kernel })
}

fn receiving(suite: Suite, length: usize) -> io::Result<Cost> {
    let keys = test_keys(suite, TlsVersion::Tls13, 1)?;
    let (mut to_user, mut by_user) = connection()?;
    let (mut to_kernel, mut by_kernel) = connection()?;
    install_ulp(by_kernel.as_fd())?;
    install_receive(by_kernel.as_fd(), &keys)?;
    // As for a connection: without, the kernel opens into pages of its own first.
    let _ = expect_no_padding(by_kernel.as_fd());
    let (mut sealer, mut opener) = (Sealer::new(&keys), Opener::new(&keys));

    let count = (TOGETHER / length).max(1);
    let plaintext = vec![b'q'; length];
    let mut record = vec![0; length + sealer.overhead()];
    let mut arrived = vec![0; MAX_PLAINTEXT];
    let (mut user, mut kernel) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        for _ in 0..count {
            sealer
                .seal(ContentType::ApplicationData, &plaintext, &mut record)
                .map_err(io::Error::other)?;
            // A request comes by itself, so each is received by itself.
            to_user.write_all(&record)?;
            timed(&mut user, 1, || {
                let room = &mut arrived[..record.len()];
                by_user.read_exact(room)?;
                opener.open(room).map(drop).map_err(io::Error::other)
            })?;
            to_kernel.write_all(&record)?;
            timed(&mut kernel, 1, || by_kernel.read_exact(&mut arrived[..length]))?;
        }
    }
    Ok(Cost { direction: Direction::Receive, length, user, kernel })
}
