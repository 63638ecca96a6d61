//! The check of sites and routes: each by itself, and against each other.

use std::{
    collections::{BTreeSet, HashSet},
    path::Component,
};

use super::{Action, FieldRules, FilesOptions, Fixed, caching, errors};
use crate::config::{
    Config, ConfigError, SiteClients,
    check::{Checks, within},
};

/// The most sites.
const MAX_SITES: usize = 100_000;

/// The most names of a site.
const MAX_NAMES: usize = 1_000;

/// The most routes of a site.
const MAX_ROUTES: usize = 1_000;

/// The most field lines that are added to one response.
pub(in crate::config) const MAX_HEADERS: usize = 32;

/// What they may take together, in bytes.
const MAX_HEADERS_BYTES: usize = 4 << 10;

/// The longest text of a fixed answer, and of an error, in bytes.
pub(super) const MAX_FIXED_BYTES: usize = 64 << 10;

impl Config {
    /// Checks sites and routes, and that their folders and files exist.
    pub(in crate::config) fn check_sites(&self, checks: &mut Checks) {
        checks.note(within("site", self.sites.len(), 0, MAX_SITES));
        let sites = self.sites_in_force();
        let mut names = HashSet::new();
        let mut default = None;
        // A folder that several routes serve is looked at once.
        let mut folders: HashSet<FilesOptions> = HashSet::new();
        for (number, site) in sites.iter().enumerate() {
            let place =
                if self.sites.is_empty() { String::new() } else { format!("site.{number}") };
            if let SiteClients::Asked(clients) = &site.clients
                && clients.ca.as_os_str().is_empty()
            {
                let nobody = ConfigError::new(
                    "client-ca",
                    "there is no authority for clients' certificates",
                    "name the file of the authorities by client_ca at the site",
                );
                checks.note_of(&place, Err(nobody));
            }
            checks.note_of(&place, within("names", site.names.len(), 0, MAX_NAMES));
            for name in site.names.iter().filter(|name| !names.insert(*name)) {
                let twice = ConfigError::new(
                    "names",
                    format_args!("{name} is given twice"),
                    "give each name to one site, once",
                );
                checks.note_of(&place, Err(twice));
            }
            if site.names.is_empty() && default.replace(number).is_some() {
                let second = ConfigError::new(
                    "names",
                    "a second site has no names",
                    "leave out the names of one site at most, which then answers all other names",
                );
                checks.note_of(&place, Err(second));
            }
            checks.note_of(&place, errors::check(&site.errors));
            checks.note_of(&place, within("route", site.routes.len(), 1, MAX_ROUTES));
            let mut paths = BTreeSet::new();
            for (number, route) in site.routes.iter().enumerate() {
                let place = if place.is_empty() {
                    String::new()
                } else {
                    format!("{place}.route.{number}")
                };
                if !paths.insert((&route.path, route.exact)) {
                    let twice = ConfigError::new(
                        "path",
                        format_args!("{} is the path of two routes", route.path),
                        "give each path of a site once, a slash at its end or none",
                    );
                    checks.note_of(&place, Err(twice));
                }
                checks.note_of(&place, check_rules(&site.headers.then(&route.headers)));
                checks.note_of(&place, errors::check(&route.errors));
                let serves_files = route.action.files().is_some();
                checks.note_of(&place, caching::check(&route.caching, serves_files));
                checks.note_of(&place, self.check_action(&route.action, &mut folders));
                let compresses = route.compress.is_some_and(|codings| !codings.is_none());
                if compresses && !route.is_compressible() {
                    let problem = "redirects and readiness are not compressed";
                    let error = ConfigError::new("compress", problem, "leave it out");
                    checks.note_of(&place, Err(error));
                }
                if let Some(auth) = &route.auth {
                    let known = self.auths.keys().map(String::as_str);
                    checks.note_of(&place, named("auth", auth, known));
                    if matches!(route.action, Action::Service(_)) {
                        let problem = "a service checks its clients itself";
                        let error = ConfigError::new("auth", problem, "leave it out");
                        checks.note_of(&place, Err(error));
                    }
                }
                if let Some(rate) = &route.rate {
                    let known = self.rates.keys().map(String::as_str);
                    checks.note_of(&place, named("rate", rate, known));
                }
            }
        }
    }

    fn check_action(
        &self,
        action: &Action,
        folders: &mut HashSet<FilesOptions>,
    ) -> Result<(), ConfigError> {
        match action {
            Action::Files(files) if folders.contains(files) => Ok(()),
            Action::Files(files) => {
                folders.insert(files.clone());
                files.check()
            }
            Action::Fixed(fixed) => fixed.check(),
            Action::Proxy { pool } if !self.pools.contains_key(pool) => {
                let known: Vec<_> = self.pools.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(ConfigError::new(
                    "proxy",
                    format_args!("no pool is called {pool:?}"),
                    format_args!("define it by [pool.{pool}] with servers; known: {known}"),
                ))
            }
            Action::Ready | Action::Proxy { .. } | Action::Redirect(_) | Action::Service(_) => {
                Ok(())
            }
        }
    }
}

/// Checks that a name which a route refers to is defined.
fn named<'n>(
    key: &'static str,
    name: &str,
    mut known: impl Iterator<Item = &'n str> + Clone,
) -> Result<(), ConfigError> {
    if known.clone().any(|known| known == name) {
        return Ok(());
    }
    let first = known.next().unwrap_or("none").to_owned();
    let known = known.fold(first, |all, name| all + ", " + name);
    Err(ConfigError::new(
        key,
        format_args!("no {key} is called {name:?}"),
        format_args!("define it by [{key}.{name}]; known: {known}"),
    ))
}

/// Checks the field lines that come on one response.
fn check_rules(rules: &FieldRules) -> Result<(), ConfigError> {
    within("header", rules.lines().count(), 0, MAX_HEADERS)?;
    within("header", rules.remove.len(), 0, MAX_HEADERS)?;
    let bytes: usize = rules.lines().map(crate::config::FieldLine::wire_bytes).sum();
    if bytes > MAX_HEADERS_BYTES {
        return Err(ConfigError::new(
            "header",
            format_args!("the field lines take {bytes} bytes"),
            format_args!("keep them within {MAX_HEADERS_BYTES} together"),
        ));
    }
    Ok(())
}

impl FilesOptions {
    fn check(&self) -> Result<(), ConfigError> {
        let root = &self.root;
        crate::config::check::check_root(root)?;
        if let Some(spa) = &self.spa {
            let plain = spa.components().all(|part| matches!(part, Component::Normal(_)));
            if spa.as_os_str().is_empty() || !plain {
                return Err(ConfigError::new(
                    "spa",
                    format_args!("{} is not a path inside the folder", spa.display()),
                    "name a file relative to the folder, such as index.html",
                ));
            }
            if !root.join(spa).is_file() {
                return Err(ConfigError::new(
                    "spa",
                    format_args!("there is no file {} in {}", spa.display(), root.display()),
                    "name one that exists",
                ));
            }
        }
        if self.index.is_empty() || self.index.starts_with('.') || self.index.contains(['/', '\0'])
        {
            return Err(ConfigError::new(
                "index",
                format_args!("{:?} is not a visible file's name", self.index),
                "name a file without slashes, such as index.html",
            ));
        }
        Ok(())
    }
}

impl Fixed {
    fn check(&self) -> Result<(), ConfigError> {
        let known = self.status == 200 || (400..=599).contains(&self.status);
        if !known {
            return Err(ConfigError::new(
                "status",
                format_args!("{} is not the status of a fixed answer", self.status),
                "give 200, or a status of 400 to 599; for 301 to 308 write `redirect`",
            ));
        }
        let bytes = self.text.as_ref().map_or(0, String::len);
        within("text", bytes, 0, MAX_FIXED_BYTES)?;
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let media_type = &self.media_type;
        if media_type.len() > 128 || !media_type.contains('/') || !media_type.bytes().all(visible) {
            return Err(ConfigError::new(
                "type",
                format_args!("{media_type:?} is no media type"),
                "write it as in text/html; charset=utf-8",
            ));
        }
        Ok(())
    }
}
