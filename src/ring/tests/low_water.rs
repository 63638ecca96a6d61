//! The low-water mark of a socket, as the kernel keeps to it on io_uring and over epoll.

use std::{cell::RefCell, io::Write, net::Shutdown, rc::Rc, time::Duration};

use super::{
    Desk, config,
    kernel::{connection, over_both},
};
use crate::ring::{Io, ReceiveStream, Received, Socket, TaskId};

over_both! {
    below_the_mark_nothing_wakes_but_what_ends_the_wait
}

const MARK: usize = 400;
const SENT: usize = 100;

/// What ends a wait for as much as the mark says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Reached,
    Lowered,
    Fin,
    Reset,
}

/// Bytes that came, and whether an end or a failure did.
#[derive(Default)]
struct Log {
    bytes: usize,
    ended: bool,
    failed: bool,
}

fn below_the_mark_nothing_wakes_but_what_ends_the_wait(io: Io) {
    for ends in [Ends::Reached, Ends::Lowered, Ends::Fin, Ends::Reset] {
        let mut desk = Desk::real(io, &config());
        // It is woken for each turn, which then does not wait.
        let busy = desk.spawn(std::future::pending());
        let (socket, mut peer) = connection();
        let socket = Rc::new(Socket::new(&desk.ring, socket));
        let log = Rc::new(RefCell::new(Log::default()));
        let (ring, reads, noted) = (Rc::clone(&desk.ring), Rc::clone(&socket), Rc::clone(&log));
        let task = desk.spawn(async move {
            let mut stream = ReceiveStream::single(&ring, &*reads);
            stream.make_multishot();
            let expected = if ends == Ends::Reached { MARK } else { SENT };
            loop {
                match stream.next().await {
                    Received::Data(lease) => noted.borrow_mut().bytes += lease.len(),
                    Received::End => noted.borrow_mut().ended = true,
                    Received::Failed(_) => noted.borrow_mut().failed = true,
                }
                let log = noted.borrow();
                let ends_itself = matches!(ends, Ends::Fin | Ends::Reset);
                if log.ended || log.failed || !ends_itself && log.bytes == expected {
                    break;
                }
            }
            stream.stop().await;
        });
        let turns = |desk: &mut Desk| {
            for _ in 0..100 {
                desk.poll_ready();
                desk.ring.wake(TaskId::first(busy as u32));
                desk.ring.turn().unwrap();
            }
        };
        turns(&mut desk);
        socket.set_low_water_mark(MARK as u32).unwrap();
        peer.write_all(&[1; SENT]).unwrap();
        turns(&mut desk);
        assert_eq!(log.borrow().bytes, 0, "{ends:?}: what came is below the mark");
        match ends {
            Ends::Reached => peer.write_all(&[1; MARK - SENT]).unwrap(),
            Ends::Lowered => socket.set_low_water_mark(1).unwrap(),
            Ends::Fin => peer.shutdown(Shutdown::Write).unwrap(),
            Ends::Reset => {
                rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
                drop(peer);
            }
        }
        desk.abandon(busy);
        drop(socket);
        desk.finish(&[task]);
        let log = log.borrow();
        match ends {
            Ends::Reached => assert_eq!(log.bytes, MARK),
            Ends::Lowered => assert_eq!(log.bytes, SENT),
            Ends::Fin => assert!(log.ended && log.bytes == SENT),
            Ends::Reset => assert!(log.failed || log.ended),
        }
    }
}
