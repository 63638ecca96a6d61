//! Routes: a path, and what requests below it get.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{CacheRule, ErrorContent, FieldRules, Redirect, Site};
use crate::config::{Compression, FieldLine};

/// What requests below a path get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The path. It fits requests for itself and for all below it, by whole segments: `/api` and
    /// `/api/` both fit `/api`, `/api/` and `/api/x`, and neither fits `/apix`.
    pub path: RoutePath,
    /// Whether it fits requests for the path itself alone. Default: no.
    pub exact: bool,
    /// What they get.
    pub action: Action,
    /// The name of the rate that its requests are limited to, of
    /// [`Config::rates`](crate::config::Config::rates). Default: none.
    pub rate: Option<String>,
    /// The name of the users that it is for, of [`Config::auths`](crate::config::Config::auths).
    /// Default: none, and it is for all. Services check their clients themselves.
    pub auth: Option<String>,
    /// The content of errors, by status (400 to 599). A site's hold where a route has none. Default: none.
    pub errors: BTreeMap<u16, ErrorContent>,
    /// What files have in `Cache-Control`, at most 64 rules. Where none fits, the line among `headers`
    /// holds. Default: none.
    pub caching: Vec<CacheRule>,
    /// Content codings that its answers are compressed with. Default: those of the site for files and
    /// fixed answers, none for pools and services, whose answers may hold secrets beside what a client has
    /// sent (BREACH). Redirects and readiness have none.
    pub compress: Option<Compression>,
    /// Changes to the field lines of responses, after those of the site.
    pub headers: FieldRules,
}

impl Route {
    /// A route without further rules.
    pub fn new(path: RoutePath, action: Action) -> Self {
        Self {
            path,
            exact: false,
            action,
            rate: None,
            auth: None,
            errors: BTreeMap::new(),
            caching: Vec::new(),
            compress: None,
            headers: FieldRules::default(),
        }
    }
}

impl Route {
    /// The content codings that its answers are compressed with, as a route of this site.
    pub(crate) fn compression(&self, site: &Site) -> Compression {
        let default = match self.action {
            Action::Files(_) | Action::Fixed(_) => site.compress.unwrap_or(Compression::NONE),
            // The length of a compressed answer shows what of it repeats: an attacker who has a client
            // send guesses learns a secret that stands beside them. The operator knows whether one does.
            Action::Proxy { .. } | Action::Service(_) => Compression::NONE,
            Action::Redirect(_) | Action::Ready => return Compression::NONE,
        };
        let rules = site.headers.then(&self.headers);
        let lines = rules.lines().chain(self.caching.iter().map(|rule| &rule.line));
        if lines.into_iter().any(forbids_transforming) {
            return Compression::NONE;
        }
        self.compress.unwrap_or(default)
    }

    /// Whether its answers have content that can be compressed.
    pub(super) fn is_compressible(&self) -> bool {
        !matches!(self.action, Action::Redirect(_) | Action::Ready)
    }

    /// Whether its answers are compressed by the workers: all but files.
    pub(crate) fn compresses_answers(&self, site: &Site) -> bool {
        let is_page = self.action.files().is_none_or(|files| files.listing);
        is_page && !self.compression(site).is_none()
    }

    /// Bytes of the coded forms that a worker keeps of a fixed answer.
    pub(crate) fn coded_forms(&self, site: &Site) -> usize {
        let Action::Fixed(Fixed { text: Some(text), .. }) = &self.action else { return 0 };
        let Compression { zstd, brotli, gzip } = self.compression(site);
        text.len() * [zstd, brotli, gzip].into_iter().filter(|coding| *coding).count()
    }
}

/// Whether a field line forbids that content is transformed (RFC 9111 section 5.2.2.6).
fn forbids_transforming(line: &FieldLine) -> bool {
    let mut directives = line.value().split(',').map(str::trim);
    line.name().eq_ignore_ascii_case("cache-control")
        && directives.any(|directive| directive.eq_ignore_ascii_case("no-transform"))
}

/// The path of a route, as it is after percent-decoding: segments without `/`, none of them empty,
/// `.` or `..`; at most 64 of them and 1,024 bytes. The default is `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutePath(Vec<String>);

/// The longest path of a route, in bytes.
const MAX_PATH_BYTES: usize = 1_024;

/// The most segments of a route's path.
const MAX_SEGMENTS: usize = 64;

impl RoutePath {
    /// Its segments; none for `/`.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl FromStr for RoutePath {
    type Err = RoutePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let relative = text.strip_prefix('/').ok_or(RoutePathError::NotAbsolute)?;
        if text.len() > MAX_PATH_BYTES {
            return Err(RoutePathError::TooLong);
        }
        if text.contains(['*', '?', '#', '%', '\\', '{', '}']) {
            return Err(RoutePathError::Character);
        }
        if text.chars().any(char::is_control) {
            return Err(RoutePathError::Character);
        }
        if relative.is_empty() {
            return Ok(Self::default());
        }
        let relative = relative.strip_suffix('/').unwrap_or(relative);
        let segments: Vec<String> = relative.split('/').map(str::to_owned).collect();
        if segments.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            return Err(RoutePathError::Segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(RoutePathError::TooLong);
        }
        Ok(Self(segments))
    }
}

/// Why a text is no path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoutePathError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// It is longer than 1,024 bytes, or has more than 64 segments.
    TooLong,
    /// It holds a character that has a meaning elsewhere: `*?#%\{}`, or a control character.
    Character,
    /// A segment is empty, `.` or `..`.
    Segment,
}

impl fmt::Display for RoutePathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "begin the path with a slash, such as /api/",
            Self::TooLong => "a path has at most 1024 bytes and 64 segments",
            Self::Character => {
                "a path holds none of *?#%\\{} and no control character: it fits all that is below \
                 it, and is compared after percent-decoding"
            }
            Self::Segment => "leave out empty segments, . and ..",
        })
    }
}

impl std::error::Error for RoutePathError {}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The files of a folder, which stands at the route's path: of the route `/docs/`,
    /// `/docs/a.html` is `a.html` in the folder.
    Files(FilesOptions),
    /// A redirect.
    Redirect(Redirect),
    /// Always the same answer.
    Fixed(Fixed),
    /// Whether this server wants requests: 200, or 503 once it has to stop.
    Ready,
    /// What a server of this pool answers.
    Proxy {
        /// The pool's name.
        pool: String,
    },
    /// What a service of the embedding program answers.
    Service(ServiceId),
}

impl Action {
    /// The files that it serves, if it does.
    pub(crate) fn files(&self) -> Option<&FilesOptions> {
        match self {
            Self::Files(files) => Some(files),
            Self::Redirect(_)
            | Self::Fixed(_)
            | Self::Ready
            | Self::Proxy { .. }
            | Self::Service(_) => None,
        }
    }
}

/// A service of the embedding program, by the order in which services were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub usize);

/// How a folder is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FilesOptions {
    /// The folder; nothing outside it is reachable.
    pub root: PathBuf,
    /// The file inside the folder that answers every path that names no file, with 200, as
    /// single-page applications want it. Default: none.
    pub spa: Option<PathBuf>,
    /// Whether a folder without an index file is answered with a listing. Default: no.
    pub listing: bool,
    /// Whether symbolic links are followed, those that stay in the folder and lead to nothing
    /// hidden. Default: yes.
    pub follow_links: bool,
    /// The name of the file that answers for its folder. Default: `index.html`.
    pub index: String,
    /// Whether entity tags are made of length and time of modification alone, so that machines with equal
    /// files have equal tags. Default: no, since files of equal length and time may differ.
    pub shared_etags: bool,
}

impl FilesOptions {
    /// The defaults for a folder.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            root: root.as_ref().to_owned(),
            spa: None,
            listing: false,
            follow_links: true,
            index: "index.html".to_owned(),
            shared_etags: false,
        }
    }
}

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fixed {
    /// The status: 200, or one of 4xx and 5xx that Ringway knows. Default: 200.
    pub status: u16,
    /// The content, at most 64 KiB. Default: none; a status of 4xx or 5xx then has its usual page.
    pub text: Option<String>,
    /// The media type of the content. Default: `text/plain; charset=utf-8`.
    pub media_type: String,
}

impl Default for Fixed {
    fn default() -> Self {
        Self { status: 200, text: None, media_type: "text/plain; charset=utf-8".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_segments() {
        for (text, segments) in
            [("/", &[][..]), ("/a", &["a"]), ("/a/", &["a"]), ("/a/B c.d", &["a", "B c.d"])]
        {
            assert_eq!(text.parse::<RoutePath>().unwrap().segments(), segments);
        }
        for (text, error) in [
            ("", RoutePathError::NotAbsolute),
            ("a/", RoutePathError::NotAbsolute),
            ("/*", RoutePathError::Character),
            ("/a%20b", RoutePathError::Character),
            ("/a\n", RoutePathError::Character),
            ("//", RoutePathError::Segment),
            ("/a//b", RoutePathError::Segment),
            ("/a/../b", RoutePathError::Segment),
        ] {
            assert_eq!(text.parse::<RoutePath>(), Err(error), "{text:?}");
        }
    }
}
