//! Operations that the server polls as [`Flight`](super::Flight)s, in the form that the tests of the
//! ring await.

use std::{io, ops::Range, rc::Rc};

use super::{
    Descriptor, Message, OpenFile, Ring, SendBuf,
    file::Target,
    ops::{Op, into_target, mixed_up},
    table::Payload,
};

impl Ring {
    /// Sends what remains of a message; may send less. sendmsg(2).
    pub(crate) fn send_message(
        &self,
        socket: impl Into<Descriptor>,
        message: Box<Message>,
    ) -> impl Future<Output = (io::Result<usize>, Box<Message>)> + '_ {
        let op = Op::send_message(self, socket.into(), message);
        async move {
            match op.await {
                (result, Payload::Message(message)) => (result, message),
                _ => mixed_up(),
            }
        }
    }

    /// Waits until a socket takes bytes again, or failed.
    pub(crate) fn writable(
        &self,
        socket: impl Into<Descriptor>,
    ) -> impl Future<Output = io::Result<()>> + '_ {
        let op = Op::writable(self, socket.into());
        async move { op.await.0.map(drop) }
    }

    /// Takes one record of kernel TLS with its content type: what a plain receive answers with
    /// EIO. `None` as type: application data or, with no bytes, the end of the stream.
    pub(crate) fn receive_control(
        &self,
        socket: impl Into<Descriptor>,
        room: usize,
    ) -> impl Future<Output = io::Result<(Option<u8>, Box<[u8]>)>> + '_ {
        let op = Op::receive_control(self, socket.into(), room);
        async move {
            match op.await {
                (result, Payload::Control(frame)) => result.map(|len| frame.into_record(len)),
                _ => mixed_up(),
            }
        }
    }

    /// Reads a file into ranges of a send buffer, one after the other; may read less.
    ///
    /// Fails with `InvalidInput`, and reads nothing, if there are more than
    /// [`super::MAX_VECTORS`] ranges or one does not lie within the buffer.
    pub(crate) fn read_into(
        &self,
        file: &Rc<OpenFile>,
        buffer: SendBuf,
        ranges: Vec<Range<usize>>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, SendBuf, Vec<Range<usize>>)> + '_ {
        let op = Op::read(self, file, Target::Buffer(buffer, ranges), offset);
        async move {
            let (result, payload) = op.await;
            match into_target(payload) {
                Target::Buffer(buffer, ranges) => (result, buffer, ranges),
                Target::Pages(..) => mixed_up(),
            }
        }
    }
}
