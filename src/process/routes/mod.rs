//! Which route a request takes: its host chooses the site, its path the route.
//!
//! The invariant: the choice costs a hash of the host (two, for a wildcard) and a walk along the
//! path's segments, however many sites there are; with a single site and a single route it costs
//! neither. It compares what a path means, so percent-encoding and repeated slashes lead around no
//! route; the caller refuses paths with `.` and `..` segments ([`super::path::check_sound`]).

mod hosts;
#[cfg(test)]
mod properties;
mod tree;

use crate::config::{Route, Site};
use hosts::Hosts;
pub(crate) use hosts::host_alone;
use tree::Tree;

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The route with this number: all routes of the first site are numbered first, in their order.
    Route(usize),
    /// The site with this number, which has no route for the path.
    NoRoute(usize),
    /// No site has the name, and none is for all others.
    UnknownHost,
}

/// Numbers by path, by the rules of routes: the longest path that fits, by whole segments.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
#[derive(Debug)]
pub(crate) struct Paths(Tree);

#[cfg_attr(not(feature = "service"), allow(dead_code))]
impl Paths {
    /// Numbers for the paths of these routes, from 0.
    pub(crate) fn new(routes: &[Route]) -> Self {
        Self(Tree::new(routes, 0))
    }

    /// The number for the path of a target, as it was sent.
    pub(crate) fn find(&self, path: &[u8]) -> Option<usize> {
        self.0.find(path, |_| true)
    }
}

/// Chooses routes.
#[derive(Debug)]
pub(crate) struct Router {
    hosts: Hosts,
    /// One for each site.
    trees: Vec<Tree>,
}

impl Router {
    /// A router for these sites. Of a name or path that stands twice, the last counts.
    pub(crate) fn new(sites: &[Site]) -> Self {
        let mut first = 0;
        let trees = sites.iter().map(|site| {
            let tree = Tree::new(&site.routes, first);
            first += site.routes.len();
            tree
        });
        Self { trees: trees.collect(), hosts: Hosts::new(sites) }
    }

    /// The route for a host, perhaps with a port, and the path of a target, as both were sent.
    pub(crate) fn choose(&self, host: Option<&[u8]>, path: &[u8]) -> Choice {
        let Some(site) = self.hosts.find(host) else { return Choice::UnknownHost };
        // It stands for the whole server (RFC 9112 section 3.2.4).
        if path == b"*" {
            return Choice::NoRoute(site);
        }
        self.find(site, path, |_| true)
    }

    /// The same among the routes that are `wanted`.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn choose_among(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
        wanted: impl Fn(usize) -> bool,
    ) -> Choice {
        let site = self.hosts.find(host);
        site.map_or(Choice::UnknownHost, |site| self.find(site, path, wanted))
    }

    fn find(&self, site: usize, path: &[u8], wanted: impl Fn(usize) -> bool) -> Choice {
        let route = self.trees.get(site).and_then(|tree| tree.find(path, wanted));
        route.map_or(Choice::NoRoute(site), Choice::Route)
    }

    /// The site for a host.
    pub(crate) fn site(&self, host: Option<&[u8]>) -> Option<usize> {
        self.hosts.find(host)
    }
}
