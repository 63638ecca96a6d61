//! What all workers serve: plain data, and the folders, which are opened once for all of them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Terms, choice::Chooser};
use crate::{
    config::{Action, Config, ErrorContent, Redirect, Site},
    conn::guard::{Auth, Rate},
    files::Folder,
    process::media_type,
    upstream,
};

/// Rates by name.
pub(crate) type Rates = BTreeMap<String, Arc<Rate>>;

/// Sites, their router, and their folders.
#[derive(Debug)]
pub(crate) struct SitePlan {
    pub(super) chooser: Chooser,
    pub(super) sites: Vec<Site>,
    pub(super) terms: Terms,
    pub(super) upstreams: Vec<Arc<upstream::Shared>>,
    /// By name, as they were made for this plan.
    rates: Rates,
    /// By name.
    pub(super) auths: HashMap<String, Arc<Auth>>,
    folders: HashMap<PathBuf, Folder>,
    /// Pages of errors, each once.
    pub(super) pages: HashMap<ErrorContent, Arc<ErrorPage>>,
    /// Some route can open a tunnel.
    pub(super) tunnels: bool,
}

impl SitePlan {
    /// Opens the folders of all sites. The configuration has been checked.
    ///
    /// # Errors
    /// The first folder that cannot be opened.
    pub(crate) fn open(config: &Config) -> Result<Self, FolderError> {
        let sites = config.sites_in_force().into_owned();
        let mut folders = HashMap::new();
        for path in config.folders() {
            let folder = Folder::open(&path);
            let folder = folder.map_err(|error| FolderError { path: path.clone(), error })?;
            folders.insert(path, folder);
        }
        let mut pages = HashMap::new();
        for content in config.error_contents() {
            pages.insert(content.clone(), Arc::new(ErrorPage::of(content)?));
        }
        let tunnels = sites.iter().any(|site| tunnels(config, site));
        let terms = Terms::of(config);
        let upstreams = Vec::new();
        let rates = config.rates.iter().map(|(name, rate)| (name.clone(), Rate::new(rate)));
        let rates = rates.collect();
        let mut auths = HashMap::new();
        for (name, options) in &config.auths {
            let auth = Auth::load(options).map_err(|error| FolderError {
                path: options.file.clone().unwrap_or_else(|| name.into()),
                error: io::Error::other(error),
            })?;
            auths.insert(name.clone(), auth);
        }
        Ok(Self {
            chooser: Chooser::new(config, &sites),
            sites,
            terms,
            upstreams,
            rates,
            auths,
            folders,
            pages,
            tunnels,
        })
    }

    /// The rates in force once these were. One that stays as it was keeps what clients have used up of it:
    /// all workers, and reports, take it from the same plan before.
    pub(crate) fn rates_after(&self, before: &Rates) -> Rates {
        let kept = |(name, rate): (&String, &Arc<Rate>)| {
            let same = before.get(name).filter(|old| old.options() == rate.options());
            (name.clone(), Arc::clone(same.unwrap_or(rate)))
        };
        self.rates.iter().map(kept).collect()
    }

    /// Has servers of these pools answer what routes pass on.
    #[must_use]
    pub(crate) fn with_upstreams(mut self, upstreams: Vec<Arc<upstream::Shared>>) -> Self {
        self.upstreams = upstreams;
        self
    }

    /// Has listeners that redirect lead to this port.
    #[must_use]
    pub(crate) fn with_https_port(mut self, port: u16) -> Self {
        self.terms.to_https = Redirect::to_https(port);
        self
    }

    /// The folder at a path, as it was opened.
    pub(crate) fn folder(&self, path: &Path) -> Option<&Folder> {
        self.folders.get(path)
    }

    /// The folders with their paths.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (&Path, &Folder)> {
        self.folders.iter().map(|(path, folder)| (&**path, folder))
    }
}

/// Whether a route of a site can open a tunnel: to a service, or to a pool that lets clients switch.
fn tunnels(config: &Config, site: &Site) -> bool {
    site.routes.iter().any(|route| match &route.action {
        Action::Service(_) => cfg!(feature = "service"),
        Action::Proxy { pool } => {
            config.pools.get(pool).is_some_and(|pool| !pool.upgrade.is_empty())
        }
        Action::Files(_) | Action::Redirect(_) | Action::Fixed(_) | Action::Ready => false,
    })
}

/// The longest page of an error, in bytes, as the check of the configuration has it.
const MAX_PAGE: u64 = 64 << 10;

/// The content of an error.
#[derive(Debug)]
pub(crate) struct ErrorPage {
    pub(in crate::conn) media_type: &'static str,
    pub(in crate::conn) content: Vec<u8>,
}

impl ErrorPage {
    fn of(content: &ErrorContent) -> Result<Self, FolderError> {
        let (media_type, text) = match content {
            ErrorContent::Text(text) => (media_type::TEXT, text),
            ErrorContent::Html(text) => (media_type::HTML, text),
            ErrorContent::File(path) => {
                return Self::read(path).map_err(|error| FolderError { path: path.clone(), error });
            }
        };
        Ok(Self { media_type, content: text.clone().into_bytes() })
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(MAX_PAGE).read_to_end(&mut content)?;
        // Its extension alone counts.
        let name = path.as_os_str().as_encoded_bytes();
        let media_type = media_type::known(name).unwrap_or(media_type::HTML);
        Ok(Self { media_type, content })
    }
}

/// A folder, or the page of an error, that cannot be opened.
#[derive(Debug)]
pub(crate) struct FolderError {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) error: io::Error,
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for FolderError {}
