//! The socket options of kernel TLS, and the only unsafe code outside the ring.
//!
//! The order on a socket is [`install_ulp`], then either direction, each at a record boundary:
//! what has been sent before is out of our hands, and of what has been received no byte beyond
//! the last whole record has been read. Calling [`install_transmit`] or [`install_receive`] again
//! replaces the keys after a `KeyUpdate`, from kernel 6.14 on; before, it gives `EBUSY`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::crypto_info;
use crate::record::TrafficKeys;

/// Attaches the upper-layer protocol `tls` to a connected TCP socket.
///
/// Errors: `ENOENT` if the kernel has no such module loaded and this process may not load it,
/// `ENOTCONN` if the socket is not connected, `EEXIST` if it has an upper-layer protocol already.
pub(crate) fn install_ulp(socket: BorrowedFd<'_>) -> io::Result<()> {
    let name = b"tls";
    // SAFETY: `name` is valid for reads of its length.
    unsafe { set_option(socket, libc::SOL_TCP, libc::TCP_ULP, name.as_ptr().cast(), name.len()) }
}

/// From the next record on, the kernel seals what is written to the socket.
pub(crate) fn install_transmit(socket: BorrowedFd<'_>, keys: &TrafficKeys) -> io::Result<()> {
    install_keys(socket, libc::TLS_TX, keys)
}

/// From the next record on, the kernel opens what is read from the socket.
pub(crate) fn install_receive(socket: BorrowedFd<'_>, keys: &TrafficKeys) -> io::Result<()> {
    install_keys(socket, libc::TLS_RX, keys)
}

/// Lets the kernel decrypt records straight into the reader's buffer, betting that the peer does
/// not pad (TLS 1.3; a padded record is still read right, but costs a second decryption).
///
/// After [`install_receive`]. `EINVAL` on TLS 1.2, where it is needless; `ENOPROTOOPT` on kernels
/// before 6.0.
pub(crate) fn expect_no_padding(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is valid for reads of its length.
    unsafe {
        set_option(
            socket,
            libc::SOL_TLS,
            libc::TLS_RX_EXPECT_NO_PAD,
            (&raw const on).cast(),
            size_of_val(&on),
        )
    }
}

fn install_keys(socket: BorrowedFd<'_>, name: libc::c_int, keys: &TrafficKeys) -> io::Result<()> {
    // Wiped when it goes out of scope, below.
    let info = crypto_info(keys);
    // SAFETY: `info` lives, unmoved, until the call returns, and says its own length.
    unsafe { set_option(socket, libc::SOL_TLS, name, info.as_ptr(), info.size()) }
}

/// `setsockopt(2)`.
///
/// # Safety
///
/// `value` must be valid for reads of `length` bytes.
unsafe fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: *const libc::c_void,
    length: usize,
) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed, the kernel only reads the
    // value, and the caller promises that it may.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, value, length as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
