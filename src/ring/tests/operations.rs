//! Single operations: what they lend, when it comes back, and stale answers.

use std::{os::fd::OwnedFd, rc::Rc};

use super::{Desk, Witness};
use crate::ring::{
    MAX_VECTORS, Message, OpenRules, Pages, SendClass,
    message::MAX_PARTS,
    op::{Kind, OpId, Submission},
};

pub(super) fn available(desk: &Desk) -> usize {
    desk.ring.send.available(SendClass::Small)
}

/// A task that sends one small buffer.
fn sending(desk: &mut Desk, socket: &Rc<OwnedFd>) -> super::Output<std::io::Result<usize>> {
    let (ring, socket) = (Rc::clone(&desk.ring), Rc::clone(socket));
    let buffer = desk.small_buffer();
    desk.start(async move { ring.send(&socket, buffer, 0..100).await.0 })
}

#[test]
fn a_send_lends_its_buffer_and_gives_it_back() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let sent = sending(&mut desk, &socket);
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::Send { len: 100, .. }));
    assert_eq!(desk.ring.in_flight(), 1);
    desk.complete(id, 60);
    desk.run();
    assert_eq!(sent.take().unwrap().unwrap(), 60, "a short send is the caller's to continue");
    desk.assert_clean();
}

#[test]
fn a_failure_is_the_callers_and_the_buffer_still_comes_back() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let sent = sending(&mut desk, &socket);
    let (id, _) = desk.take();
    desk.complete(id, -libc::ECONNRESET);
    desk.run();
    let error = sent.take().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
    desk.assert_clean();
}

#[test]
fn a_dropped_task_leaves_its_buffer_to_the_kernel_until_the_last_completion() {
    for cancel_result in [0, -libc::EALREADY, -libc::ENOENT] {
        let mut desk = Desk::new();
        let socket = Rc::new(Witness::owned().1);
        let whole = available(&desk);
        let sent = sending(&mut desk, &socket);
        let (id, _) = desk.take();
        desk.abandon(sent.task);
        assert_eq!(desk.take_cancel(cancel_result), id);
        desk.run();
        assert_eq!(available(&desk), whole - 1, "the kernel may still read it");
        assert_eq!(desk.ring.in_flight(), 1);
        // Cancelled or not, it ends at last.
        desk.complete(id, if cancel_result == 0 { -libc::ECANCELED } else { 100 });
        desk.run();
        assert_eq!(available(&desk), whole);
        desk.assert_clean();
    }
}

#[test]
fn a_task_dropped_before_its_operation_was_submitted_is_no_exception() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let sent = sending(&mut desk, &socket);
    desk.abandon(sent.task);
    let (id, _) = desk.take();
    assert_eq!(desk.take_cancel(0), id, "in the order of submission");
    desk.complete(id, -libc::ECANCELED);
    desk.assert_clean();
}

#[test]
fn a_task_dropped_between_completion_and_poll_frees_the_slot_at_once() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let sent = sending(&mut desk, &socket);
    let (id, _) = desk.take();
    desk.complete(id, 100);
    desk.ring.turn().unwrap();
    desk.abandon(sent.task);
    assert_eq!(desk.ring.counts().cancels, 0);
    desk.assert_clean();
}

#[test]
fn completions_that_come_in_another_order_find_their_tasks() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let sent: Vec<_> = (0..4).map(|_| sending(&mut desk, &socket)).collect();
    let ids: Vec<OpId> = (0..4).map(|_| desk.take().0).collect();
    for index in [2, 0, 3, 1] {
        desk.complete(ids[index], 10 + index as i32);
    }
    desk.run();
    for (index, sent) in sent.iter().enumerate() {
        assert_eq!(sent.take().unwrap().unwrap(), 10 + index);
    }
    desk.assert_clean();
}

#[test]
fn a_duplicate_or_stale_completion_touches_nobody() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let first = sending(&mut desk, &socket);
    let (old, _) = desk.take();
    desk.complete(old, 100);
    desk.complete(old, 7);
    desk.run();
    // While it was landed the duplicate could only repeat a result; the slot was freed once.
    assert!(first.take().unwrap().is_ok());
    let second = sending(&mut desk, &socket);
    let (new, _) = desk.take();
    assert_eq!(new.slot(), old.slot(), "the slot is used again");
    assert_ne!(new.generation(), old.generation());
    desk.complete(old, 3);
    desk.run();
    assert!(second.take().is_none(), "the old generation's answer is not its own");
    desk.complete(new, 100);
    desk.run();
    assert_eq!(second.take().unwrap().unwrap(), 100);
    desk.complete(OpId::new(Kind::Plain, 60, 0), 1);
    desk.assert_clean();
}

#[test]
fn stale_answers_give_back_what_they_bring() {
    let mut desk = Desk::new();
    for kind in [Kind::Accept, Kind::Open] {
        let (witness, fd) = Witness::new();
        assert!(!witness.is_closed());
        desk.complete(OpId::new(kind, 3, 9), fd);
        desk.run();
        assert!(witness.is_closed(), "{kind:?}");
    }
    let gone = OpId::new(Kind::Receive, 3, 9);
    desk.deliver(gone, b"nobody waits for this");
    desk.run();
    desk.assert_clean();
}

#[test]
fn a_generation_may_wrap() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let first = sending(&mut desk, &socket);
    let (id, _) = desk.take();
    desk.complete(id, 1);
    desk.run();
    first.take().unwrap().unwrap();
    desk.ring.state.borrow_mut().table.set_generation(id.slot(), u32::MAX);
    for generation in [u32::MAX, 0, 1] {
        let sent = sending(&mut desk, &socket);
        let (id, _) = desk.take();
        assert_eq!(id.generation(), generation);
        desk.complete(id, 5);
        desk.run();
        assert_eq!(sent.take().unwrap().unwrap(), 5);
    }
    desk.assert_clean();
}

#[test]
fn an_opened_file_is_closed_when_nobody_waits_for_it() {
    enum Dropped {
        InFlight,
        Landed,
    }
    for dropped in [Dropped::InFlight, Dropped::Landed] {
        let mut desk = Desk::new();
        let ring = Rc::clone(&desk.ring);
        let folder = Rc::new(Witness::owned().1);
        let opened = desk.start(async move {
            ring.open_beneath(&folder, c"page".into(), OpenRules::default()).await
        });
        let (id, submission) = desk.take();
        assert!(matches!(submission, Submission::OpenAt2 { .. }));
        let (witness, fd) = Witness::new();
        if matches!(dropped, Dropped::InFlight) {
            desk.abandon(opened.task);
            // Too late to cancel: the file is open already.
            assert_eq!(desk.take_cancel(-libc::EALREADY), id);
            desk.complete(id, fd);
            desk.run();
        } else {
            desk.complete(id, fd);
            desk.ring.turn().unwrap();
            desk.abandon(opened.task);
        }
        assert!(witness.is_closed());
        desk.assert_clean();
    }
}

#[test]
fn a_read_keeps_its_file_open_until_the_kernel_is_done_with_it() {
    let mut desk = Desk::new();
    let (witness, file) = Witness::owned();
    let file = Rc::new(crate::ring::OpenFile::local(file));
    let ring = Rc::clone(&desk.ring);
    let buffer = desk.small_buffer();
    let read = desk.start({
        let file = Rc::clone(&file);
        async move { ring.read_into(&file, buffer, vec![0..10, 20..30], 0).await.0 }
    });
    drop(file);
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::ReadVectored { count: 2, .. }));
    desk.abandon(read.task);
    desk.take_cancel(-libc::EALREADY);
    desk.run();
    assert!(!witness.is_closed());
    desk.complete(id, 20);
    desk.run();
    assert!(witness.is_closed());
    desk.assert_clean();
}

#[test]
fn a_read_that_does_not_fit_its_memory_is_refused_and_says_so() {
    let end = SendClass::SMALL_LEN;
    let too_many = [(0, 1); MAX_VECTORS + 1];
    let unfit: [&[(usize, usize)]; 6] = [
        &[],
        &[(0, 0)],
        &[(usize::MAX, 3)],
        &[(end, end + 1)],
        &[(0, 8), (end - 7, end + 1)],
        &too_many,
    ];
    for ranges in unfit {
        let mut desk = Desk::new();
        let file = Rc::new(crate::ring::OpenFile::local(Witness::owned().1));
        let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
        let asked = ranges.iter().map(|(start, end)| *start..*end).collect();
        let read = desk.start(async move { ring.read_into(&file, buffer, asked, 0).await.0 });
        assert!(desk.nothing_submitted(), "{ranges:?}");
        let error = read.take().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{ranges:?}");
        desk.assert_clean();
    }
    let mut desk = Desk::new();
    let (ring, file) =
        (Rc::clone(&desk.ring), Rc::new(crate::ring::OpenFile::local(Witness::owned().1)));
    let full = desk.start(async move { ring.read_pages(&file, Pages::zeroed(8), 8, 0).await.0 });
    assert!(desk.nothing_submitted());
    assert_eq!(full.take().unwrap().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    desk.assert_clean();
}

#[test]
fn a_read_may_fill_its_buffer_to_the_last_byte() {
    let mut desk = Desk::new();
    let (ring, file) =
        (Rc::clone(&desk.ring), Rc::new(crate::ring::OpenFile::local(Witness::owned().1)));
    let buffer = desk.small_buffer();
    let ranges: Vec<_> =
        (SendClass::SMALL_LEN - MAX_VECTORS..SendClass::SMALL_LEN).map(|at| at..at + 1).collect();
    let read = desk.start(async move { ring.read_into(&file, buffer, ranges, 0).await.0 });
    let (id, submission) = desk.take();
    assert!(
        matches!(submission, Submission::ReadVectored { count, .. } if count as usize == MAX_VECTORS)
    );
    desk.complete(id, 8);
    desk.run();
    assert_eq!(read.take().unwrap().unwrap(), 8);
    desk.assert_clean();
}

#[test]
fn a_send_that_does_not_fit_its_buffer_is_refused_and_says_so() {
    let end = SendClass::SMALL_LEN;
    #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
    for range in [0..0, 5..3, 0..end + 1, end..end + 1, end..end] {
        let mut desk = Desk::new();
        let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
        let (buffer, asked) = (desk.small_buffer(), range.clone());
        let sent = desk.start(async move { ring.send(&socket, buffer, asked).await.0 });
        assert!(desk.nothing_submitted(), "{range:?}");
        let error = sent.take().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{range:?}");
        desk.assert_clean();
    }
}

/// A message with a small buffer.
fn message(desk: &Desk) -> Box<Message> {
    let mut message = Message::new();
    *message.buffer() = Some(desk.small_buffer());
    message
}

#[test]
fn parts_that_do_not_fit_a_message_are_not_taken() {
    let mut desk = Desk::new();
    let end = SendClass::SMALL_LEN;
    let shared = Rc::new(Pages::from(&[7; 100][..]));
    let mut message = message(&desk);
    assert!(!message.push_buffered(0..end + 1));
    assert!(!message.push_buffered(end..end + 1));
    #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
    let reversed = 5..3;
    assert!(!message.push_buffered(reversed.clone()));
    assert!(!message.push_shared(Rc::clone(&shared), reversed));
    assert!(!message.push_shared(Rc::clone(&shared), 0..101));
    assert!(!message.push_shared(Rc::clone(&shared), 100..101));
    assert_eq!((message.remaining(), Rc::strong_count(&shared)), (0, 1), "nothing was taken");
    assert!(
        message.push_buffered(end - 1..end) && message.push_shared(Rc::clone(&shared), 99..100)
    );
    for _ in 2..MAX_PARTS {
        assert!(message.push_shared(Rc::clone(&shared), 0..1));
    }
    assert!(!message.push_shared(Rc::clone(&shared), 0..1), "all vectors are taken");
    assert!(!message.push_buffered(0..1));
    assert_eq!(message.remaining(), MAX_PARTS);
    // Without a buffer there is nothing that a part could be a range of.
    let mut empty = Message::new();
    assert!(!empty.push_buffered(0..1) && empty.push_shared(shared, 0..1));
    drop(message);
    desk.assert_clean();
}

#[test]
fn a_message_without_its_bytes_is_refused_and_says_so() {
    let gone: fn(&mut Message) = |message| *message.buffer() = None;
    let spent: fn(&mut Message) = |message| message.advance(8);
    for spoil in [gone, spent] {
        let mut desk = Desk::new();
        let mut message = message(&desk);
        assert!(message.push_buffered(0..8));
        spoil(&mut message);
        let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
        let sent = desk.start(async move { ring.send_message(&socket, message).await.0 });
        assert!(desk.nothing_submitted());
        let error = sent.take().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        desk.assert_clean();
    }
}

/// What is sent of a message: a single stretch of bytes needs no frame.
fn sent(submission: Submission) -> Vec<u8> {
    match submission {
        // SAFETY: the bytes are in the op's slot meanwhile.
        Submission::Send { data, len, .. } => unsafe {
            std::slice::from_raw_parts(data, len as usize).to_vec()
        },
        Submission::SendMessage { header, .. } => gather(header),
        _ => panic!("a message"),
    }
}

/// What a sendmsg(2) would send.
fn gather(header: *const libc::msghdr) -> Vec<u8> {
    // SAFETY: the header, its vectors and what they point to are in the op's slot meanwhile.
    unsafe {
        let vectors = std::slice::from_raw_parts((*header).msg_iov, (*header).msg_iovlen);
        let bytes = vectors
            .iter()
            .map(|vector| std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len));
        bytes.flatten().copied().collect()
    }
}

#[test]
fn a_message_goes_out_whole_however_it_is_cut() {
    for step in [1, 3, 7, 11, 40] {
        let mut desk = Desk::new();
        let socket = Rc::new(Witness::owned().1);
        let mut buffer = desk.small_buffer();
        buffer[..10].copy_from_slice(b"head and t");
        buffer[20..24].copy_from_slice(b"tail");
        let shared = Rc::new(Pages::from(&b"[a body of bytes]"[..]));
        let mut message = Message::new();
        *message.buffer() = Some(buffer);
        assert!(message.push_buffered(0..5) && message.push_buffered(5..10));
        assert!(message.push_shared(Rc::clone(&shared), 1..16));
        assert!(message.push_buffered(20..24));
        let ring = Rc::clone(&desk.ring);
        let task = desk.spawn(async move {
            while message.remaining() > 0 {
                let (sent, back) = ring.send_message(&socket, message).await;
                message = back;
                message.advance(sent.unwrap());
            }
        });
        let mut received = Vec::new();
        while !desk.is_done(task) {
            let (id, submission) = desk.take();
            let mut bytes = sent(submission);
            bytes.truncate(step);
            received.extend_from_slice(&bytes);
            desk.complete(id, bytes.len() as i32);
            desk.run();
        }
        assert_eq!(received, b"head and ta body of bytestail");
        assert_eq!(Rc::strong_count(&shared), 1);
        desk.assert_clean();
    }
}

#[test]
fn a_dropped_message_keeps_every_part_until_the_end() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let shared = Rc::new(Pages::from(&[7; 100][..]));
    let mut message = Message::new();
    *message.buffer() = Some(desk.small_buffer());
    assert!(message.push_buffered(0..8) && message.push_shared(Rc::clone(&shared), 0..100));
    let ring = Rc::clone(&desk.ring);
    let task = desk.start(async move { ring.send_message(&socket, message).await.0 }).task;
    let (id, submission) = desk.take();
    desk.abandon(task);
    desk.take_cancel(-libc::EALREADY);
    desk.run();
    assert_eq!(Rc::strong_count(&shared), 2);
    let Submission::SendMessage { header, .. } = submission else { panic!("a message") };
    assert_eq!(gather(header).len(), 108, "the kernel can still read it");
    desk.complete(id, 108);
    desk.run();
    assert_eq!(Rc::strong_count(&shared), 1);
    desk.assert_clean();
}

#[test]
fn a_record_with_its_type_is_taken_from_the_control_frame() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let ring = Rc::clone(&desk.ring);
    let taken = desk.start(async move { ring.receive_control(&socket, 16).await });
    let (id, submission) = desk.take();
    let Submission::ReceiveMessage { header, .. } = submission else { panic!("a recvmsg") };
    // SAFETY: the frame is in the op's slot; the test plays the kernel that fills it.
    unsafe {
        let vector = *(*header).msg_iov;
        assert_eq!(vector.iov_len, 16);
        vector.iov_base.cast::<[u8; 2]>().write([1, 0]);
        let control = (*header).msg_control.cast::<libc::cmsghdr>();
        (*control).cmsg_len = size_of::<libc::cmsghdr>() + 1;
        (*control).cmsg_level = 282;
        (*control).cmsg_type = 2;
        control.add(1).cast::<u8>().write(21);
        (*header).msg_controllen = (*control).cmsg_len;
    }
    desk.complete(id, 2);
    desk.run();
    let (record_type, bytes) = taken.take().unwrap().unwrap();
    assert_eq!((record_type, &bytes[..]), (Some(21), &[1, 0][..]));
    desk.assert_clean();
}

#[test]
fn two_operations_of_one_task_fly_at_once() {
    let mut desk = Desk::new();
    let socket = Rc::new(Witness::owned().1);
    let ring = Rc::clone(&desk.ring);
    let (one, two) = (desk.small_buffer(), desk.small_buffer());
    let both = desk.start(async move {
        let first = ring.send(&socket, one, 0..1);
        let second = ring.send(&socket, two, 0..2);
        let second = second.await.0.unwrap();
        (first.await.0.unwrap(), second)
    });
    let (first, _) = desk.take();
    let (second, _) = desk.take();
    desk.complete(first, 1);
    desk.run();
    assert!(both.take().is_none());
    desk.complete(second, 2);
    desk.run();
    assert_eq!(both.take(), Some((1, 2)));
    desk.assert_clean();
}
