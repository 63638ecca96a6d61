//! Single operations as futures. Each is submitted when it is made, not when it is first polled,
//! so that two can fly at once; each gives back what it borrowed, whatever the result.

use std::{
    ffi::CString,
    future::Future,
    io,
    ops::{Deref, Range},
    os::fd::{OwnedFd, RawFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    Descriptor, Message, OpenFile, Pages, Ring, SendBuf, SendClass,
    connect::ConnectAddress,
    file::{FileRead, OpenRequest, OpenRules, Target},
    message::{ControlFrame, Prepared},
    op::{Defect, Kind, OpId, Refusal, Submission},
    receive_into::ReceiveInto,
    send_pool::Taking,
    table::{Payload, own},
};

/// An operation in flight; `R` refers to its ring. Dropping it orphans the slot, which keeps what the
/// kernel may touch.
pub(super) struct Op<R: Deref<Target = Ring>> {
    ring: R,
    state: OpState,
}

enum OpState {
    Flying(OpId),
    /// It was not submitted; this is what was to be lent.
    /// Boxed, so that an operation in flight, which is moved about, is its name alone.
    Refused(Box<(Refusal, Payload)>),
    Collected,
}

impl<R: Deref<Target = Ring>> Op<R> {
    fn begin(
        ring: R,
        kind: Kind,
        descriptor: Descriptor,
        payload: Payload,
        describe: impl FnOnce(RawFd, &mut Payload) -> Result<Submission, Defect>,
    ) -> Self {
        let state = match ring.begin(kind, descriptor, payload, describe) {
            Ok(id) => OpState::Flying(id),
            Err(refused) => OpState::Refused(Box::new(refused)),
        };
        Self { ring, state }
    }

    /// Sends `range` of a buffer.
    pub(super) fn send(ring: R, socket: Descriptor, buffer: SendBuf, range: Range<usize>) -> Self {
        Self::begin(ring, Kind::Plain, socket, Payload::Buffer(buffer), |socket, payload| {
            let Payload::Buffer(buffer) = payload else { mixed_up() };
            let bytes = buffer.get(range).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or(Defect::SendRange)?;
            let (data, len) = (bytes.as_ptr(), bytes.len() as u32);
            Ok(Submission::Send { socket, data, len })
        })
    }

    /// Sends what remains of a message.
    pub(super) fn send_message(ring: R, socket: Descriptor, message: Box<Message>) -> Self {
        Self::begin(ring, Kind::Plain, socket, Payload::Message(message), |socket, payload| {
            let Payload::Message(message) = payload else { mixed_up() };
            Ok(match message.prepare()? {
                Prepared::Bytes(data, len) => Submission::Send { socket, data, len },
                Prepared::Frame(header) => Submission::SendMessage { socket, header },
            })
        })
    }

    /// Connects a socket.
    pub(super) fn connect(ring: R, socket: Descriptor, address: Box<ConnectAddress>) -> Self {
        let address = Payload::Address(address);
        Self::begin(ring, Kind::Plain, socket, address, |socket, payload| {
            let Payload::Address(address) = payload else { mixed_up() };
            let (address, len) = address.raw();
            Ok(Submission::Connect { socket, address, len })
        })
    }

    /// Waits until a socket takes bytes again.
    pub(super) fn writable(ring: R, socket: Descriptor) -> Self {
        Self::begin(ring, Kind::Plain, socket, Payload::Nothing, |socket, _| {
            Ok(Submission::PollWritable { socket })
        })
    }

    /// Takes one record of kernel TLS with its content type.
    pub(super) fn receive_control(ring: R, socket: Descriptor, room: usize) -> Self {
        let frame = Payload::Control(Box::new(ControlFrame::new(room)));
        Self::begin(ring, Kind::Plain, socket, frame, |socket, payload| {
            let Payload::Control(frame) = payload else { mixed_up() };
            Ok(Submission::ReceiveMessage { socket, header: frame.prepare() })
        })
    }

    /// Receives what has arrived into send memory.
    pub(super) fn receive_into(
        ring: R,
        socket: Descriptor,
        buffer: SendBuf,
        ranges: Vec<Range<usize>>,
    ) -> Self {
        let receive = Payload::Into(ReceiveInto::new(buffer, ranges));
        Self::begin(ring, Kind::Plain, socket, receive, |socket, payload| {
            let Payload::Into(receive) = payload else { mixed_up() };
            Ok(Submission::ReceiveArrived { socket, header: receive.prepare()? })
        })
    }

    /// Reads a file from `offset` on.
    pub(super) fn read(ring: R, file: &Rc<OpenFile>, target: Target, offset: u64) -> Self {
        let registered = match &target {
            Target::Buffer(buffer, _) => {
                ring.send.is_within_last(ring.granted.registered_send_memory, buffer)
            }
            Target::Pages(..) => false,
        };
        let on_thread = file.is_read_on_thread();
        let read = Payload::Read(FileRead::new(target));
        Self::begin(ring, Kind::Plain, file.into(), read, |file, payload| {
            let Payload::Read(read) = payload else { mixed_up() };
            read.submission(file, offset, (registered, on_thread))
        })
    }

    /// What became of it, if it has completed; then never again.
    pub(super) fn progress(&mut self) -> Poll<(io::Result<usize>, Payload)> {
        let OpState::Flying(id) = self.state else { return Poll::Ready(self.without_flight()) };
        let state = &mut *self.ring.state.borrow_mut();
        let Some(result) = state.landed(id, self.ring.current.get()) else { return Poll::Pending };
        self.state = OpState::Collected;
        Poll::Ready((outcome(result), state.table.collect(id)))
    }

    /// What an operation ends with that is not in flight.
    #[cold]
    fn without_flight(&mut self) -> (io::Result<usize>, Payload) {
        match std::mem::replace(&mut self.state, OpState::Collected) {
            OpState::Refused(refused) => (Err(refused.0.into_error()), refused.1),
            OpState::Flying(_) | OpState::Collected => {
                (outcome(-libc::ECANCELED), Payload::Nothing)
            }
        }
    }

    /// The task is not woken for this result.
    pub(super) fn expect(&mut self, result: i32) {
        if let OpState::Flying(id) = self.state {
            self.ring.state.borrow_mut().table.expect(id, result);
        }
    }
}

impl<R: Deref<Target = Ring> + Unpin> Future for Op<R> {
    type Output = (io::Result<usize>, Payload);

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.progress()
    }
}

impl<R: Deref<Target = Ring>> Drop for Op<R> {
    fn drop(&mut self) {
        if let OpState::Flying(id) = self.state {
            self.ring.orphan(id);
        }
    }
}

/// A completion's result as Rust has it.
fn outcome(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// Where a read was put.
pub(super) fn into_target(payload: Payload) -> Target {
    match payload {
        Payload::Read(read) => read.target,
        _ => mixed_up(),
    }
}

/// An operation's payload came back as something else: a defect of this module.
pub(super) fn mixed_up() -> ! {
    unreachable!("an operation gives back the payload that it was given")
}

impl Ring {
    /// Sends `range` of a buffer; may send less. send(2), although the memory is registered:
    /// WRITE_FIXED copies it page by page and took 8 % more CPU for responses of 1 MB, and the same
    /// for 1 KB (`ringway-load`, Linux 6.18). Registration serves the file reads.
    pub(crate) fn send(
        &self,
        socket: impl Into<Descriptor>,
        buffer: SendBuf,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<usize>, SendBuf)> + '_ {
        let op = Op::send(self, socket.into(), buffer, range);
        async move {
            match op.await {
                (result, Payload::Buffer(buffer)) => (result, buffer),
                _ => mixed_up(),
            }
        }
    }

    /// Opens a file below a folder, never outside it; see [`OpenRules`].
    pub(crate) fn open_beneath(
        &self,
        folder: impl Into<Descriptor>,
        path: CString,
        rules: OpenRules,
    ) -> impl Future<Output = io::Result<OwnedFd>> + '_ {
        let request = Payload::Open(Box::new(OpenRequest::beneath(path, rules)));
        let op = Op::begin(self, Kind::Open, folder.into(), request, |folder, payload| {
            let Payload::Open(request) = payload else { mixed_up() };
            Ok(request.submission(folder))
        });
        async move {
            let (result, _request) = op.await;
            result.map(|fd| own(fd as RawFd))
        }
    }

    /// Reads a file into pages, behind their first `filled` bytes; may read less.
    pub(crate) fn read_pages(
        &self,
        file: &Rc<OpenFile>,
        pages: Pages,
        filled: usize,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Pages)> + '_ {
        let op = Op::read(self, file, Target::Pages(pages, filled), offset);
        async move {
            let (result, payload) = op.await;
            match into_target(payload) {
                Target::Pages(pages, _) => (result, pages),
                Target::Buffer(..) => mixed_up(),
            }
        }
    }

    /// Reads an eventfd's counter (eventfd(2)), waiting until it is not zero.
    pub(crate) fn read_counter(
        &self,
        eventfd: impl Into<Descriptor>,
    ) -> impl Future<Output = io::Result<u64>> + '_ {
        let counter = Payload::Counter(Box::new(0));
        let op = Op::begin(self, Kind::Plain, eventfd.into(), counter, |file, payload| {
            let Payload::Counter(counter) = payload else { mixed_up() };
            let data = std::ptr::from_mut(&mut **counter).cast();
            // Offset -1: an eventfd has no position.
            Ok(Submission::Read { file, data, len: 8, offset: u64::MAX, on_thread: false })
        });
        async move {
            match op.await {
                (result, Payload::Counter(counter)) => result.map(|_| *counter),
                _ => mixed_up(),
            }
        }
    }

    /// A buffer of send memory; waits in line while the class is empty.
    pub(crate) fn send_buffer(&self, class: SendClass) -> impl Future<Output = SendBuf> + '_ {
        Taking::new(self, class)
    }

    /// A buffer of send memory if one is at rest and nobody waits for it.
    pub(crate) fn try_send_buffer(&self, class: SendClass) -> Option<SendBuf> {
        self.send.try_take(class)
    }

    /// Whether [`Self::try_send_buffer`] would find memory of this class.
    pub(crate) fn has_send_buffer(&self, class: SendClass) -> bool {
        self.send.has_free(class)
    }

    /// Lets every other ready task run first.
    pub(crate) fn yield_now(&self) -> impl Future<Output = ()> + '_ {
        let mut yielded = false;
        std::future::poll_fn(move |_| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            self.wake(self.current.get());
            Poll::Pending
        })
    }
}
