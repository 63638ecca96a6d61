//! Opening records: where they lie, or once their pieces are together.

use super::{Filled, ReadError, Reader, decrypt::Decrypt, gathered::Gathered, held::Held};
use crate::record::{ContentType, Control, HEADER, RecordError, RecordHeader, parse_control};

/// What the next record was.
enum Opening {
    Data,
    Empty,
    Control(Control),
}

impl Reader {
    /// Opens the records that have arrived until one of them matters. None if no whole one is left.
    /// Most calls of a request find that nothing has arrived.
    #[inline]
    pub(super) fn open_next(&mut self) -> Result<Option<Filled>, ReadError> {
        if self.overdrawn {
            return Err(ReadError::Defect("more plaintext was consumed than had come"));
        }
        if self.partial.is_empty() && !self.holds_records() {
            return Ok(None);
        }
        self.open_records()
    }

    /// Whether bytes are held that may be records for this reader to open.
    #[inline]
    fn holds_records(&self) -> bool {
        self.held.is_some() && !self.is_plain() && !self.is_kernel()
    }

    #[inline(never)]
    fn open_records(&mut self) -> Result<Option<Filled>, ReadError> {
        loop {
            let opening =
                if self.partial.is_empty() { self.open_in_place()? } else { self.open_partial()? };
            match opening {
                None => return Ok(None),
                Some(Opening::Empty) => {}
                Some(Opening::Data) => {
                    self.control_in_a_row = 0;
                    return Ok(Some(Filled::More));
                }
                Some(Opening::Control(control)) => {
                    if let Some(filled) = self.act_on(control)? {
                        return Ok(Some(filled));
                    }
                }
            }
        }
    }

    /// Opens the next record where it lies.
    fn open_in_place(&mut self) -> Result<Option<Opening>, ReadError> {
        let (Decrypt::User(opener) | Decrypt::HandingOver(opener, _)) = &mut self.decrypt else {
            return Ok(None);
        };
        let Some(held) = &mut self.held else { return Ok(None) };
        let bytes = held.sealed()?;
        let header = RecordHeader::parse(bytes)?;
        let Some((header, record)) =
            header.and_then(|header| Some((header, bytes.get_mut(..header.record_length())?)))
        else {
            self.begin_partial(header);
            return Ok(None);
        };
        let began = self.ring.clock();
        let opened = opener.open_parsed(header, record)?;
        self.opening += self.ring.clock().saturating_sub(began);
        let length = record.len();
        let opening = match opened.content_type {
            ContentType::ApplicationData if opened.plaintext.is_empty() => Opening::Empty,
            ContentType::ApplicationData => {
                self.taken.opened += opened.plaintext.len() as u64;
                let joins = !self.gathered.is_empty() || held.has_plaintext();
                self.gather_held();
                let Some(held) = &mut self.held else { return Err(ReadError::BEYOND) };
                held.note_opened(length, &opened.plaintext)?;
                if joins {
                    self.gather_held();
                    self.give_back_if_spent();
                }
                return Ok(Some(Opening::Data));
            }
            other => {
                let payload = record.get(opened.plaintext).ok_or(ReadError::BEYOND)?;
                Opening::Control(parse_control(self.version, other, payload)?)
            }
        };
        held.advance(length);
        self.give_back_if_spent();
        Ok(Some(opening))
    }

    /// Of the next record only the beginning has arrived: the rest is on its way. The lease goes back
    /// meanwhile.
    #[cold]
    fn begin_partial(&mut self, header: Option<RecordHeader>) {
        // No fault: who calls this has seen that it holds bytes to open.
        let Some(Ok(bytes)) = self.held.as_mut().map(Held::sealed) else { return };
        let count = bytes.len();
        if count > 0 {
            self.taken.note_copy(false, count);
            let whole = header.map_or(HEADER, |header| header.record_length());
            self.partial.reserve_exact(whole);
            self.partial.extend_from_slice(bytes);
            if let Some(held) = &mut self.held {
                held.advance(count);
            }
        }
        self.give_back_if_spent();
    }

    /// Completes a record that came in pieces from what has arrived, and opens it.
    fn open_partial(&mut self) -> Result<Option<Opening>, ReadError> {
        loop {
            let missing = missing(&self.partial)?;
            if missing == 0 {
                break;
            }
            let Some(held) = &mut self.held else { return Ok(None) };
            let rest = held.sealed()?;
            let count = missing.min(rest.len());
            if count == 0 {
                self.give_back_if_spent();
                return Ok(None);
            }
            self.taken.note_copy(false, count);
            self.partial.reserve_exact(missing);
            self.partial.extend_from_slice(&rest[..count]);
            held.advance(count);
        }
        let (Decrypt::User(opener) | Decrypt::HandingOver(opener, _)) = &mut self.decrypt else {
            return Err(ReadError::Defect("the kernel opens records of which we have a part"));
        };
        let mut record = std::mem::take(&mut self.partial);
        let began = self.ring.clock();
        let opened = opener.open(&mut record)?;
        self.opening += self.ring.clock().saturating_sub(began);
        let opening = match opened.content_type {
            ContentType::ApplicationData if opened.plaintext.is_empty() => Opening::Empty,
            ContentType::ApplicationData => {
                self.taken.opened += opened.plaintext.len() as u64;
                self.gather_held();
                if self.gathered.is_empty() {
                    // The record's own memory serves as the gathered plaintext.
                    self.gathered = Gathered::of_record(record, opened.plaintext);
                } else {
                    self.gather(record.get(opened.plaintext).ok_or(ReadError::BEYOND)?);
                }
                Opening::Data
            }
            other => {
                let payload = record.get(opened.plaintext).ok_or(ReadError::BEYOND)?;
                Opening::Control(parse_control(self.version, other, payload)?)
            }
        };
        self.give_back_if_spent();
        Ok(Some(opening))
    }

    pub(super) fn act_on(&mut self, control: Control) -> Result<Option<Filled>, ReadError> {
        self.control_in_a_row += 1;
        if self.control_in_a_row > Self::MAX_CONTROL_IN_A_ROW {
            return Err(ReadError::Flood);
        }
        match control {
            Control::CloseNotify => Ok(Some(Filled::Closed)),
            Control::Failed(description) => Err(ReadError::PeerFailed(description)),
            Control::Ignored => Ok(None),
            Control::KeyUpdate { requested } => Ok(Some(Filled::KeyUpdate { requested })),
        }
    }
}

/// Bytes that a record in pieces still lacks of its header or, once that is known, of the whole.
pub(super) fn missing(partial: &[u8]) -> Result<usize, RecordError> {
    let wanted = RecordHeader::parse(partial)?.map_or(HEADER, |header| header.record_length());
    Ok(wanted.saturating_sub(partial.len()))
}
