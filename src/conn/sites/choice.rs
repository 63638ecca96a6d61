//! Which route a request takes, and on which connections it may.
//!
//! The invariant: a site is reached only on connections whose handshake demanded of the client's certificate
//! what the site demands, whatever name the ClientHello had.

use crate::{
    config::{ClientAuth, Config, Demand, Site},
    process::routes::{Choice, Router},
};

/// Chooses routes, and what handshakes demand.
#[derive(Debug)]
pub(super) struct Chooser {
    router: Router,
    /// What each site demands of clients' certificates.
    sites: Vec<Demand>,
    /// The same for each route, as the router numbers them.
    routes: Vec<Demand>,
    /// What is demanded for names that no site has.
    otherwise: Demand,
    /// Not all of them are equal.
    differ: bool,
}

impl Chooser {
    /// For these sites, which are those of the configuration.
    pub(super) fn new(config: &Config, sites: &[Site]) -> Self {
        let demand =
            |clients: Option<&ClientAuth>| clients.map_or(Demand::NONE, ClientAuth::demand);
        let of_sites: Vec<_> = sites.iter().map(|site| demand(config.clients_of(site))).collect();
        let of_routes = sites
            .iter()
            .zip(&of_sites)
            .flat_map(|(site, demand)| site.routes.iter().map(|_| *demand));
        let otherwise = demand(config.client_auth.as_ref());
        Self {
            router: Router::new(sites),
            routes: of_routes.collect(),
            differ: of_sites.iter().any(|one| *one != otherwise),
            sites: of_sites,
            otherwise,
        }
    }

    /// Whether what handshakes demand depends on the names in their ClientHellos.
    pub(super) fn wants_names(&self) -> bool {
        self.differ
    }

    /// What a handshake demands of the client's certificate, by the name in its ClientHello.
    pub(super) fn demand(&self, name: Option<&[u8]>) -> Demand {
        let site = self.router.site(name);
        site.and_then(|site| self.sites.get(site)).copied().unwrap_or(self.otherwise)
    }

    /// What a request takes for its host, perhaps with a port, and the path of its target, on a connection
    /// whose handshake demanded this. With another demand than the site's its host is as good as unknown:
    /// else SNI for an open site and Host for a closed one would lead around its demand.
    pub(super) fn choose(&self, host: Option<&[u8]>, path: &[u8], demand: Demand) -> Choice {
        let choice = self.router.choose(host, path);
        let demanded = match choice {
            Choice::Route(route) => self.routes.get(route),
            Choice::NoRoute(site) => self.sites.get(site),
            Choice::UnknownHost => None,
        };
        if demanded == Some(&demand) { choice } else { Choice::UnknownHost }
    }

    /// The router, for what no handshake matters to.
    pub(super) fn router(&self) -> &Router {
        &self.router
    }
}

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(unreachable_pub, reason = "the fuzzer has it")]
pub mod hold {
    //! What holds for any sites and names; each by a panic.

    use super::Chooser;
    use crate::{
        config::{Action, ClientAuth, Config, Demand, Fixed, Route, Site, SiteClients},
        process::routes::Choice,
    };

    /// Names of few letters, so that sites, SNI and hosts meet.
    const NAMES: [&str; 8] = ["a", "b", "a.b", "b.b", "*.b", "c.a.b", "*.a.b", "[::1]"];

    /// What clients ask for, besides.
    const OTHERS: [&str; 4] = ["", "x.b", "x.a.b", "."];

    /// One byte after the other, zeros at the end.
    struct Bytes<'b>(&'b [u8]);

    impl Bytes<'_> {
        fn below(&mut self, most: usize) -> usize {
            let Some((first, rest)) = self.0.split_first() else { return 0 };
            self.0 = rest;
            usize::from(*first) % most
        }

        fn clients(&mut self) -> Option<ClientAuth> {
            let file = ["", "one.pem", "two.pem"][self.below(3)];
            (!file.is_empty()).then(|| ClientAuth::required(file))
        }

        fn name(&mut self) -> Option<String> {
            let number = self.below(NAMES.len() + OTHERS.len() + 1);
            let name = NAMES.iter().chain(&OTHERS).nth(number)?.replace('*', "Y");
            Some(if self.below(2) == 1 { name.to_ascii_uppercase() } else { name })
        }
    }

    fn demand_of(clients: Option<&ClientAuth>) -> Demand {
        clients.map_or(Demand::NONE, ClientAuth::demand)
    }

    /// The site for a name, by looking through all.
    fn site_of(sites: &[Site], name: Option<&str>) -> Option<usize> {
        let has = |wanted: &str| {
            sites.iter().position(|site| site.names.iter().any(|name| name.as_str() == wanted))
        };
        let of_name = name.and_then(|name| {
            let lower = name.to_ascii_lowercase();
            let bare = lower.strip_suffix('.').unwrap_or(&lower);
            has(bare).or_else(|| match bare.split_once('.') {
                Some((label, above)) if !label.is_empty() => has(&format!("*.{above}")),
                _ => None,
            })
        });
        of_name.or_else(|| sites.iter().position(|site| site.names.is_empty()))
    }

    /// Whatever name the handshake had, a request takes a site whose demand the handshake made, or none.
    pub fn a_site_is_reached_by_its_demand_alone(bytes: &[u8]) {
        let mut bytes = Bytes(bytes);
        let mut config = Config { client_auth: bytes.clients(), ..Config::default() };
        let mut free: Vec<_> = NAMES.to_vec();
        for _ in 0..=bytes.below(4) {
            let mut site = Site::default();
            for _ in 0..bytes.below(4).min(free.len()) {
                let name = free.swap_remove(bytes.below(free.len()));
                site.names.extend(name.parse().ok());
            }
            if site.names.is_empty() && config.sites.iter().any(|site| site.names.is_empty()) {
                continue;
            }
            site.clients = match (bytes.below(3), bytes.clients()) {
                (0, _) => SiteClients::AsServer,
                (1, Some(clients)) => SiteClients::Asked(clients),
                _ => SiteClients::NotAsked,
            };
            let path = if bytes.below(2) == 0 { "/" } else { "/p" };
            let Ok(path) = path.parse() else { return };
            config.sites.push(site.with_route(Route::new(path, Action::Fixed(Fixed::default()))));
        }
        let chooser = Chooser::new(&config, &config.sites);
        let (sni, host) = (bytes.name(), bytes.name());
        let path = if bytes.below(2) == 0 { "/p/q" } else { "/r" };
        let demanded = chooser.demand(sni.as_deref().map(str::as_bytes));
        let clients = |site: usize| demand_of(config.clients_of(&config.sites[site]));
        let otherwise = demand_of(config.client_auth.as_ref());
        let of_sni = site_of(&config.sites, sni.as_deref()).map_or(otherwise, clients);
        assert_eq!(demanded, of_sni, "SNI {sni:?} of {:?}", config.sites);
        assert!(chooser.wants_names() || demanded == otherwise);
        let ending = ["", ".", ":443", ".:1"][bytes.below(4)];
        let sent = host.as_ref().map(|host| format!("{host}{ending}"));
        let chosen = chooser.choose(sent.as_deref().map(str::as_bytes), path.as_bytes(), demanded);
        let bare = host.map(|host| if ending.starts_with('.') { host + "." } else { host });
        let expected = match site_of(&config.sites, bare.as_deref()) {
            Some(site) if clients(site) == demanded => {
                let of_route = &config.sites[site].routes[0].path;
                let fits = of_route.segments().is_empty() || path.starts_with("/p");
                if fits { Choice::Route(site) } else { Choice::NoRoute(site) }
            }
            _ => Choice::UnknownHost,
        };
        assert_eq!(chosen, expected, "SNI {sni:?}, Host {sent:?}, {path} of {:?}", config.sites);
    }
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn a_site_is_reached_by_its_demand_alone(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)
        ) {
            super::hold::a_site_is_reached_by_its_demand_alone(&bytes);
        }
    }
}
