//! A reader over a scripted ring: records cut anywhere, and a caller that looks, waits, drops its
//! wait, consumes and moves aside in any order. All plaintext must arrive, once and in order.

use std::{
    future::Future,
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;

use super::{Filled, ReadError, Reader, decrypt::Decrypt};
use crate::{
    record::{
        AlertDescription, ContentType, KEY_UPDATE, MAX_OVERHEAD, Sealer, Suite, TlsVersion,
        TrafficKeys,
    },
    ring::{
        ReceiveStream, RingConfig, Socket, TaskId,
        sim::{Asked, SimKernel, socket_pair},
    },
};

/// Bytes of a receive buffer: shorter than many records.
const BUFFER: usize = 256;

/// The keys of a generation; both sides count the generations.
fn keys(version: TlsVersion, generation: u8) -> TrafficKeys {
    TrafficKeys::new(Suite::Aes128Gcm, version, &[generation; 16], [2; 12], 0).unwrap()
}

/// What the peer sends in one record.
#[derive(Clone, Debug)]
enum Sent {
    Data(usize),
    Warning,
    KeyUpdate,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (0_usize..2000).prop_map(Sent::Data),
        3 => (0_usize..40).prop_map(Sent::Data),
        1 => Just(Sent::Warning),
        1 => Just(Sent::KeyUpdate),
    ]
}

/// What happens next on the receiving side.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// At most so many bytes arrive, if a receive is in flight.
    Arrives(usize),
    Look,
    /// Waits, and gives up if nothing has come.
    Wait,
    SetAside,
    Consume(usize),
    Turn,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_usize..20).prop_map(Act::Arrives),
        4 => (1_usize..=BUFFER).prop_map(Act::Arrives),
        4 => Just(Act::Look),
        4 => Just(Act::Wait),
        1 => Just(Act::SetAside),
        2 => (1_usize..3000).prop_map(Act::Consume),
        3 => Just(Act::Turn),
    ]
}

struct Bench {
    kernel: SimKernel,
    socket: Socket,
    reader: Reader,
    version: TlsVersion,
    generation: u8,
    /// Sealed, and not yet received.
    wire: Vec<u8>,
    read: Vec<u8>,
    _peer: OwnedFd,
}

impl Bench {
    fn new(version: TlsVersion, handing_over: bool, records: &[Sent]) -> (Self, Vec<u8>) {
        let mut kernel = SimKernel::new(&RingConfig {
            receive_buffers: 16,
            receive_buffer_len: BUFFER as u32,
            ..RingConfig::small()
        })
        .unwrap();
        let ring = Rc::clone(kernel.ring());
        ring.set_current(TaskId::first(0));
        let (ours, peer) = socket_pair().unwrap();
        kernel.name(&ours, 0);
        let socket = Socket::new(&ring, ours);
        let stream = ReceiveStream::single(&ring, &socket);
        // A socket pair takes no keys: the hand-over is prepared, and given up at its boundary.
        let reader = Reader::new(&ring, stream, keys(version, 0), handing_over, None);
        let (wire, plaintext) = seal(version, records);
        let read = Vec::new();
        let bench =
            Self { kernel, socket, reader, version, generation: 0, wire, read, _peer: peer };
        (bench, plaintext)
    }

    fn turn(&mut self) {
        let ring = Rc::clone(self.kernel.ring());
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
        self.kernel.absorb();
        ring.set_current(TaskId::first(0));
        while let Some(at) = self.kernel.find(Asked::Cancel) {
            self.kernel.cancel(at, true);
        }
    }

    /// Takes what a look or a wait has brought.
    fn note(&mut self, filled: Filled) {
        if matches!(filled, Filled::KeyUpdate { .. }) {
            self.generation = self.generation.wrapping_add(1);
            self.reader.rekey(&self.socket, keys(self.version, self.generation)).unwrap();
        }
    }

    /// Waits, and drops the wait if nothing has come.
    fn poll(&mut self) -> Poll<Result<Filled, ReadError>> {
        let mut filled = pin!(self.reader.fill(&self.socket));
        filled.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn wait(&mut self) -> Result<(), ReadError> {
        if let Poll::Ready(filled) = self.poll() {
            self.note(filled?);
        }
        Ok(())
    }

    /// The kernel opens the records, and says that the next one is no application data.
    fn with_control_record() -> Self {
        let (mut bench, _) = Self::new(TlsVersion::Tls13, false, &[]);
        bench.reader.decrypt = Decrypt::Kernel;
        assert!(bench.poll().is_pending());
        bench.turn();
        let at = bench.kernel.find(Asked::Receive(0)).expect("a receive is in flight");
        bench.kernel.end(at, -libc::EIO);
        bench.turn();
        assert!(bench.poll().is_pending(), "the record has not come");
        bench.turn();
        bench
    }

    /// Brings the control record that was asked for.
    fn control(&mut self, content_type: u8, payload: &[u8]) {
        let at = self.kernel.find(Asked::Control(0)).expect("the record is asked for");
        self.kernel.control(at, content_type, payload);
        self.turn();
    }

    fn consume(&mut self, most: usize) {
        let plaintext = self.reader.plaintext();
        let count = most.min(plaintext.len());
        self.read.extend_from_slice(&plaintext[..count]);
        self.reader.consume(count);
    }

    /// Everything else arrives, and is read to its end.
    fn finish(&mut self, len: usize) -> Result<(), ReadError> {
        for _ in 0..10_000 {
            if self.read.len() >= len && self.wire.is_empty() {
                break;
            }
            for act in [Act::Wait, Act::Turn, Act::Arrives(BUFFER), Act::Turn, Act::Consume(3000)] {
                self.act(act)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, act: Act) -> Result<(), ReadError> {
        match act {
            Act::Arrives(most) => {
                let most = most.min(self.wire.len());
                if most > 0
                    && let Some(at) = self.kernel.find(Asked::Receive(0))
                {
                    let count = self.kernel.receive(at, &self.wire[..most], true);
                    self.wire.drain(..count);
                }
            }
            Act::Look => {
                if let Some(filled) = self.reader.fill_at_hand()? {
                    self.note(filled);
                }
            }
            Act::Wait => self.wait()?,
            Act::SetAside => assert!(self.reader.set_aside(), "there is room for all buffers"),
            Act::Consume(most) => self.consume(most),
            Act::Turn => self.turn(),
        }
        Ok(())
    }
}

/// The records, and the plaintext in them.
fn seal(version: TlsVersion, records: &[Sent]) -> (Vec<u8>, Vec<u8>) {
    let (mut wire, mut plaintext, mut generation) = (Vec::new(), Vec::new(), 0_u8);
    let mut sealer = Sealer::new(&keys(version, 0));
    for record in records {
        let mut put = |sealer: &mut Sealer, content_type, content: &[u8]| {
            let mut sealed = vec![0; content.len() + MAX_OVERHEAD];
            let len = sealer.seal(content_type, content, &mut sealed).unwrap();
            wire.extend_from_slice(&sealed[..len]);
        };
        match record {
            Sent::Data(len) => {
                let from = plaintext.len();
                plaintext.extend((from..from + len).map(|at| (at % 251) as u8));
                put(&mut sealer, ContentType::ApplicationData, &plaintext[from..]);
            }
            Sent::Warning => put(&mut sealer, ContentType::Alert, &[1, 90]),
            Sent::KeyUpdate if version == TlsVersion::Tls12 => {}
            Sent::KeyUpdate => {
                put(&mut sealer, ContentType::Handshake, &KEY_UPDATE);
                generation = generation.wrapping_add(1);
                sealer = Sealer::new(&keys(version, generation));
            }
        }
    }
    (wire, plaintext)
}

proptest! {
    #[test]
    fn all_plaintext_arrives_once_and_in_order(
        // Fewer than may come in a row without content.
        records in prop::collection::vec(sent(), 1..16),
        acts in prop::collection::vec(act(), 0..300),
        new_version in any::<bool>(),
        handing_over in any::<bool>(),
    ) {
        let version = if new_version { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
        let (mut bench, plaintext) = Bench::new(version, handing_over, &records);
        for act in acts {
            prop_assert!(bench.act(act).is_ok(), "{act:?}");
            prop_assert!(plaintext.starts_with(&bench.read));
        }
        let end = bench.finish(plaintext.len());
        prop_assert!(end.is_ok(), "{end:?}");
        prop_assert!(bench.read == plaintext, "{} of {}", bench.read.len(), plaintext.len());
    }
}

/// A control record of kernel TLS is taken by an operation of its own. The task that waited for it may
/// have dropped that wait, and may look and move aside meanwhile.
#[test]
fn a_control_record_outlives_the_wait_for_it() {
    for meanwhile in [&[][..], &[Act::Wait, Act::Look], &[Act::SetAside, Act::Wait, Act::Turn]] {
        let mut bench = Bench::with_control_record();
        for act in meanwhile {
            bench.act(*act).unwrap();
        }
        bench.control(ContentType::Handshake as u8, &[24, 0, 0, 1, 1]);
        assert_eq!(bench.reader.fill_at_hand().unwrap(), None, "a look does not take it");
        let filled = bench.poll();
        let requested = Filled::KeyUpdate { requested: true };
        assert!(matches!(filled, Poll::Ready(Ok(filled)) if filled == requested), "{filled:?}");
    }
}

/// RFC 8446 section 5: a record of an unknown type ends the connection.
#[test]
fn a_record_of_an_unknown_type_is_refused() {
    for (content_type, payload) in [(0_u8, &[0_u8; 4][..]), (24, &[1, 2]), (0x80, &[]), (255, &[0])]
    {
        let mut bench = Bench::with_control_record();
        bench.control(content_type, payload);
        let Poll::Ready(Err(error)) = bench.poll() else { panic!("{content_type} is taken") };
        let alert = AlertDescription::UnexpectedMessage;
        assert_eq!(error.alert(), Some(alert), "{content_type}: {error}");
    }
}

/// More is consumed than there is: a defect of the caller, which must not be taken for progress.
#[test]
fn consuming_more_than_there_is_ends_the_connection() {
    let (mut bench, _) = Bench::new(TlsVersion::Tls13, false, &[Sent::Data(100)]);
    for act in [Act::Wait, Act::Turn, Act::Arrives(BUFFER), Act::Turn, Act::Wait] {
        bench.act(act).unwrap();
    }
    assert_eq!(bench.reader.plaintext().len(), 100);
    bench.reader.consume(101);
    assert!(matches!(bench.poll(), Poll::Ready(Err(ReadError::Defect(_)))));
}

/// A record in three pieces: its last one does not come before the caller has looked again.
#[test]
fn looking_again_for_the_rest_of_a_record_is_no_defect() {
    for again in [Act::Look, Act::Wait, Act::SetAside] {
        let (mut bench, plaintext) = Bench::new(TlsVersion::Tls13, false, &[Sent::Data(100)]);
        let acts = [
            [Act::Wait, Act::Turn, Act::Arrives(7), Act::Turn].as_slice(),
            // In flight before the second piece is opened, so that it comes in the next.
            &[Act::Wait, Act::Turn, Act::Arrives(7), Act::Turn, Act::Look],
            &[again, Act::Look, again, Act::Wait, Act::Wait],
        ];
        for act in acts.concat() {
            bench.act(act).unwrap_or_else(|error| panic!("{again:?}, then {act:?}: {error}"));
        }
        bench.finish(plaintext.len()).unwrap();
        assert_eq!(bench.read, plaintext, "{again:?}");
    }
}
