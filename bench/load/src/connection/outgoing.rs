//! Bytes out: requests into records, records into the ring's slots.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use ringway_bench_ring::{Ring, Slot};
use ringway_bench_tls::record::{Content, HEADER, MAX_PLAINTEXT, OVERHEAD};

use super::{Asked, Codec, Common, Connection, State, record};
use crate::tally::{Failure, Trouble};

impl Connection {
    /// Whether there is something to write and no write in flight.
    pub(crate) fn wants_write(&self) -> bool {
        let has =
            !self.output.is_empty() || matches!(self.state, State::Open(_)) && self.has_plaintext();
        has && self.writing.is_none() && self.socket.is_some()
    }

    /// Whether an open connection has something to seal.
    fn has_plaintext(&self) -> bool {
        match &self.streams {
            Some(streams) => streams.wants_write(self.owed.len()),
            None => !self.owed.is_empty(),
        }
    }

    /// Whether all that was to be written has been.
    pub(crate) fn is_written(&self) -> bool {
        self.output.is_empty() && self.writing.is_none()
    }

    /// Writes what there is, as much as fits into `slot`: handshake messages first, then all
    /// requests that are owed, in one record.
    pub(crate) fn write(
        &mut self,
        key: u32,
        mut slot: Slot,
        ring: &mut Ring,
        common: &Common,
    ) -> Result<(), Trouble> {
        let mut used = self.output.len().min(slot.len());
        slot[..used].copy_from_slice(&self.output[..used]);
        self.output.drain(..used);
        if self.output.is_empty() && self.has_plaintext() {
            let now = Instant::now();
            let (owed, waiting) = (&mut self.owed, &mut self.waiting);
            let mut fill = |room: &mut [u8]| match (&mut self.streams, &common.blocks) {
                (Some(streams), Some(blocks)) => streams.fill(room, owed, blocks, now),
                _ => fill(room, owed, waiting, &common.requests, now),
            };
            let room = &mut slot[used..];
            match &mut self.state {
                State::Open(Codec::Plain) => {
                    used += fill(room);
                }
                State::Open(Codec::Tls(records)) if room.len() > OVERHEAD => {
                    let end = room.len().min(OVERHEAD + MAX_PLAINTEXT) - (OVERHEAD - HEADER);
                    let plain = &mut room[HEADER..end];
                    let len = fill(plain);
                    if len > 0 {
                        used += records.sealer.seal(room, Content::Data, len).map_err(record)?;
                    }
                }
                _ => {}
            }
        }
        if used > 0 {
            let socket = self.socket.as_ref().expect("a connection that is up").as_fd();
            ring.write(key, socket, slot, 0, used).map_err(closed)?;
            self.writing = Some((0, used));
        }
        Ok(())
    }

    /// A write ended; goes on if it was short.
    pub(crate) fn written(
        &mut self,
        key: u32,
        slot: Slot,
        result: io::Result<usize>,
        ring: &mut Ring,
    ) -> Result<(), Trouble> {
        let (from, to) = self.writing.take().expect("one write in flight");
        let from = from + result.map_err(closed)?;
        if from < to && !matches!(self.state, State::Closing) {
            ring.write(key, self.socket(), slot, from, to).map_err(closed)?;
            self.writing = Some((from, to));
        }
        Ok(())
    }
}

/// Moves as many requests as fit from `owed` to `waiting`, their bytes into `room`.
fn fill(
    room: &mut [u8],
    owed: &mut VecDeque<Asked>,
    waiting: &mut VecDeque<Asked>,
    requests: &[Vec<u8>],
    now: Instant,
) -> usize {
    let mut used = 0;
    while let Some(asked) = owed.front() {
        let request = &requests[usize::from(asked.path)];
        let Some(place) = room.get_mut(used..used + request.len()) else { break };
        place.copy_from_slice(request);
        used += request.len();
        waiting.push_back(Asked { sent: now, ..*asked });
        owed.pop_front();
    }
    used
}

fn closed(error: io::Error) -> Trouble {
    Trouble::new(Failure::Closed, error)
}
