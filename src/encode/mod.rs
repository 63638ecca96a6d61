//! Content codings (RFC 9110 section 8.4.1): bytes in, coded bytes out. Pure.
//!
//! [`encode()`] compresses a file once, apart from the workers; an [`Encoder`] compresses an answer while it
//! is sent. The invariant of both: what was encoded decodes to what it was. Zstandard keeps to windows of
//! 8 MiB, as RFC 9659 demands.

#![forbid(unsafe_code)]

#[cfg(any(test, feature = "fuzzing"))]
pub mod hold;
mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::{Compression, write::GzEncoder};
use zstd::stream::{raw::CParameter, write::Encoder as ZstdEncoder};

use crate::process::negotiate::Coding;

pub(crate) use stream::{Encoder, LEAST_ROOM, Progress};

/// Bytes up to which Brotli's slowest quality is used. It codes some 0.5 MB a second.
pub(crate) const THOROUGH: usize = 256 << 10;

/// Bytes that Brotli's writer hands over at a time.
const BROTLI_BUFFER: usize = 4096;

/// Base-two logarithm of the window, in bytes.
const WINDOW: u32 = 22;

/// Compresses a content that is sent often, which takes time: Zstandard 19, Brotli 11 (9 for what is
/// longer than [`THOROUGH`]), gzip 9.
///
/// # Errors
/// There is no memory for it, or nothing is to be encoded: [`Coding::Identity`] has no encoder.
pub(crate) fn encode(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    let out = Vec::new();
    match coding {
        Coding::Zstandard => {
            let mut encoder = ZstdEncoder::new(out, 19)?;
            encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
            encoder.set_pledged_src_size(Some(content.len() as u64))?;
            encoder.write_all(content)?;
            encoder.finish()
        }
        Coding::Brotli => {
            let quality = if content.len() <= THOROUGH { 11 } else { 9 };
            let mut encoder = CompressorWriter::new(out, BROTLI_BUFFER, quality, WINDOW);
            encoder.write_all(content)?;
            Ok(encoder.into_inner())
        }
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::best());
            encoder.write_all(content)?;
            encoder.finish()
        }
        Coding::Identity => Err(io::ErrorKind::Unsupported.into()),
    }
}
