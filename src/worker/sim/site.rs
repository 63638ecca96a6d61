//! The folder that is served to simulated clients: the same bytes in every run.

use std::{fs, path::PathBuf, sync::OnceLock, thread, time::Duration};

/// One file of the folder.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) content: Vec<u8>,
}

/// Longer than what two bulk buffers hold, and no multiple of anything.
const LARGE: usize = 300_007;

fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8).collect()
}

/// What stands in the folder.
pub(super) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let file = |name, length, seed| File { name, content: content(length, seed) };
        vec![
            file("index.html", 1000, 1),
            file("small.txt", 300, 2),
            file("page.html", 6000, 3),
            file("page.html.gz", 2000, 4),
            file("large.bin", LARGE, 5),
            file("zero.txt", 0, 6),
            file("folder/index.html", 20_000, 7),
        ]
    })
}

/// The content of a file.
pub(super) fn file(name: &str) -> &'static [u8] {
    files().iter().find(|file| file.name == name).map_or(&[], |file| &file.content)
}

/// The folder, made when first asked for. It is kept from run to run, since what has just been
/// written is treated otherwise (it may still change).
pub(super) fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join("ringway-simulated-site");
        let stands = |folder: &PathBuf| {
            let same = |file: &File| {
                fs::read(folder.join(file.name)).is_ok_and(|found| found == file.content)
            };
            files().iter().all(same)
        };
        if !stands(&folder) {
            let made = folder.with_extension(std::process::id().to_string());
            fs::create_dir_all(made.join("folder")).expect("a folder for temporary files");
            for file in files() {
                fs::write(made.join(file.name), &file.content).expect("room for the site");
            }
            // Another process may have been faster; then its folder is as good.
            if fs::rename(&made, &folder).is_err() {
                let _ = fs::remove_dir_all(&made);
                assert!(stands(&folder), "remove {} and try again", folder.display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        folder
    })
}
