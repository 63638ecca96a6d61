//! The trials that need sockets: a listener, a client and a buffer ring around one small ring.
//!
//! The invariant: memory that the kernel may still write to is never freed. A trial ends by
//! cancelling what is armed and waiting for its last completion; if that does not come in time,
//! the mapping is leaked on purpose.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, IOU_PBUF_RING_INC, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const CANCEL: u64 = 3;

/// How long one completion may take.
const PATIENCE: Timespec = Timespec::new().sec(1);

/// Completions that the end of a trial looks at, at most.
const LAST_COMPLETIONS: usize = 16;

const GROUP: u16 = 0;
const BUFFERS: u16 = 8;
const BUFFER_BYTES: usize = 64;

/// One ring with a loopback connection about to be accepted.
pub(super) struct Trial {
    ring: IoUring,
    listener: TcpListener,
    client: TcpStream,
    accepted: Option<OwnedFd>,
    memory: Option<BufferMemory>,
    accept_armed: bool,
    receive_armed: bool,
    scarcity: Option<io::Error>,
}

/// Whether an error says that memory or descriptors lack, and nothing of what the kernel can do.
pub(super) fn is_scarcity(error: &io::Error) -> bool {
    let scarce = [libc::ENOMEM, libc::ENOBUFS, libc::EMFILE, libc::ENFILE];
    error.raw_os_error().is_some_and(|errno| scarce.contains(&errno))
}

impl Trial {
    pub(super) fn new(ring: IoUring) -> io::Result<Self> {
        let addresses = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ];
        let listener = TcpListener::bind(&addresses[..])?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok(Self {
            ring,
            listener,
            client,
            accepted: None,
            memory: None,
            accept_armed: false,
            receive_armed: false,
            scarcity: None,
        })
    }

    /// Whether memory or descriptors lacked in a trial: then what it answered says nothing.
    pub(super) fn scarcity(&mut self) -> Option<io::Error> {
        self.scarcity.take()
    }

    /// What succeeded; what failed is noted.
    fn noted<T>(&mut self, tried: io::Result<T>) -> Option<T> {
        tried.map_err(|error| self.note(error)).ok()
    }

    /// Keeps an error that says that memory or descriptors lacked.
    fn note(&mut self, error: io::Error) {
        if is_scarcity(&error) {
            self.scarcity = Some(error);
        }
    }

    /// Whether a buffer ring can be registered as incremental. It is taken back at once.
    pub(super) fn incremental_buffers(&mut self) -> bool {
        let Some(memory) = self.noted(BufferMemory::new()) else { return false };
        let registered = memory.register(&self.ring, IOU_PBUF_RING_INC as u16).is_ok();
        if registered && self.ring.submitter().unregister_buf_ring(GROUP).is_err() {
            memory.leak();
        }
        registered
    }

    /// Whether a buffer ring can be registered; it stays for [`Trial::multishot_receive`].
    pub(super) fn buffer_ring(&mut self) -> bool {
        let Some(memory) = self.noted(BufferMemory::new()) else { return false };
        let registered = memory.register(&self.ring, 0);
        if self.noted(registered).is_none() {
            return false;
        }
        memory.fill();
        self.memory = Some(memory);
        true
    }

    /// Whether an accept completes and stays armed. Takes the connection by accept(2) if not.
    pub(super) fn multishot_accept(&mut self) -> bool {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(ACCEPT);
        self.accept_armed = self.submit(&accept);
        let completion = self.accept_armed.then(|| self.wait()).flatten();
        if let Some((_, result @ ..0, _)) = completion {
            self.note(io::Error::from_raw_os_error(-result));
        }
        let stays = completion.is_some_and(|(_, result, more)| result >= 0 && more);
        if self.accepted.is_none() && !self.accept_armed {
            self.accepted = self.listener.accept().ok().map(|(stream, _)| stream.into());
        }
        stays
    }

    /// Whether a receive into the buffer ring completes twice and stays armed.
    pub(super) fn multishot_receive(&mut self) -> bool {
        let Some(accepted) = &self.accepted else { return false };
        let receive =
            opcode::RecvMulti::new(Fd(accepted.as_raw_fd()), GROUP).build().user_data(RECEIVE);
        self.receive_armed = self.submit(&receive);
        self.receive_armed && self.receives_one_byte() && self.receives_one_byte()
    }

    fn receives_one_byte(&mut self) -> bool {
        self.client.write_all(b"x").is_ok() && self.wait() == Some((RECEIVE, 1, true))
    }

    fn submit(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the entries refer to sockets that live as long as the trial and to a buffer ring
        // whose memory outlives every operation, see `Drop`.
        let queued = unsafe { self.ring.submission().push(entry) };
        queued.is_ok() && self.ring.submit().is_ok()
    }

    /// The next completion, as its operation, its result and whether more will follow; `None` if
    /// none comes in time.
    fn wait(&mut self) -> Option<(u64, i32, bool)> {
        if self.ring.completion().is_empty() {
            let deadline = SubmitArgs::new().timespec(&PATIENCE);
            self.ring.submitter().submit_with_args(1, &deadline).ok()?;
        }
        let completion = self.ring.completion().next()?;
        let (operation, result) = (completion.user_data(), completion.result());
        let more = cqueue::more(completion.flags());
        match operation {
            ACCEPT => {
                self.accept_armed = more;
                if result >= 0 {
                    // SAFETY: a successful accept's result is a new descriptor that nobody else
                    // knows; a second one replaces, and thereby closes, the first.
                    self.accepted = Some(unsafe { OwnedFd::from_raw_fd(result) });
                }
            }
            RECEIVE => self.receive_armed = more,
            // A cancel, after which nothing is left.
            _ => {}
        }
        Some((operation, result, more))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // The receive ends with the client's half of the connection, the accept by a cancel.
        let _ = self.client.shutdown(Shutdown::Both);
        if self.accept_armed {
            let cancel = opcode::AsyncCancel::new(ACCEPT).build().user_data(CANCEL);
            self.submit(&cancel);
        }
        for _ in 0..LAST_COMPLETIONS {
            if !(self.accept_armed || self.receive_armed) || self.wait().is_none() {
                break;
            }
        }
        if let Some(memory) = self.memory.take() {
            let released = self.ring.submitter().unregister_buf_ring(GROUP).is_ok();
            if self.receive_armed || !released {
                memory.leak();
            }
        }
    }
}

/// One page that holds a buffer ring in its first half and the buffers in its second.
struct BufferMemory {
    page: NonNull<BufRingEntry>,
}

const PAGE_BYTES: usize = 4_096;
const BUFFERS_AT: usize = PAGE_BYTES / 2;

// The ring's entries end before the buffers begin, and the buffers end with the page.
const _: () = assert!(BUFFERS as usize * size_of::<BufRingEntry>() <= BUFFERS_AT);
const _: () = assert!(BUFFERS_AT + BUFFERS as usize * BUFFER_BYTES <= PAGE_BYTES);

impl BufferMemory {
    fn new() -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice changes nothing
        // that exists.
        let page = unsafe {
            mmap_anonymous(std::ptr::null_mut(), PAGE_BYTES, protection, MapFlags::PRIVATE)?
        };
        let page = NonNull::new(page.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { page })
    }

    fn register(&self, ring: &IoUring, flags: u16) -> io::Result<()> {
        let address = self.page.as_ptr() as u64;
        // SAFETY: the page is aligned, holds the ring's entries (asserted above), and is unmapped
        // only after the group was unregistered, or else leaked.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, flags) }
    }

    /// Hands all buffers to the kernel.
    fn fill(&self) {
        let entries = self.page.as_ptr();
        let buffers = entries.cast::<u8>().wrapping_add(BUFFERS_AT);
        for index in 0..BUFFERS {
            let offset = usize::from(index);
            // SAFETY: the entry lies within the page (asserted above), which is aligned for it and
            // zeroed, a valid entry; the kernel reads none before the tail is moved.
            unsafe {
                let entry = &mut *entries.add(offset);
                entry.set_addr(buffers.wrapping_add(offset * BUFFER_BYTES) as u64);
                entry.set_len(BUFFER_BYTES as u32);
                entry.set_bid(index);
            }
        }
        // SAFETY: the tail lies in the first entry, which is initialised; it is aligned for a u16
        // and shared with the kernel, hence the atomic.
        unsafe {
            let tail = BufRingEntry::tail(entries).cast_mut();
            AtomicU16::from_ptr(tail).store(BUFFERS, Ordering::Release);
        }
    }

    /// Leaves the mapping to the kernel, which may still write to it.
    fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for BufferMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, as large as it was made, and the kernel no longer
        // knows it: its group was unregistered, or never registered.
        let _ = unsafe { munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}
