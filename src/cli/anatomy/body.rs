//! Where a response's body ends (RFC 9112 section 6.3), for a client that counts it and lets it
//! go.

/// How a body is framed, and how far it has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks, up to the last one's trailer.
    Chunked(Chunked),
    /// Whatever comes until the server closes.
    UntilClose,
}

/// The states between the parts of a chunked body (RFC 9112 section 7.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In a size; the digits so far, and whether there was one.
    Size(u64, bool),
    /// In what follows a size on its line.
    SizeLine(u64),
    /// In a chunk's data.
    Data(u64),
    /// Between a chunk's data and the next size.
    DataEnd,
    /// In the trailer; whether its present line is empty so far.
    Trailer(bool),
    /// After the end.
    Done,
}

impl Body {
    /// Takes what arrived. Answers how many bytes of content were in it.
    ///
    /// # Errors
    /// What is wrong with the framing.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<u64, &'static str> {
        let length = bytes.len() as u64;
        match self {
            Self::UntilClose => Ok(length),
            Self::Length(rest) if length <= *rest => {
                *rest -= length;
                Ok(length)
            }
            Self::Length(_) => Err("more bytes than Content-Length says"),
            Self::Chunked(state) => state.take(bytes),
        }
    }

    /// Whether the body is complete; `closed` says that nothing more will come.
    pub(super) fn is_complete(&self, closed: bool) -> bool {
        match self {
            Self::Length(rest) => *rest == 0,
            Self::Chunked(state) => *state == Chunked::Done,
            Self::UntilClose => closed,
        }
    }
}

impl Chunked {
    pub(super) fn begin() -> Self {
        Self::Size(0, false)
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<u64, &'static str> {
        let mut content = 0;
        while let Some((&byte, after)) = bytes.split_first() {
            if let Self::Data(rest) = self {
                let step = (*rest).min(bytes.len() as u64);
                *rest -= step;
                content += step;
                bytes = &bytes[step as usize..];
                if *rest == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            bytes = after;
            *self = self.step(byte)?;
        }
        Ok(content)
    }

    /// The state after one byte outside of a chunk's data.
    fn step(&self, byte: u8) -> Result<Self, &'static str> {
        Ok(match (self, byte) {
            (Self::Size(size, _), byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or("a digit that is none")?;
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
                Self::Size(size.ok_or("a chunk of more than 16 EiB")?, true)
            }
            (Self::Size(_, false), _) => return Err("a chunk without a size"),
            (Self::Size(0, true) | Self::SizeLine(0), b'\n') => Self::Trailer(true),
            (Self::Size(size, true) | Self::SizeLine(size), b'\n') => Self::Data(*size),
            (Self::Size(size, true) | Self::SizeLine(size), _) => Self::SizeLine(*size),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::begin(),
            (Self::DataEnd, _) => return Err("a chunk longer than its size"),
            (Self::Trailer(true), b'\n') => Self::Done,
            (Self::Trailer(_), b'\n') => Self::Trailer(true),
            (Self::Trailer(empty), b'\r') => Self::Trailer(*empty),
            (Self::Trailer(_), _) => Self::Trailer(false),
            (Self::Data(_) | Self::Done, _) => return Err("bytes after the end of the body"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_counted_down() {
        let mut body = Body::Length(5);
        assert_eq!(body.take(b"abc"), Ok(3));
        assert!(!body.is_complete(true));
        assert_eq!(body.take(b"de"), Ok(2));
        assert!(body.is_complete(false));
        assert!(body.take(b"f").is_err());
    }

    #[test]
    fn chunks_in_pieces_of_any_size() {
        let wire = b"4;x=y\r\nwiki\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in 1..=wire.len() {
            let mut body = Body::Chunked(Chunked::begin());
            let content: u64 = wire.chunks(piece).map(|piece| body.take(piece).unwrap()).sum();
            assert_eq!(content, 14, "pieces of {piece}");
            assert!(body.is_complete(false), "pieces of {piece}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for wire in [&b"\r\n"[..], b"zz\r\n", b"1\r\nab", b"fffffffffffffffff\r\n", b"0\r\n\r\nx"] {
            let mut body = Body::Chunked(Chunked::begin());
            assert!(body.take(wire).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn without_framing_the_close_is_the_end() {
        let mut body = Body::UntilClose;
        assert_eq!(body.take(b"abc"), Ok(3));
        assert!(!body.is_complete(false) && body.is_complete(true));
    }
}
