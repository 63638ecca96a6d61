//! When to read a file again: what is known of it without reading, and the decision.
//!
//! Looking at a path once a second works where notifications do not: through symbolic links that
//! are put elsewhere (certbot, Kubernetes), over network file systems, in containers.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long a refused file is left alone, unless it changes. It may become good by itself: a
/// certificate becomes valid, or the descriptors suffice again.
const RETRY: Duration = Duration::from_secs(60);

/// So many looks a change may go on for before it is read all the same.
const PATIENCE: u32 = 5;

/// What distinguishes one version of a file from another, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// There is none, or it cannot be looked at.
    Missing,
    /// It is a pipe or a device: it could be read once only.
    Unrepeatable,
    /// Device, inode, size, and the times of the last change to content and attributes.
    File([i64; 7]),
}

impl Stamp {
    fn of(path: &PathBuf) -> Self {
        match fs::metadata(path) {
            Ok(file) if file.is_file() => Self::File([
                file.dev() as i64,
                file.ino() as i64,
                file.size() as i64,
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            ]),
            Ok(file) if file.is_dir() => Self::Missing,
            Ok(_) => Self::Unrepeatable,
            Err(_) => Self::Missing,
        }
    }
}

/// Some files that belong together.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    /// As they were before they were last read.
    tried: Vec<Stamp>,
    /// As they were at the last look.
    seen: Vec<Stamp>,
    /// Looks since they began to change.
    restless: u32,
    /// Why they were refused, and when.
    refused: Option<(String, Instant)>,
}

impl Watch {
    /// Begins with files that are about to be read for the first time.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let stamps: Vec<Stamp> = files.iter().map(Stamp::of).collect();
        Self { files, tried: stamps.clone(), seen: stamps, restless: 0, refused: None }
    }

    /// Looks at the files: as they are now.
    pub(super) fn look(&self) -> Vec<Stamp> {
        self.files.iter().map(Stamp::of).collect()
    }

    /// Whether to read them: they have changed and then rested from one look to the next, so
    /// that a pair is not read when half of it is written; or it is time to try again.
    pub(super) fn is_due(&mut self, now: Instant, look: &[Stamp]) -> bool {
        if look == self.tried {
            self.restless = 0;
            self.seen.copy_from_slice(look);
            return self.refused.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= RETRY);
        }
        let rests = look == self.seen && self.restless > 0;
        self.seen.copy_from_slice(look);
        self.restless += 1;
        rests || self.restless > PATIENCE
    }

    /// Whether they can be read more than once.
    ///
    /// # Errors
    /// The text says which cannot.
    pub(super) fn check(&self, look: &[Stamp]) -> Result<(), String> {
        let mut looked = self.files.iter().zip(look);
        match looked.find(|(_, stamp)| **stamp == Stamp::Unrepeatable) {
            Some((file, _)) => {
                Err(format!("{}: not a file that can be read again", file.display()))
            }
            None => Ok(()),
        }
    }

    /// Notes that what was read of them cannot be used after all.
    pub(super) fn refuse(&mut self, now: Instant, why: String) {
        self.refused = Some((why, now));
    }

    /// Notes that they were read when they looked so, and what came of it. Answers whether that is
    /// news: the same refusal is logged once.
    pub(super) fn note(
        &mut self,
        now: Instant,
        look: Vec<Stamp>,
        refusal: Option<&String>,
    ) -> bool {
        self.tried = look;
        self.restless = 0;
        let news = self.refused.as_ref().map(|(why, _)| why) != refusal;
        self.refused = refusal.map(|why| (why.clone(), now));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(version: i64) -> Vec<Stamp> {
        vec![Stamp::File([version; 7])]
    }

    fn watch() -> Watch {
        Watch {
            files: vec!["file".into()],
            tried: stamp(0),
            seen: stamp(0),
            restless: 0,
            refused: None,
        }
    }

    #[test]
    fn a_change_is_read_once_it_rests() {
        let (mut watch, now) = (watch(), Instant::now());
        assert!(!watch.is_due(now, &stamp(0)), "nothing has changed");
        assert!(!watch.is_due(now, &stamp(1)), "it has just changed");
        assert!(!watch.is_due(now, &stamp(2)), "and again");
        assert!(watch.is_due(now, &stamp(2)), "now it rests");
        assert!(!watch.note(now, stamp(2), None));
        assert!(!watch.is_due(now, &stamp(2)), "it has been read");
        assert!(!watch.is_due(now, &stamp(3)));
        assert!(!watch.is_due(now, &stamp(2)), "changed back: there is nothing to read");
    }

    #[test]
    fn a_change_that_never_rests_is_read_in_the_end() {
        let (mut watch, now) = (watch(), Instant::now());
        let looks = (1..100).take_while(|version| !watch.is_due(now, &stamp(*version))).count();
        assert_eq!(looks, PATIENCE as usize);
    }

    #[test]
    fn a_refusal_is_news_once_and_is_tried_again_later() {
        let (mut watch, now) = (watch(), Instant::now());
        let why = "no key".to_owned();
        assert!(watch.note(now, stamp(1), Some(&why)));
        assert!(!watch.is_due(now + RETRY / 2, &stamp(1)));
        assert!(watch.is_due(now + RETRY, &stamp(1)));
        assert!(!watch.note(now + RETRY, stamp(1), Some(&why)), "nobody wants to read it again");
        assert!(watch.note(now + RETRY * 2, stamp(1), Some(&"other".to_owned())));
        assert!(watch.note(now + RETRY * 3, stamp(1), None), "that it is well again is news");
        assert!(!watch.is_due(now + RETRY * 9, &stamp(1)));
    }

    #[test]
    fn links_are_followed_and_pipes_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "1").unwrap();
        fs::write(path("two"), "1").unwrap();
        std::os::unix::fs::symlink("one", path("link")).unwrap();
        let watch = Watch::new(vec![path("link")]);
        let before = watch.look();
        assert_eq!(before, watch.look());
        // As certbot and Kubernetes do: a new link is put in the place of the old one.
        std::os::unix::fs::symlink("two", path("new")).unwrap();
        fs::rename(path("new"), path("link")).unwrap();
        assert_ne!(before, watch.look());
        fs::remove_file(path("link")).unwrap();
        assert_eq!(watch.look(), [Stamp::Missing]);
        let device = Watch::new(vec!["/dev/null".into()]);
        assert!(device.check(&device.look()).unwrap_err().contains("/dev/null"));
        assert!(watch.check(&watch.look()).is_ok(), "what is missing says so when it is read");
    }
}
