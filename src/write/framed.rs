//! Files that are not at hand, as frames of HTTP/2: read into send memory that leaves a gap before
//! each piece, so that nothing is copied behind its head.

use std::{io, ops::Range, os::fd::OwnedFd, rc::Rc};

use super::{
    WriteError,
    room::WORTHWHILE,
    writer::{Seal, Writer},
};
use crate::{
    record::ContentType,
    ring::{MAX_VECTORS, SendBuf, SendClass, Socket},
};

/// Bytes before each piece.
const GAP: usize = 9;

impl Writer {
    /// Reads a piece of a file and sends it in frames of at most `most` bytes, each behind what
    /// `head` makes of its length. Nothing may wait to leave. Returns the bytes of the file, which
    /// may be fewer than asked for; 0 if it has none there.
    ///
    /// # Errors
    /// [`WriteError::File`] if nothing could be read: then nothing was sent. Others as in
    /// [`Writer::flush`].
    pub async fn send_framed(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        range: Range<u64>,
        most: usize,
        head: &mut dyn FnMut(u32) -> [u8; GAP],
    ) -> Result<u64, WriteError> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let buffer = self.buffer(socket, SendClass::Bulk, wanted).await?;
        let places = self.places_of_frames(&buffer, wanted, most);
        let began = self.ring.clock();
        let (read, mut buffer, places) =
            self.ring.read_into(file, buffer, places, range.start).await;
        self.notes.departure.waited_for_file(self.ring.clock() - began);
        let count = match read {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(WriteError::File(error)),
        };
        let mut left = count;
        let mut end = 0;
        for place in places {
            let length = place.len().min(left);
            if length == 0 {
                break;
            }
            left -= length;
            if let Some(gap) = buffer.get_mut(place.start - GAP..place.start) {
                gap.copy_from_slice(&head(length as u32));
            }
            match &mut self.seal {
                Seal::User { sealer, .. } => {
                    let record = buffer.get_mut(end..).unwrap_or_default();
                    let plain = GAP + length;
                    end += sealer.seal_in_place(ContentType::ApplicationData, record, plain)?;
                    self.sizing.sealed(plain);
                }
                Seal::Kernel { .. } => end = place.start + length,
            }
        }
        if end == 0 {
            return Ok(0);
        }
        match &mut self.seal {
            Seal::User { buffer: waiting, used, .. } => {
                (*waiting, *used) = (Some(buffer), end);
                self.flush(socket).await?;
            }
            Seal::Kernel { .. } => self.send_buffer(socket, buffer, end).await?,
        }
        Ok(count as u64)
    }

    /// Where the pieces are to lie in a buffer, a record each.
    fn places_of_frames(
        &mut self,
        buffer: &SendBuf,
        wanted: usize,
        most: usize,
    ) -> Vec<Range<usize>> {
        let (prefix, overhead) = match &self.seal {
            Seal::User { sealer, .. } => (sealer.prefix(), sealer.overhead()),
            Seal::Kernel { .. } => (0, 0),
        };
        let frame = most.min(self.sizing.next(self.ring.now()).saturating_sub(GAP)).max(1);
        let room = buffer.len().min(self.open.max(WORTHWHILE));
        let mut rest = wanted;
        let mut places = Vec::with_capacity(MAX_VECTORS);
        let mut at = 0;
        while rest > 0 && places.len() < MAX_VECTORS {
            let length = frame.min(rest);
            if at + length + GAP + overhead > room {
                break;
            }
            let start = at + prefix + GAP;
            places.push(start..start + length);
            at += length + GAP + overhead;
            rest -= length;
        }
        places
    }
}
