//! What all servers serve: one certificate, and one directory of files for each workload.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files and their sizes in bytes. The middle ones are those of a small web site.
pub(crate) const FILES: [(&str, usize); 11] = [
    ("1k.bin", 1 << 10),
    ("16k.bin", 16 << 10),
    ("64k.bin", 64 << 10),
    ("1m.bin", 1 << 20),
    ("100m.bin", 100 << 20),
    ("page.html", 14_200),
    ("site.css", 31_700),
    ("site.js", 88_400),
    ("icon.svg", 1_900),
    ("photo.jpg", 146_000),
    ("large.jpg", 612_000),
];

/// How often a visitor asks for the files of the site.
pub(crate) const SITE: &str =
    "/page.html=10,/site.css=4,/site.js=4,/icon.svg=20,/photo.jpg=8,/large.jpg=1";

/// A directory that is gone with this value.
#[derive(Debug)]
pub(crate) struct Material {
    dir: TempDir,
}

impl Material {
    /// Makes certificate and key.
    pub(crate) fn make() -> io::Result<Self> {
        let material = Self { dir: tempfile::tempdir()? };
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        fs::write(material.cert(), made.cert.pem())?;
        fs::write(material.key(), made.signing_key.serialize_pem())?;
        Ok(material)
    }

    /// Fills the directory to be served with `file`, or with the site's files, and nothing else:
    /// some peers keep all that they find in memory.
    pub(crate) fn fill(&self, file: Option<&str>) -> io::Result<()> {
        if self.root().exists() {
            fs::remove_dir_all(self.root())?;
        }
        fs::create_dir(self.root())?;
        for (seed, (name, size)) in FILES.into_iter().enumerate() {
            if file.map_or_else(|| SITE.contains(name), |file| file == name) {
                fs::write(self.root().join(name), noise(seed as u64, size))?;
            }
        }
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.dir().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir().join("key.pem")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir().join("www")
    }
}

/// Bytes without a pattern, so that a body in the wrong place shows (xorshift64*).
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{FILES, Material, SITE, noise};

    #[test]
    fn the_directory_holds_what_is_asked_for_and_nothing_else() {
        let material = Material::make().unwrap();
        material.fill(Some("1k.bin")).unwrap();
        material.fill(None).unwrap();
        let mut names: Vec<_> =
            material.root().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), SITE.split(',').count());
        assert_eq!(names[0], "icon.svg");
        material.fill(Some("16k.bin")).unwrap();
        assert_eq!(material.root().join("16k.bin").metadata().unwrap().len(), 16 << 10);
        assert_eq!(material.root().read_dir().unwrap().count(), 1);
        assert_ne!(noise(1, 100), noise(2, 100));
    }

    #[test]
    fn the_site_is_made_of_files() {
        for entry in SITE.split(',') {
            let name = entry.split('=').next().unwrap().trim_start_matches('/');
            assert!(FILES.iter().any(|(file, _)| *file == name), "{name}");
        }
    }
}
