//! A folder to serve.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;

/// A folder that is removed at the end of the test.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// A site with `index.html` and `hello.txt`.
    pub(crate) fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(site.root()).unwrap();
        site.file("index.html", b"<!doctype html><title>home</title>");
        site.file("hello.txt", HELLO);
        site.age("hello.txt");
        site
    }

    /// Dates a file back, so that its date is a validator: within its own second it is none.
    pub(crate) fn age(&self, path: &str) {
        let file = File::options().write(true).open(self.root().join(path)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }

    /// The served folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder around it, which must not be reachable.
    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, and the folders that it needs.
    pub(crate) fn file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file of so many bytes that do not repeat, and returns their SHA-256.
    pub(crate) fn noise(&self, path: &str, bytes: usize) -> Vec<u8> {
        let mut file = BufWriter::new(File::create(self.root().join(path)).unwrap());
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut piece = vec![0; 1 << 20];
        let mut left = bytes;
        let mut state = bytes as u64 + 1;
        while left > 0 {
            for word in piece.chunks_exact_mut(8) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
            }
            let part = &piece[..left.min(piece.len())];
            file.write_all(part).unwrap();
            hash.update(part);
            left -= part.len();
        }
        file.flush().unwrap();
        hash.finish().as_ref().to_vec()
    }
}

/// What `hello.txt` holds.
pub(crate) const HELLO: &[u8] = b"hello, ring road\n";

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
