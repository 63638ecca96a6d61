//! Content codings (RFC 9110 section 8.4.1): bytes in, coded bytes out.
//!
//! The invariant: what an [`Encoder`] has put out decodes to what it took in, however that was cut into
//! pieces; after a [`flush`](Encoder::flush), to all of it. No I/O, no thread, no clock: those who call
//! bound the input of a turn. Zstandard keeps to windows of 8 MiB, as RFC 9659 demands.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, Write},
};

use brotli::CompressorWriter;
use flate2::{Compression, write::GzEncoder};
use zstd::stream::{raw::CParameter, write::Encoder as ZstdEncoder};

use crate::process::negotiate::Coding;

/// How much time compressing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For content that is sent once, on a worker: Zstandard 2 with a window of 128 KiB, Brotli 4 with
    /// one of 256 KiB, gzip 4.
    #[cfg_attr(not(test), allow(dead_code))]
    Once,
    /// For content that is sent often, apart from the workers: Zstandard 19, Brotli 11 (9 for what is
    /// longer than [`THOROUGH`]), gzip 9; windows of 4 MiB.
    Often,
}

/// Bytes up to which Brotli's slowest quality is used. It codes some 0.5 MB a second.
pub(crate) const THOROUGH: usize = 256 << 10;

/// Bytes that Brotli's writer hands over at a time.
const BROTLI_BUFFER: usize = 4 << 10;

/// Compresses one content.
#[allow(dead_code, reason = "files are encoded whole; the property test cuts them")]
pub(crate) struct Encoder(Inner);

enum Inner {
    Zstandard(Box<ZstdEncoder<'static, Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

#[allow(dead_code, reason = "files are encoded whole; the property test cuts them")]
impl Encoder {
    /// An encoder for content of `length` bytes, if that is known.
    ///
    /// # Errors
    /// There is no memory for it, or nothing is to be encoded: [`Coding::Identity`] has no encoder.
    pub(crate) fn new(coding: Coding, effort: Effort, length: Option<u64>) -> io::Result<Self> {
        let out = Vec::new();
        let inner = match coding {
            Coding::Zstandard => {
                let (level, window) = if effort == Effort::Once { (2, 17) } else { (19, 22) };
                let mut encoder = ZstdEncoder::new(out, level)?;
                encoder.set_parameter(CParameter::WindowLog(window))?;
                encoder.set_pledged_src_size(length)?;
                Inner::Zstandard(Box::new(encoder))
            }
            Coding::Brotli => {
                let short = length.is_some_and(|length| length <= THOROUGH as u64);
                let (quality, window) = match effort {
                    Effort::Once => (4, 18),
                    Effort::Often if short => (11, 22),
                    Effort::Often => (9, 22),
                };
                Inner::Brotli(Box::new(CompressorWriter::new(out, BROTLI_BUFFER, quality, window)))
            }
            Coding::Gzip => {
                let level = if effort == Effort::Once { 4 } else { 9 };
                Inner::Gzip(Box::new(GzEncoder::new(out, Compression::new(level))))
            }
            Coding::Identity => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self(inner))
    }

    /// Takes bytes in. Some of them may stay inside until [`Self::flush`] or [`Self::finish`].
    ///
    /// # Errors
    /// The encoder failed; its content cannot be continued.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)
    }

    /// Puts out all that was taken in, so that a decoder has it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// Bytes that were put out and not taken.
    pub(crate) fn ready(&self) -> usize {
        match &self.0 {
            Inner::Zstandard(encoder) => encoder.get_ref().len(),
            Inner::Brotli(encoder) => encoder.get_ref().len(),
            Inner::Gzip(encoder) => encoder.get_ref().len(),
        }
    }

    /// Takes what was put out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Inner::Zstandard(encoder) => encoder.get_mut(),
            Inner::Brotli(encoder) => encoder.get_mut(),
            Inner::Gzip(encoder) => encoder.get_mut(),
        })
    }

    /// Ends the content: what was not taken, and its end.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Inner::Zstandard(encoder) => encoder.finish(),
            Inner::Brotli(encoder) => Ok(encoder.into_inner()),
            Inner::Gzip(encoder) => encoder.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Inner::Zstandard(encoder) => &mut **encoder,
            Inner::Brotli(encoder) => &mut **encoder,
            Inner::Gzip(encoder) => &mut **encoder,
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Zstandard(_) => "Encoder(zstd)",
            Inner::Brotli(_) => "Encoder(br)",
            Inner::Gzip(_) => "Encoder(gzip)",
        })
    }
}

/// Compresses all of a content at once.
///
/// # Errors
/// As [`Encoder::new`].
pub(crate) fn whole(coding: Coding, effort: Effort, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(coding, effort, Some(content.len() as u64))?;
    encoder.write(content)?;
    encoder.finish()
}
