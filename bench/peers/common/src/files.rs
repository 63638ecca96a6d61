//! The files of a directory, kept in memory: what a server that caches bodies would hold.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use bytes::Bytes;

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub body: Bytes,
    /// When it was last changed, as an HTTP date.
    pub last_modified: String,
    /// A validator made of its time and size.
    pub etag: String,
}

/// Files by request target.
#[derive(Clone, Debug, Default)]
pub struct Files(HashMap<String, File>);

impl Files {
    /// Reads the files directly in `dir`.
    ///
    /// # Errors
    ///
    /// If the directory or a file in it cannot be read.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let mut files = HashMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let metadata = fs::metadata(&path)?;
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let target = format!("/{name}");
            let modified = metadata.modified()?;
            let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let file = File {
                body: fs::read(&path)?.into(),
                last_modified: httpdate::fmt_http_date(modified),
                etag: format!("\"{:x}-{:x}\"", seconds.as_secs(), metadata.len()),
                path,
            };
            files.insert(target, file);
        }
        Ok(Self(files))
    }

    /// The file at a request target.
    pub fn get(&self, target: &str) -> Option<&File> {
        self.0.get(target)
    }
}
