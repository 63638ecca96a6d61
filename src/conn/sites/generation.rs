//! What a worker serves from one configuration to the next.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{Act, CodedForms, ErrorPage, Rates, Served, SitePlan, Terms};
use crate::{
    config::{Action, Demand, ErrorContent, FieldRules, FilesOptions, Site},
    conn::guard::{Guard, Keeper},
    files::{FileStore, Folder, Stores},
    handshake,
    process::{negotiate::Siblings, routes::Choice},
    respond::Status,
    upstream::{PoolMap, Pools},
};

/// What distinguishes one store from another: routes that agree in it share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StoreKey {
    root: PathBuf,
    follow_links: bool,
    index: String,
    shared_etags: bool,
    codings: Siblings,
}

impl StoreKey {
    fn of(files: &FilesOptions, codings: Siblings) -> Self {
        let FilesOptions { root, follow_links, index, shared_etags, .. } = files;
        let (follow_links, shared_etags) = (*follow_links, *shared_etags);
        Self { root: root.clone(), follow_links, index: index.clone(), shared_etags, codings }
    }
}

/// Everything that routes of one configuration need on this worker.
#[derive(Debug)]
pub(crate) struct Generation {
    plan: Arc<SitePlan>,
    terms: Rc<Terms>,
    pools: PoolMap,
    /// As the router numbers them.
    routes: Vec<Rc<Served>>,
    /// For each site: what paths without a route get.
    bare: Vec<Rc<Served>>,
    /// What unknown hosts get.
    stray: Rc<Served>,
    stores: HashMap<StoreKey, Rc<FileStore>>,
    /// Rates by name, with what clients have used up of them.
    rates: Rates,
    /// Users by name, with what was found right of their credentials under this configuration.
    auths: HashMap<String, Rc<Keeper>>,
    /// A route hands its requests to a responder.
    streams: bool,
}

impl Generation {
    /// Makes a worker's part of a plan. A store whose folder stays is taken over from `before`, with
    /// what it has cached.
    pub(crate) fn new(
        plan: &Arc<SitePlan>,
        stores: &Rc<Stores>,
        pools: &Pools,
        before: Option<&Self>,
    ) -> Self {
        let none = FieldRules::default();
        let terms = Rc::new(plan.terms.clone());
        let mut generation = Self {
            routes: Vec::new(),
            bare: Vec::with_capacity(plan.sites.len()),
            stray: Rc::new(Served::nothing(Status::MisdirectedRequest, &none, &terms)),
            stores: HashMap::new(),
            rates: before.map_or_else(
                || plan.rates_after(&Rates::new()),
                |before| plan.rates_after(&before.rates),
            ),
            auths: plan
                .auths
                .iter()
                .map(|(name, auth)| (name.clone(), Rc::new(Keeper::new(auth))))
                .collect(),
            streams: false,
            pools: pools.prepare(&plan.upstreams),
            terms,
            plan: Arc::clone(plan),
        };
        for site in &plan.sites {
            generation.add(site, stores, before);
        }
        generation
    }

    fn add(&mut self, site: &Site, stores: &Rc<Stores>, before: Option<&Self>) {
        for route in &site.routes {
            let rules = site.headers.then(&route.headers);
            let codings = Siblings::from(route.compression(site));
            let act = match &route.action {
                Action::Files(files) => match self.store(files, codings, stores, before) {
                    Some(store) => {
                        let page = files.spa.as_ref();
                        let spa = page.map(|page| page.as_os_str().as_encoded_bytes().into());
                        Act::Files { store, spa }
                    }
                    // The plan has opened the folder of each route.
                    None => Act::Nothing(Status::InternalServerError),
                },
                Action::Redirect(redirect) => Act::Redirect(redirect.clone()),
                Action::Fixed(fixed) => match Status::from_code(fixed.status) {
                    Some(status) => Act::Fixed(fixed.clone(), status, CodedForms::default()),
                    // The check lets no such status through.
                    None => Act::Nothing(Status::InternalServerError),
                },
                Action::Ready => Act::Ready,
                Action::Proxy { pool } => match self.pools.get(pool.as_str()) {
                    Some(pool) => Act::Proxy(Rc::clone(pool)),
                    // The check of the configuration lets no such route through.
                    None => Act::Missing("a route names a pool that is not there"),
                },
                Action::Service(service) => Act::Service(*service),
            };
            let rate = route.rate.as_ref().and_then(|name| self.rates.get(name)).cloned();
            let auth = route.auth.as_ref().and_then(|name| self.auths.get(name)).cloned();
            let guard = Guard { rate, auth };
            self.streams |= matches!(act, Act::Proxy(_) | Act::Service(_) | Act::Missing(_));
            self.streams |= !guard.is_open();
            let errors = self.errors(&site.errors, &route.errors);
            let served = Served::new(route, act, guard, &rules, &self.terms);
            self.routes.push(Rc::new(served.with_errors(errors).compressed_by(codings)));
        }
        let bare = Served::nothing(Status::NotFound, &site.headers, &self.terms);
        let errors = self.errors(&site.errors, &BTreeMap::new());
        self.bare.push(Rc::new(bare.with_errors(errors)));
    }

    /// The pages of errors of a route, which come before those of its site.
    fn errors(
        &self,
        site: &BTreeMap<u16, ErrorContent>,
        route: &BTreeMap<u16, ErrorContent>,
    ) -> Vec<(u16, Arc<ErrorPage>)> {
        let of_site = site.iter().filter(|(status, _)| !route.contains_key(status));
        let pages = route.iter().chain(of_site).filter_map(|(status, content)| {
            // The plan has read each.
            self.plan.pages.get(content).map(|page| (*status, Arc::clone(page)))
        });
        pages.collect()
    }

    fn store(
        &mut self,
        files: &FilesOptions,
        codings: Siblings,
        stores: &Rc<Stores>,
        before: Option<&Self>,
    ) -> Option<Rc<FileStore>> {
        let key = StoreKey::of(files, codings);
        if let Some(store) = self.stores.get(&key) {
            return Some(Rc::clone(store));
        }
        let kept = before.and_then(|before| before.stores.get(&key)).cloned();
        let store = if let Some(store) = kept {
            store
        } else {
            let folder = self.plan.folder(&files.root)?;
            Rc::new(
                stores
                    .open(folder, files.follow_links, &files.index)
                    .with_etags(files.shared_etags)
                    .with_compression(codings),
            )
        };
        self.stores.insert(key, Rc::clone(&store));
        Some(store)
    }

    /// What a handshake demands of a client's certificate, by its ClientHello.
    pub(in crate::conn) fn demand(&self, hello: &[u8]) -> Demand {
        let chooser = &self.plan.chooser;
        let wanted = chooser.wants_names();
        let name = if wanted { handshake::server_name(hello) } else { None };
        chooser.demand(name.as_deref())
    }

    /// What a request takes for its host, perhaps with a port, and the path of its target, on a connection
    /// whose handshake demanded this of the client's certificate. With another demand than the site's it is
    /// misdirected.
    pub(in crate::conn) fn choose(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
        demand: Demand,
    ) -> Rc<Served> {
        let chosen = match self.plan.chooser.choose(host, path, demand) {
            Choice::Route(route) => self.routes.get(route),
            Choice::NoRoute(site) => self.bare.get(site),
            Choice::UnknownHost => None,
        };
        Rc::clone(chosen.unwrap_or(&self.stray))
    }

    /// The route of files for a host and a path, whatever else answers there.
    #[cfg(feature = "service")]
    pub(in crate::conn) fn choose_files(&self, host: Option<&[u8]>, path: &[u8]) -> Rc<Served> {
        let is_files = |route: usize| {
            self.routes.get(route).is_some_and(|served| matches!(served.act, Act::Files { .. }))
        };
        let chosen = match self.plan.chooser.router().choose_among(host, path, is_files) {
            Choice::Route(route) => self.routes.get(route),
            Choice::NoRoute(site) => self.bare.get(site),
            Choice::UnknownHost => None,
        };
        Rc::clone(chosen.unwrap_or(&self.stray))
    }

    /// Whether there are routes of files.
    #[cfg(feature = "service")]
    pub(in crate::conn) fn has_files(&self) -> bool {
        !self.stores.is_empty()
    }

    /// Its pools.
    pub(crate) fn pools(&self) -> &PoolMap {
        &self.pools
    }

    /// The bounds of what begins now.
    pub(crate) fn terms(&self) -> &Rc<Terms> {
        &self.terms
    }

    /// Whether some requests are answered by responders or pass a guard, which want all fields of a
    /// head.
    pub(in crate::conn) fn streams(&self) -> bool {
        self.streams
    }

    /// Whether a route can open a tunnel.
    pub(in crate::conn) fn tunnels(&self) -> bool {
        self.plan.tunnels
    }

    /// What a request gets whose head is not understood: the fields of the site for all names, if
    /// there is one.
    pub(in crate::conn) fn refusing(&self) -> Rc<Served> {
        let site = self.plan.chooser.router().site(None);
        let bare = site.and_then(|site| self.bare.get(site));
        Rc::clone(bare.unwrap_or(&self.stray))
    }

    /// Another folder stands at a path from here on.
    pub(crate) fn move_folder(&self, path: &Path, folder: &Folder) {
        for (key, store) in &self.stores {
            if key.root == path {
                store.move_to(folder);
            }
        }
    }
}
