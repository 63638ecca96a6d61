//! Single operations that are polled and owned: their owner keeps them across waits for other things,
//! and dropping a future that waited for one does not end it.

use std::{fmt, io, marker::PhantomData, ops::Range, rc::Rc, task::Poll};

use super::{
    Descriptor, Message, OpenFile, Ring, SendBuf, SendClass,
    file::Target,
    ops::{Op, into_target, mixed_up},
    send_pool::Taking,
    table::Payload,
};

/// An operation in flight that lent `T` to the kernel. Dropping it orphans the operation's slot, which
/// keeps what the kernel may touch, and cancels it.
pub(crate) struct Flight<T> {
    op: Op<Rc<Ring>>,
    lent: PhantomData<T>,
}

/// What an operation lends to the kernel and gives back.
pub(crate) trait Lent: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn given_back(given: Given) -> Self;
}

/// What came back from the kernel.
#[derive(Debug)]
pub(crate) struct Given(Payload);

mod sealed {
    pub(crate) trait Sealed {}
    impl Sealed for super::SendBuf {}
    impl Sealed for Box<super::Message> {}
    impl Sealed for () {}
    impl Sealed for super::ReadInto {}
    impl Sealed for super::ControlRecord {}
}

/// A buffer that a file was read into, or that a socket's bytes were received into, and the ranges of it,
/// filled one after the other.
pub(crate) type ReadInto = (SendBuf, Vec<Range<usize>>);

/// The content type that the kernel noted for a record, and room for its payload; how much of that
/// it wrote is the operation's result.
#[derive(Debug)]
pub(crate) struct ControlRecord(Box<super::message::ControlFrame>);

impl ControlRecord {
    /// The content type, and the first `len` bytes. No type: application data or, with no bytes, the
    /// end of the stream.
    pub(crate) fn into_record(self, len: usize) -> (Option<u8>, Box<[u8]>) {
        self.0.into_record(len)
    }
}

impl Lent for SendBuf {
    fn given_back(given: Given) -> Self {
        match given.0 {
            Payload::Buffer(buffer) => buffer,
            _ => mixed_up(),
        }
    }
}

impl Lent for Box<Message> {
    fn given_back(given: Given) -> Self {
        match given.0 {
            Payload::Message(message) => message,
            _ => mixed_up(),
        }
    }
}

impl Lent for () {
    fn given_back(_: Given) -> Self {}
}

impl Lent for ReadInto {
    fn given_back(given: Given) -> Self {
        match given.0 {
            Payload::Into(receive) => receive.into_parts(),
            read => match into_target(read) {
                Target::Buffer(buffer, ranges) => (buffer, ranges),
                Target::Pages(..) => mixed_up(),
            },
        }
    }
}

impl Lent for ControlRecord {
    fn given_back(given: Given) -> Self {
        match given.0 {
            Payload::Control(frame) => Self(frame),
            _ => mixed_up(),
        }
    }
}

impl<T: Lent> Flight<T> {
    /// The result, as soon as there is one, and what was lent; the current task is woken for it.
    /// Not to be called again after that.
    pub(crate) fn poll(&mut self) -> Poll<(io::Result<usize>, T)> {
        self.op.progress().map(|(result, payload)| (result, T::given_back(Given(payload))))
    }

    /// The task that polls is not woken once all `count` bytes were taken, only if the operation ends in
    /// another way: something else wakes that task, which polls then.
    pub(crate) fn expect(&mut self, count: usize) {
        if let Ok(count) = i32::try_from(count) {
            self.op.expect(count);
        }
    }
}

impl<T> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

pub(super) fn flight<T>(op: Op<Rc<Ring>>) -> Flight<T> {
    Flight { op, lent: PhantomData }
}

/// Send memory that is waited for, in line. Dropping it leaves the line.
pub(crate) struct Claim(Taking<Rc<Ring>>);

impl Claim {
    /// What is waited for.
    pub(crate) fn class(&self) -> SendClass {
        self.0.class()
    }

    /// The buffer, once it is this task's turn; the current task is woken for it.
    pub(crate) fn poll(&mut self) -> Poll<SendBuf> {
        self.0.take()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.class()).finish()
    }
}

impl Ring {
    /// As [`Ring::send`], owned.
    pub(crate) fn begin_send(
        self: &Rc<Self>,
        socket: impl Into<Descriptor>,
        buffer: SendBuf,
        range: Range<usize>,
    ) -> Flight<SendBuf> {
        flight(Op::send(Rc::clone(self), socket.into(), buffer, range))
    }

    /// Sends what remains of a message; may send less. sendmsg(2).
    pub(crate) fn begin_message(
        self: &Rc<Self>,
        socket: impl Into<Descriptor>,
        message: Box<Message>,
    ) -> Flight<Box<Message>> {
        flight(Op::send_message(Rc::clone(self), socket.into(), message))
    }

    /// Waits until a socket takes bytes again, or failed.
    pub(crate) fn begin_writable(self: &Rc<Self>, socket: impl Into<Descriptor>) -> Flight<()> {
        flight(Op::writable(Rc::clone(self), socket.into()))
    }

    /// Reads a file into ranges of a send buffer, one after the other; may read less.
    ///
    /// Fails with `InvalidInput`, and reads nothing, if there are more than
    /// [`super::MAX_VECTORS`] ranges or one does not lie within the buffer.
    pub(crate) fn begin_read_into(
        self: &Rc<Self>,
        file: &Rc<OpenFile>,
        buffer: SendBuf,
        ranges: Vec<Range<usize>>,
        offset: u64,
    ) -> Flight<ReadInto> {
        flight(Op::read(Rc::clone(self), file, Target::Buffer(buffer, ranges), offset))
    }

    /// Receives what has arrived into ranges of a send buffer, one after the other; may receive less. It
    /// does not wait: EAGAIN if nothing has arrived. So the memory is not held for a peer that is slow.
    ///
    /// Fails as [`Ring::begin_read_into`].
    pub(crate) fn begin_receive_into(
        self: &Rc<Self>,
        socket: impl Into<Descriptor>,
        buffer: SendBuf,
        ranges: Vec<Range<usize>>,
    ) -> Flight<ReadInto> {
        flight(Op::receive_into(Rc::clone(self), socket.into(), buffer, ranges))
    }

    /// Takes one record of kernel TLS with its content type: what a plain receive answers with EIO.
    pub(crate) fn begin_receive_control(
        self: &Rc<Self>,
        socket: impl Into<Descriptor>,
        room: usize,
    ) -> Flight<ControlRecord> {
        flight(Op::receive_control(Rc::clone(self), socket.into(), room))
    }

    /// As [`Ring::send_buffer`], owned.
    pub(crate) fn claim(self: &Rc<Self>, class: SendClass) -> Claim {
        Claim(Taking::new(Rc::clone(self), class))
    }
}
