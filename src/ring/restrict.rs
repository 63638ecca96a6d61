//! What a worker's ring may be asked for, told to the kernel before the ring is switched on
//! (`IORING_REGISTER_RESTRICTIONS`, Linux 5.10). It holds as long as the ring.
//!
//! A submission that came about by a defect can then do nothing that Ringway does not do itself:
//! it opens no connection unless there are upstream servers, writes to no file, removes and renames
//! none. The price is two bits
//! looked up for each submission, beside the thousand instructions and more that the cheapest one
//! takes (`io_check_restriction` in `io_uring/io_uring.c`).

use std::io;

use io_uring::{IoUring, register::Restriction, squeue};

use super::{
    operations::{CONNECT, OPERATIONS},
    uring::{REGISTER_RING_FDS, UNREGISTER_RING_FDS},
};

/// What is registered after the ring was switched on: its own descriptor. Buffers are by then.
const REGISTRATIONS: [u32; 2] = [REGISTER_RING_FDS, UNREGISTER_RING_FDS];

/// Restricts a ring that was set up disabled, and switches it on, which makes the calling thread
/// the one that submits. Whether it is restricted; a refusal is logged.
///
/// # Errors
/// It cannot be switched on.
pub(super) fn restrict_and_enable(ring: &IoUring, connects: bool) -> io::Result<bool> {
    let allowed = OPERATIONS.iter().filter(|(_, code)| connects || *code != CONNECT);
    let operations = allowed.map(|(_, code)| Restriction::sqe_op(*code));
    let registrations = REGISTRATIONS.map(|code| Restriction::register_op(code as u8));
    let flags = squeue::Flags::BUFFER_SELECT | squeue::Flags::ASYNC;
    let flags = Restriction::sqe_flags_allowed(flags.bits());
    let mut all: Vec<Restriction> = operations.chain(registrations).collect();
    all.push(flags);
    let restricted = ring.submitter().register_restrictions(&mut all);
    if let Err(error) = &restricted {
        log::info!("ring: it cannot be restricted to what Ringway submits ({error})");
    }
    ring.submitter().register_enable_rings()?;
    Ok(restricted.is_ok())
}

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;

    fn restricted(connects: bool) -> IoUring {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_r_disabled()
            .build(8)
            .unwrap();
        assert!(restrict_and_enable(&ring, connects).unwrap());
        ring
    }

    fn result(ring: &mut IoUring, entry: &squeue::Entry) -> i32 {
        // SAFETY: the entries of these tests point to nothing.
        unsafe { ring.submission().push(entry).unwrap() };
        ring.submit_and_wait(1).unwrap();
        ring.completion().next().unwrap().result()
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn what_is_not_submitted_is_refused_by_the_kernel() {
        let mut ring = restricted(false);
        assert_eq!(result(&mut ring, &opcode::Nop::new().build()), -libc::EACCES);
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build();
        assert_eq!(result(&mut ring, &socket), -libc::EACCES);
        let connect = opcode::Connect::new(io_uring::types::Fd(-1), std::ptr::null(), 0).build();
        assert_eq!(result(&mut ring, &connect), -libc::EACCES, "there are no upstream servers");
        assert_ne!(result(&mut restricted(true), &connect), -libc::EACCES);
        // Allowed, and refused for its own reasons only.
        let close = opcode::Close::new(io_uring::types::Fd(-1)).build();
        assert_eq!(result(&mut ring, &close), -libc::EBADF);
        let linked = opcode::Close::new(io_uring::types::Fd(-1)).build();
        let linked = linked.flags(squeue::Flags::IO_LINK);
        assert_eq!(result(&mut ring, &linked), -libc::EACCES, "a flag that nobody sets");
        let registered = ring.submitter().register_files(&[0]).unwrap_err();
        assert_eq!(registered.raw_os_error(), Some(libc::EACCES));
    }
}
