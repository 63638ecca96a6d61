//! What is served: a page for the honest client, and files that are worth an attack.

use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

/// The page that the honest client asks for.
pub(crate) const PAGE: (&str, usize) = ("page.html", 4 << 10);
/// The file whose ranges are abused.
pub(crate) const MIDDLING: (&str, usize) = ("middling.bin", 1 << 20);
/// The file that slow readers ask for.
pub(crate) const LARGE: (&str, usize) = ("large.bin", 64 << 20);

/// A folder, and the certificate it is served with. Gone with this value.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn make() -> io::Result<Self> {
        let site = Self { dir: tempfile::tempdir()? };
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        fs::write(site.cert(), made.cert.pem())?;
        fs::write(site.key(), made.signing_key.serialize_pem())?;
        fs::create_dir(site.root())?;
        for (name, size) in [PAGE, MIDDLING, LARGE] {
            // A pattern that no power of two divides, so that a shifted body shows.
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            fs::write(site.root().join(name), bytes)?;
        }
        Ok(site)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("www")
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// The configuration of a server that passes requests on.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("ringway.toml")
    }

    /// Where the server's log goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}
