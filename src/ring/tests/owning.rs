//! An operation keeps what it works on open: the number of its descriptor cannot come to stand for
//! something else between the call and the kernel.

use std::{
    future::{Future, poll_fn},
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use super::{Desk, Witness, config, kernel::over_both};
use crate::ring::{
    AcceptStream, Io, Message, OpenRules, Pages, ReceiveStream, Ring, SendBuf, Socket,
};

over_both! {
    a_number_that_is_used_again_is_another_operations_descriptor
}

/// An operation on a descriptor whose only other owner is the future.
type Start = fn(Rc<Ring>, OwnedFd, SendBuf) -> Pin<Box<dyn Future<Output = ()>>>;

/// Every operation that works on a descriptor.
const STARTS: [(&str, Start); 10] = [
    ("send", |ring, fd, buffer| {
        Box::pin(async move { drop(ring.send(&Socket::new(&ring, fd), buffer, 0..8).await) })
    }),
    ("send_message", |ring, fd, buffer| {
        Box::pin(async move {
            let mut message = Message::new();
            *message.buffer() = Some(buffer);
            assert!(message.push_buffered(0..8));
            drop(ring.send_message(&Socket::new(&ring, fd), message).await);
        })
    }),
    ("writable", |ring, fd, _| {
        Box::pin(async move { drop(ring.writable(&Socket::new(&ring, fd)).await) })
    }),
    ("receive_control", |ring, fd, _| {
        Box::pin(async move { drop(ring.receive_control(&Socket::new(&ring, fd), 16).await) })
    }),
    ("receive", |ring, fd, _| {
        Box::pin(async move {
            let mut stream = ReceiveStream::single(&ring, &Socket::new(&ring, fd));
            drop(stream.next().await);
        })
    }),
    ("receive_multishot", |ring, fd, _| {
        Box::pin(async move {
            let mut stream = ReceiveStream::single(&ring, &Socket::new(&ring, fd));
            stream.make_multishot();
            drop(stream.next().await);
        })
    }),
    ("accept", |ring, fd, _| {
        Box::pin(async move {
            let mut stream = AcceptStream::new(&ring, &Arc::new(fd));
            drop(poll_fn(|_| stream.poll_next()).await);
        })
    }),
    ("open_beneath", |ring, fd, _| {
        Box::pin(async move {
            drop(ring.open_beneath(&Rc::new(fd), c"page".into(), OpenRules::default()).await);
        })
    }),
    ("read_pages", |ring, fd, _| {
        Box::pin(async move {
            let file = Rc::new(crate::ring::OpenFile::local(fd));
            drop(ring.read_pages(&file, Pages::zeroed(8), 0, 0).await);
        })
    }),
    ("read_counter", |ring, fd, _| {
        Box::pin(async move { drop(ring.read_counter(&Arc::new(fd)).await) })
    }),
];

#[test]
fn the_descriptor_is_open_until_the_last_completion_whatever_becomes_of_the_task() {
    for (name, start) in STARTS {
        let mut desk = Desk::new();
        let (witness, fd) = Witness::owned();
        let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
        let task = desk.spawn(start(ring, fd, buffer));
        desk.abandon(task);
        assert!(!witness.is_closed(), "{name}: it was not even submitted");
        let (id, _) = desk.take();
        desk.take_cancel(-libc::EALREADY);
        desk.run();
        assert!(!witness.is_closed(), "{name}: the kernel has it");
        desk.complete(id, -libc::ECANCELED);
        desk.run();
        assert!(witness.is_closed(), "{name}: the last owner closes it");
        desk.assert_clean();
    }
}

/// What one task's end leaves in the queue must not reach the descriptor of another connection
/// that was given the same number before the kernel saw the queue.
fn a_number_that_is_used_again_is_another_operations_descriptor(io: Io) {
    for (name, start) in STARTS {
        let mut desk = Desk::real(io, &config());
        let (ours, _peer) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
        let task = desk.spawn(start(ring, ours.into(), buffer));
        desk.abandon(task);
        // A descriptor takes the lowest free number: this one, were it free.
        let (mut other, mut peer) = UnixStream::pair().unwrap();
        assert!(other.as_raw_fd() != number && peer.as_raw_fd() != number, "{name}");
        peer.write_all(b"for another").unwrap();
        desk.let_go();
        let mut bytes = [0; 11];
        other.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"for another", "{name}");
        drop(other);
        assert_eq!(peer.read(&mut bytes).unwrap(), 0, "{name}: and nothing was sent to it");
    }
}
