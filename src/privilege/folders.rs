//! Where a file that is read again may appear next.
//!
//! Landlock looks at where a file is, behind symbolic links, and its rules are made once. So what
//! a renewal may bring must be allowed before it is there.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// Most links that the kernel follows in one lookup (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The folder that a file is in, as it was named.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folders in which a file may be when it is looked up again: the one that it was named in, the
/// one that it is in, and on the way between them
///
/// - the folder of every link to a file: certbot puts `live/cert.pem` elsewhere in `archive`;
/// - the folder of a link to a neighbouring folder: Kubernetes puts `..data` elsewhere beside it.
///
/// A link to a folder that is no neighbour, such as `/var/run`, brings nothing but where it leads
/// now: what it may lead to next is not known, and what is beside it may be anything.
pub(crate) fn folders_of(path: &Path) -> Vec<PathBuf> {
    if path.as_os_str().is_empty() {
        return Vec::new();
    }
    let mut folders = vec![folder_of(path)];
    let mut add = |folder: &Path| {
        if !folders.iter().any(|other| other == folder) {
            folders.push(folder.to_owned());
        }
    };
    let mut at = if path.is_absolute() { PathBuf::new() } else { here() };
    let mut left: VecDeque<OsString> = components(path).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let place = at.join(&name);
        let Ok(target) = place.read_link() else {
            at = place;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            break;
        }
        let neighbour = target.components().all(|part| matches!(part, Component::Normal(_)));
        if left.is_empty() || neighbour {
            add_unless_root(&at, &mut add);
        }
        for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
            left.push_front(name);
        }
    }
    if let Some(folder) = at.parent() {
        add(folder);
    }
    folders
}

/// The folders in which the successor of a served folder may be: beside where the last link of its
/// path leads, and beside where another leads if that is below the link's own folder. Deploying puts
/// `current`, or `app/current/public`, elsewhere in `releases`. A folder that is named without a link
/// has none: what is beside it may be anything.
pub(crate) fn successors_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut at = if path.is_absolute() { PathBuf::from("/") } else { here() };
    let mut left: VecDeque<OsString> = components(path).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let place = at.join(&name);
        let Ok(target) = place.read_link() else {
            at = place;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            break;
        }
        let beside = place.canonicalize().ok().and_then(|led| led.parent().map(Path::to_owned));
        let near = |beside: &PathBuf| at.parent().is_some() && beside.starts_with(&at);
        if let Some(beside) = beside.filter(|beside| left.is_empty() || near(beside)) {
            add_unless_root(&beside, &mut |folder| folders.push(folder.to_owned()));
        }
        for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
            left.push_front(name);
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
    }
    folders
}

fn here() -> PathBuf {
    // A working folder that is gone leaves relative paths as they are: opening them fails and says so.
    std::env::current_dir().unwrap_or_else(|_| PathBuf::new())
}

/// Its names, `..` and a leading `/` among them.
fn components(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_owned())
}

/// Nobody means everything by a link in the root folder.
fn add_unless_root(folder: &Path, add: &mut impl FnMut(&Path)) {
    if folder.parent().is_some() {
        add(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn place(folders: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        for folder in folders {
            fs::create_dir_all(real.join(folder)).unwrap();
        }
        (place, real)
    }

    #[test]
    fn certbots_archive_is_among_them() {
        let (_place, at) = place(&["live", "archive", "own"]);
        fs::write(at.join("archive/cert1.pem"), b"").unwrap();
        symlink("../archive/cert1.pem", at.join("live/cert.pem")).unwrap();
        let live = [at.join("live"), at.join("archive")];
        assert_eq!(folders_of(&at.join("live/cert.pem")), live);
        // A link to the link.
        symlink(at.join("live/cert.pem"), at.join("own/cert.pem")).unwrap();
        let own = [at.join("own"), at.join("live"), at.join("archive")];
        assert_eq!(folders_of(&at.join("own/cert.pem")), own);
    }

    #[test]
    fn what_kubernetes_puts_beside_is_among_them() {
        let (_place, at) = place(&["..1"]);
        fs::write(at.join("..1/tls.crt"), b"").unwrap();
        symlink("..1", at.join("..data")).unwrap();
        symlink("..data/tls.crt", at.join("tls.crt")).unwrap();
        assert_eq!(folders_of(&at.join("tls.crt")), [at.clone(), at.join("..1")]);
        let inside = [at.join("..data"), at.clone(), at.join("..1")];
        assert_eq!(folders_of(&at.join("..data/tls.crt")), inside);
    }

    #[test]
    fn a_link_to_a_folder_elsewhere_brings_that_folder_alone() {
        let (_place, at) = place(&["store/one", "a"]);
        fs::write(at.join("store/one/cert.pem"), b"").unwrap();
        symlink("../store/one", at.join("a/link")).unwrap();
        let folders = folders_of(&at.join("a/link/cert.pem"));
        assert_eq!(folders, [at.join("a/link"), at.join("store/one")]);
    }

    #[test]
    fn what_is_deployed_next_is_beside_where_the_link_leads() {
        let (_place, at) = place(&["releases/1/public", "app", "www"]);
        symlink("../releases/1", at.join("app/current")).unwrap();
        assert_eq!(successors_of(&at.join("app/current")), [at.join("releases")]);
        // The link is not the last name, and leads elsewhere: nobody knows where to next.
        assert_eq!(successors_of(&at.join("app/current/public")), Vec::<PathBuf>::new());
        symlink(at.join("releases/1"), at.join("current")).unwrap();
        assert_eq!(successors_of(&at.join("current/public")), [at.join("releases")]);
        assert_eq!(successors_of(&at.join("www")), Vec::<PathBuf>::new());
        symlink("loop", at.join("loop")).unwrap();
        assert_eq!(successors_of(&at.join("loop")), Vec::<PathBuf>::new());
    }

    #[test]
    fn odd_paths_end() {
        let (_place, at) = place(&[]);
        symlink("loop", at.join("loop")).unwrap();
        assert!(folders_of(&at.join("loop")).contains(&at));
        assert!(folders_of(&at.join("none/../cert.pem")).contains(&at));
        assert_eq!(folders_of(Path::new("Cargo.toml")), [PathBuf::from("."), here()]);
        assert_eq!(folders_of(Path::new("")), Vec::<PathBuf>::new());
        assert_eq!(folders_of(Path::new("/file")), [PathBuf::from("/")]);
    }
}
