//! What the bodies must be.
//!
//! The invariant: every response of a path has the same length. With a root directory it is the
//! file's, and every byte is compared to the file's; without, it is the first response's. With
//! hashing, every body's SHA-256 is the file's or the first response's.

use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

use crate::plan::Plan;

/// The files of a root directory, read once for all threads.
pub(crate) type Files = Vec<Option<Arc<[u8]>>>;

/// Reads the files that `plan` asks for, if it names their directory.
///
/// # Errors
///
/// If a file cannot be read.
pub(crate) fn load(plan: &Plan) -> io::Result<Files> {
    let Some(root) = &plan.root else { return Ok(vec![None; plan.paths.len()]) };
    let read = |path: &str| {
        let file = root.join(path.trim_start_matches('/'));
        std::fs::read(&file).map(|bytes| Some(bytes.into())).map_err(|error| in_file(&file, &error))
    };
    plan.paths.iter().map(|(path, _)| read(path)).collect()
}

fn in_file(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// One path's body.
#[derive(Debug)]
struct Expected {
    file: Option<Arc<[u8]>>,
    length: Option<u64>,
    hash: Option<Digest>,
}

/// What the bodies of all paths must be.
#[derive(Debug)]
pub(crate) struct Bodies {
    expected: Vec<Expected>,
    hashing: bool,
}

/// A body that is being read.
#[derive(Default)]
pub(crate) struct Reading {
    offset: usize,
    hash: Option<Context>,
}

/// How a body differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    Length,
    Bytes,
}

impl Bodies {
    pub(crate) fn new(files: &Files, hashing: bool) -> Self {
        let expect = |file: &Option<Arc<[u8]>>| Expected {
            length: file.as_ref().map(|file| file.len() as u64),
            hash: file.as_ref().filter(|_| hashing).map(|file| digest(&SHA256, file)),
            file: file.clone(),
        };
        Self { expected: files.iter().map(expect).collect(), hashing }
    }

    /// A body of `length` begins, in answer to `path`.
    pub(crate) fn begin(&mut self, path: u16, length: u64) -> Result<Reading, Difference> {
        let expected = &mut self.expected[usize::from(path)];
        if *expected.length.get_or_insert(length) != length {
            return Err(Difference::Length);
        }
        let hash = self.hashing.then(|| Context::new(&SHA256));
        Ok(Reading { offset: 0, hash })
    }

    /// A piece of it, never more than its length.
    pub(crate) fn piece(
        &self,
        path: u16,
        reading: &mut Reading,
        piece: &[u8],
    ) -> Result<(), Difference> {
        let end = reading.offset + piece.len();
        if let Some(file) = &self.expected[usize::from(path)].file
            && file.get(reading.offset..end) != Some(piece)
        {
            return Err(Difference::Bytes);
        }
        reading.offset = end;
        if let Some(hash) = &mut reading.hash {
            hash.update(piece);
        }
        Ok(())
    }

    /// It is complete.
    pub(crate) fn end(&mut self, path: u16, reading: Reading) -> Result<(), Difference> {
        let Some(hash) = reading.hash.map(Context::finish) else { return Ok(()) };
        let expected = &mut self.expected[usize::from(path)];
        let same = expected.hash.get_or_insert(hash).as_ref() == hash.as_ref();
        if same { Ok(()) } else { Err(Difference::Bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bodies, Difference, Files};

    fn read(bodies: &mut Bodies, body: &[u8]) -> Result<(), Difference> {
        let mut reading = bodies.begin(0, body.len() as u64)?;
        for piece in body.chunks(3) {
            bodies.piece(0, &mut reading, piece)?;
        }
        bodies.end(0, reading)
    }

    #[test]
    fn bytes_are_the_files() {
        let files: Files = vec![Some(b"eight by".as_slice().into())];
        for hashing in [false, true] {
            let mut bodies = Bodies::new(&files, hashing);
            assert_eq!(read(&mut bodies, b"eight by"), Ok(()));
            assert_eq!(read(&mut bodies, b"eight bi"), Err(Difference::Bytes));
            assert_eq!(read(&mut bodies, b"eight b"), Err(Difference::Length));
        }
    }

    #[test]
    fn without_a_file_the_first_response_is_the_measure() {
        let mut bodies = Bodies::new(&vec![None], true);
        assert_eq!(read(&mut bodies, b"first"), Ok(()));
        assert_eq!(read(&mut bodies, b"first"), Ok(()));
        assert_eq!(read(&mut bodies, b"First"), Err(Difference::Bytes));
        assert_eq!(read(&mut bodies, b"firs"), Err(Difference::Length));
        let mut bodies = Bodies::new(&vec![None], false);
        assert_eq!(read(&mut bodies, b"first"), Ok(()));
        assert_eq!(read(&mut bodies, b"First"), Ok(()));
        assert_eq!(read(&mut bodies, b"firsts"), Err(Difference::Length));
    }
}
