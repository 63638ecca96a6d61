//! Compressing content piece by piece, at levels that a worker can afford.
//!
//! The invariant: what an [`Encoder`] has written decodes to what it has read, however both were cut into
//! pieces; after a complete [`flush`](Encoder::flush), to all of it. It writes into memory of the caller
//! and holds no output besides what did not fit there. No thread and no clock: the caller bounds the
//! input of a turn.

use std::{fmt, io};

use brotli::enc::{
    StandardAlloc,
    encode::{BrotliEncoderOperation, BrotliEncoderStateStruct},
};
use flate2::{Compress, Compression, FlushCompress};
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation, OutBuffer};

use crate::process::negotiate::Coding;

/// The level of Zstandard.
const ZSTD_LEVEL: i32 = 2;

/// Base-two logarithm of the window of Zstandard, in bytes.
const ZSTD_WINDOW: u32 = 17;

/// The quality of Brotli.
const BROTLI_QUALITY: i32 = 4;

/// Base-two logarithm of the window of Brotli, in bytes.
const BROTLI_WINDOW: i32 = 18;

/// The level of gzip.
const GZIP_LEVEL: u32 = 4;

/// Base-two logarithm of the window of gzip, in bytes: the largest that RFC 1951 knows.
const GZIP_WINDOW: u8 = 15;

/// Bytes of output that a step has room for, at least. With six or fewer, each flush of gzip that fills
/// its output would begin the next one (zlib.h, `deflate`).
pub(crate) const LEAST_ROOM: usize = 16;

/// Compresses one content.
pub(crate) struct Encoder(Inner);

enum Inner {
    Zstandard(ZstdEncoder<'static>),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Gzip(Compress),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the input that were read.
    pub(crate) read: usize,
    /// Bytes that were written to the output.
    pub(crate) written: usize,
    /// The step is complete. If not, it goes on with more room.
    pub(crate) complete: bool,
}

/// What an encoder does with what it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Flush,
    Finish,
}

impl Encoder {
    /// An encoder for content of unknown length.
    ///
    /// # Errors
    /// There is no memory for it, or nothing is to be encoded: [`Coding::Identity`] has no encoder.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Zstandard => {
                let mut encoder = ZstdEncoder::new(ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                Inner::Zstandard(encoder)
            }
            Coding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                (state.params.quality, state.params.lgwin) = (BROTLI_QUALITY, BROTLI_WINDOW);
                Inner::Brotli(Box::new(state))
            }
            Coding::Gzip => {
                Inner::Gzip(Compress::new_gzip(Compression::new(GZIP_LEVEL), GZIP_WINDOW))
            }
            Coding::Identity => return Err(io::ErrorKind::Unsupported.into()),
        }))
    }

    /// Reads input. The step is complete once all of it was read; some of it may stay inside until
    /// [`Self::flush`] or [`Self::finish`].
    ///
    /// # Errors
    /// The encoder failed, or the output is shorter than [`LEAST_ROOM`]; the content cannot be continued.
    pub(crate) fn write(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Progress> {
        self.step(input, output, Then::GoOn)
    }

    /// Writes out all that was read, so that a decoder has it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn flush(&mut self, output: &mut [u8]) -> io::Result<Progress> {
        self.step(&[], output, Then::Flush)
    }

    /// Writes out all that was read, and the end of the content.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn finish(&mut self, output: &mut [u8]) -> io::Result<Progress> {
        self.step(&[], output, Then::Finish)
    }

    fn step(&mut self, input: &[u8], output: &mut [u8], then: Then) -> io::Result<Progress> {
        if output.len() < LEAST_ROOM {
            return Err(io::Error::other("an encoder has too little room"));
        }
        match &mut self.0 {
            Inner::Zstandard(encoder) => zstandard(encoder, input, output, then),
            Inner::Brotli(state) => brotli(state, input, output, then),
            Inner::Gzip(state) => gzip(state, input, output, then),
        }
    }
}

fn zstandard(
    encoder: &mut ZstdEncoder<'static>,
    input: &[u8],
    output: &mut [u8],
    then: Then,
) -> io::Result<Progress> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    let inside = match then {
        Then::GoOn => encoder.run(&mut input, &mut output).map(|_| 0),
        Then::Flush => encoder.flush(&mut output),
        Then::Finish => encoder.finish(&mut output, false),
    }?;
    let complete = input.pos() == input.src.len() && inside == 0;
    Ok(Progress { read: input.pos(), written: output.pos(), complete })
}

fn brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    output: &mut [u8],
    then: Then,
) -> io::Result<Progress> {
    let operation = match then {
        Then::GoOn => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut read) = (input.len(), 0);
    let (mut room, mut written) = (output.len(), 0);
    let is_well = state.compress_stream(
        operation,
        &mut left,
        input,
        &mut read,
        &mut room,
        output,
        &mut written,
        &mut None,
        &mut |_, _, _, _| (),
    );
    if !is_well {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let complete = match then {
        Then::GoOn => left == 0,
        Then::Flush => !state.has_more_output(),
        Then::Finish => state.is_finished(),
    };
    Ok(Progress { read, written, complete })
}

fn gzip(state: &mut Compress, input: &[u8], output: &mut [u8], then: Then) -> io::Result<Progress> {
    let flush = match then {
        Then::GoOn => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    let (read, written) = (state.total_in(), state.total_out());
    let status = state.compress(input, output, flush).map_err(io::Error::other)?;
    let read = (state.total_in() - read) as usize;
    let written = (state.total_out() - written) as usize;
    let complete = match then {
        Then::GoOn => read == input.len(),
        // What fills the output may not be all (zlib.h, `deflate`).
        Then::Flush => written < output.len(),
        Then::Finish => status == flate2::Status::StreamEnd,
    };
    Ok(Progress { read, written, complete })
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
