//! Reading small files that may hold secrets.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// Longest file with a certificate chain or a private key. Real ones take a few KiB.
pub(super) const MAX_PEM: usize = 64 << 10;

/// Reads a whole file of `limit` bytes at most, with its permission bits; what was read is wiped
/// when it goes.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<(Zeroizing<Vec<u8>>, u32)> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    // All of the room at once: a vector that grows leaves what it held behind.
    let mut content = Zeroizing::new(vec![0; limit + 1]);
    let mut length = 0;
    while let Some(room) = content.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if length > limit {
        let why = format!("the file is longer than {} KiB", limit >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    content.truncate(length);
    Ok((content, mode))
}

/// What to do about a file that cannot be read, to be put behind the error; empty if the error says
/// it all.
pub(super) fn remedy(path: &Path, error: &io::Error) -> &'static str {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return "";
    }
    // Landlock denies the opening of a file, not the question whether its permissions allow it.
    if rustix::fs::access(path, rustix::fs::Access::READ_OK).is_err() {
        return ". Let the user that runs ringway read it";
    }
    ". Its permissions allow that, a security module does not: Landlock leaves to ringway the \
     folders that these files were in when it started. Put it there, or restart ringway"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit_and_refused_beyond() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 100]).unwrap();
        assert_eq!(*read(file.path(), 100).unwrap().0, [7; 100]);
        assert!(read(file.path(), 99).unwrap_err().to_string().contains("longer than"));
        assert!(read(Path::new("/dev/zero"), 4096).is_err(), "an endless file ends the reading");
    }
}
