//! Sites: which names are served, and what each path of them gets.
//!
//! The invariant: a name, a path and a redirect's target exist only in valid form, so that whatever
//! chooses among them at run time parses nothing and compares bytes.

mod caching;
mod check;
mod errors;
mod name;
mod redirect;
mod route;
mod rules;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

pub use caching::{CachePattern, CachePatternError, CacheRule};
pub use errors::ErrorContent;
pub use name::{SiteName, SiteNameError};
pub use redirect::{Redirect, RedirectPart, RedirectStatus, RedirectTarget, RedirectTargetError};
pub use route::{Action, FilesOptions, Fixed, Route, RoutePath, RoutePathError, ServiceId};
pub use rules::FieldRules;
#[cfg(feature = "cli")]
pub(crate) use rules::STRICT;

use super::{CertificatePair, CertificateSource, Compression, Config, SiteClients};

/// A site: the names that it answers to, and its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The names, at most 1,000. A site without names answers every name that no other site has.
    pub names: Vec<SiteName>,
    /// Certificates with their keys, beside those of [`Config::certificate`]: which one a client gets
    /// goes by the names in the certificates. Default: none.
    pub certificates: Vec<CertificatePair>,
    /// What is demanded of clients' certificates. Default: what the whole server demands.
    pub clients: SiteClients,
    /// Changes to the field lines of every response of the site. Each route changes the result.
    pub headers: FieldRules,
    /// The content of errors, by status (400 to 599). Default: none, and Ringway's own pages.
    pub errors: BTreeMap<u16, ErrorContent>,
    /// Content codings that answers of routes of files and fixed answers are compressed with that do not
    /// say it themselves. Default: none.
    pub compress: Option<Compression>,
    /// The routes, 1 to 1,000; the longest path that fits a request is taken, in whatever order they
    /// stand. A path that fits none is answered with 404.
    pub routes: Vec<Route>,
}

impl Site {
    /// The same site with one route more.
    #[must_use]
    pub fn with_route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// The same site with one name more.
    #[must_use]
    pub fn with_name(mut self, name: SiteName) -> Self {
        self.names.push(name);
        self
    }
}

impl Config {
    /// The sites that a start serves: those of [`Config::sites`], or, if there are none, a single
    /// site for all names that serves [`Config::root`] as [`Config::site`] describes.
    pub fn sites_in_force(&self) -> Cow<'_, [Site]> {
        if !self.sites.is_empty() {
            return Cow::Borrowed(&self.sites);
        }
        let files = FilesOptions {
            root: self.root.clone(),
            spa: self.site.spa.clone(),
            listing: self.site.listing,
            follow_links: self.site.follow_links,
            index: self.site.index.clone(),
            shared_etags: false,
        };
        let headers = FieldRules { add: self.site.headers.clone(), ..FieldRules::default() };
        let route = Route::new(RoutePath::default(), Action::Files(files));
        let compress = Some(self.site.compress);
        Cow::Owned(vec![Site { headers, compress, ..Site::default() }.with_route(route)])
    }

    /// The certificates that a start reads: those of the whole process, then those of the sites, each
    /// of these once. One of Ringway's own is made only if there is no other.
    pub(crate) fn certificate_in_force(&self) -> CertificateSource {
        let mut pairs = self.certificate.pairs().to_vec();
        let mut seen: HashSet<_> = self.certificate.pairs().iter().collect();
        let sites = self.sites.iter().flat_map(|site| &site.certificates);
        pairs.extend(sites.filter(|pair| seen.insert(*pair)).cloned());
        if pairs.is_empty() { self.certificate.clone() } else { CertificateSource::Files(pairs) }
    }

    /// The folders that the routes of all sites serve, each once, in their order.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let sites = self.sites_in_force();
        let mut seen = HashSet::new();
        let routes = sites.iter().flat_map(|site| &site.routes);
        let folders = routes.filter_map(|route| route.action.files()).map(|files| &files.root);
        folders.filter(|folder| seen.insert(*folder)).cloned().collect()
    }

    /// The contents of errors, each once.
    pub(crate) fn error_contents(&self) -> HashSet<&ErrorContent> {
        let mut contents = HashSet::new();
        for site in &self.sites {
            contents.extend(site.errors.values());
            contents.extend(site.routes.iter().flat_map(|route| route.errors.values()));
        }
        contents
    }

    /// Whether any route compresses files.
    pub(crate) fn compresses_files(&self) -> bool {
        let files = |site: &Site, route: &Route| {
            route.action.files().is_some() && !route.compression(site).is_none()
        };
        self.any_route(files)
    }

    /// Whether any route has answers that workers compress.
    pub(crate) fn compresses_answers(&self) -> bool {
        self.any_route(|site, route| route.compresses_answers(site))
    }

    /// Bytes of the coded forms that a worker keeps of fixed answers.
    pub(crate) fn coded_forms(&self) -> usize {
        let sites = self.sites_in_force();
        let of_site = |site: &Site| site.routes.iter().map(|route| route.coded_forms(site)).sum();
        sites.iter().map(of_site).fold(0, usize::saturating_add)
    }

    fn any_route(&self, is: impl Fn(&Site, &Route) -> bool) -> bool {
        let sites = self.sites_in_force();
        sites.iter().any(|site| site.routes.iter().any(|route| is(site, route)))
    }

    /// Whether any route lists folders.
    pub(crate) fn lists_folders(&self) -> bool {
        let sites = self.sites_in_force();
        let mut routes = sites.iter().flat_map(|site| &site.routes);
        routes.any(|route| route.action.files().is_some_and(|files| files.listing))
    }
}
