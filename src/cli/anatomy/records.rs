//! The TLS records (RFC 8446 section 5.1) that pass over a socket, counted from their headers
//! alone: what is inside stays sealed.

use std::io::{self, Read, Write};

/// Bytes of a record's header: type, version, length.
const HEADER: usize = 5;

/// Records and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Records of which at least the header has passed.
    pub(super) records: u64,
    /// Bytes, headers and tags included.
    pub(super) bytes: u64,
}

impl Count {
    /// What has passed since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { records: self.records - earlier.records, bytes: self.bytes - earlier.bytes }
    }
}

/// Finds the records in a stream that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Counter {
    count: Count,
    header: [u8; HEADER],
    /// Bytes of `header` that are there.
    filled: usize,
    /// Bytes of the present record that are still to come.
    rest: usize,
}

impl Counter {
    fn pass(&mut self, mut bytes: &[u8]) {
        self.count.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let step = self.rest.min(bytes.len());
                self.rest -= step;
                bytes = &bytes[step..];
                continue;
            }
            let step = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + step].copy_from_slice(&bytes[..step]);
            self.filled += step;
            bytes = &bytes[step..];
            if self.filled == HEADER {
                self.filled = 0;
                self.count.records += 1;
                self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
            }
        }
    }

    pub(super) fn count(&self) -> Count {
        self.count
    }
}

/// A stream whose records are counted as they pass.
#[derive(Debug)]
pub(super) struct Counted<S> {
    pub(super) stream: S,
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, sent: Counter::default(), received: Counter::default() }
    }
}

/// Again, if a signal came in between.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl<S: Read> Read for Counted<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = uninterrupted(|| self.stream.read(into))?;
        self.received.pass(&into[..length]);
        Ok(length)
    }
}

impl<S: Write> Write for Counted<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = uninterrupted(|| self.stream.write(bytes))?;
        self.sent.pass(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(lengths: &[usize]) -> Vec<u8> {
        let mut stream = Vec::new();
        for &length in lengths {
            stream.extend([23, 3, 3]);
            stream.extend((length as u16).to_be_bytes());
            stream.extend(std::iter::repeat_n(0xa5, length));
        }
        stream
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_make_no_difference(
            lengths in prop::collection::vec(0_usize..600, 0..12),
            piece in 1_usize..700,
        ) {
            let stream = stream(&lengths);
            let mut counter = Counter::default();
            stream.chunks(piece).for_each(|piece| counter.pass(piece));
            let expected = Count { records: lengths.len() as u64, bytes: stream.len() as u64 };
            prop_assert_eq!(counter.count(), expected);
        }
    }

    #[test]
    fn only_what_passed_is_counted() {
        let mut counted = Counted::new(io::Cursor::new(vec![0; 3]));
        // Three bytes of a record fit, its header is not whole.
        let length = io::Read::read(&mut counted, &mut [0; 8]).unwrap();
        assert_eq!(length, 3);
        assert_eq!(counted.received.count(), Count { records: 0, bytes: 3 });
    }
}
