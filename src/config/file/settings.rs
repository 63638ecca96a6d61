//! The settings of the whole process, and what they are gathered in.

use std::{fmt::Display, path::PathBuf};

use super::{
    declared::{limits, log, observe, process, process_wide, shared_headers, timeouts, tls},
    keys::{Key, Kind, Row, rows, within},
    peers, pools,
    reader::Reader,
    sites,
    tree::{Item, Value},
};
use crate::config::{
    CertificatePair, CertificateSource, ClientAuth, ClientAuthMode, Config, ConfigError,
    FilesOptions,
};

/// Settings as they are gathered, from options or from a file.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) config: Config,
    /// Whether addresses were given, which replace the usual ones.
    pub(super) listens: bool,
    pub(super) certs: Vec<PathBuf>,
    pub(super) keys: Vec<PathBuf>,
    pub(super) clients: Clients,
    /// The folder of `serve DIR`, and how it is presented.
    pub(crate) files: FilesOptions,
}

/// What clients' certificates are checked by.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) ca: Option<PathBuf>,
    pub(super) mode: Option<ClientAuthMode>,
}

impl Clients {
    /// # Errors
    /// There is a mode and no authority.
    pub(super) fn finish(&self) -> Result<Option<ClientAuth>, &'static str> {
        match (&self.ca, self.mode) {
            (Some(ca), mode) => Ok(Some(ClientAuth {
                ca: ca.clone(),
                mode: mode.unwrap_or_else(ClientAuthMode::default),
            })),
            (None, Some(_)) => Err("client_auth needs client_ca, the file of the authorities"),
            (None, None) => Ok(None),
        }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            config: Config::default(),
            listens: false,
            certs: Vec::new(),
            keys: Vec::new(),
            clients: Clients::default(),
            files: FilesOptions::new("."),
        }
    }
}

impl Draft {
    /// The configuration of options.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub(crate) fn finish(self) -> Result<Config, ConfigError> {
        let Self { mut config, certs, keys, clients, files, .. } = self;
        config.certificate = CertificateSource::paired(&certs, &keys)?;
        config.client_auth = clients
            .finish()
            .map_err(|advice| ConfigError::new("client-auth", "there is no authority", advice))?;
        let FilesOptions { root, spa, listing, follow_links, index, .. } = files;
        config.root = root;
        config.site.spa = spa;
        (config.site.listing, config.site.follow_links) = (listing, follow_links);
        config.site.index = index;
        Ok(config)
    }

    /// The configuration of a file. What does not fit together is noted.
    pub(super) fn finish_file(self, reader: &mut Reader) -> Config {
        let Self { mut config, certs, keys, clients, .. } = self;
        match CertificateSource::paired(&certs, &keys) {
            Ok(certificate) => config.certificate = certificate,
            Err(error) => reader.of_check(&error),
        }
        match clients.finish() {
            Ok(clients) => config.client_auth = clients,
            Err(advice) => reader.of_check(&ConfigError::new(
                "client-auth",
                "there is no authority for clients' certificates",
                advice,
            )),
        }
        if config.sites.is_empty() && reader.faults.is_empty() {
            reader.fault(
                &(0..0),
                "there is no site",
                "add [[site]], and [[site.route]] with path = \"/\" and files = \"/srv/www\"",
            );
        }
        config
    }
}

/// Puts a value that could be read into its place.
pub(super) fn put<T, E: Display>(place: &mut T, value: Result<T, E>) -> Result<(), String> {
    *place = value.map_err(|error| error.to_string())?;
    Ok(())
}

/// Adds a value that could be read.
pub(super) fn push<T, E: Display>(list: &mut Vec<T>, value: Result<T, E>) -> Result<(), String> {
    list.push(value.map_err(|error| error.to_string())?);
    Ok(())
}

/// A whole number.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "give a whole number".to_owned())
}

pub(super) fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "give true or false".to_owned())
}

/// One of some words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// Settings that options and the file have in common.
pub(crate) struct Section {
    /// The table in the file; empty for its top level.
    pub(crate) table: &'static str,
    /// In the help.
    pub(crate) heading: &'static str,
    pub(crate) keys: Vec<Key<Draft>>,
}

/// All settings that options can set, in the order of the help. Those of `site.route` stand in the
/// file at each route.
pub(crate) fn sections() -> Vec<Section> {
    let section = |table, heading, keys| Section { table, heading, keys };
    let mut route = within(sites::files(), |draft: &mut Draft| &mut draft.files);
    route.extend(within(sites::compress(), |draft: &mut Draft| &mut draft.config.site.compress));
    vec![
        section("", "Options", process_wide()),
        section("tls", "TLS", tls()),
        section("site.route", "Site", route),
        section("site", "Site", shared_headers()),
        section("log", "Log", within(log(), |draft: &mut Draft| &mut draft.config)),
        section("observe", "Observation", within(observe(), |draft: &mut Draft| &mut draft.config)),
        section("process", "Privileges", within(process(), |draft: &mut Draft| &mut draft.config)),
        section("limits", "Limits", within(limits(), |draft: &mut Draft| &mut draft.config.limits)),
        section(
            "timeouts",
            "Timeouts",
            within(timeouts(), |draft: &mut Draft| &mut draft.config.timeouts),
        ),
    ]
}

/// The key in the file for an option's name, with its table.
pub(super) fn key_of(option: &str) -> String {
    match option {
        "folder" => return "files".to_owned(),
        "header" => return "headers".to_owned(),
        // All others have their keys in a table.
        _ => {}
    }
    for section in sections() {
        let mut rows = section.keys.iter().map(|key| key.row);
        // What only the file has is called by its key.
        let name = |row: &Row| row.option.unwrap_or(row.key);
        if let Some(row) = rows.find(|row| name(row) == option) {
            let of_site = section.table.starts_with("site");
            let table = if of_site { "" } else { section.table };
            let dot = if table.is_empty() { "" } else { "." };
            return format!("{table}{dot}{}", row.key);
        }
    }
    option.to_owned()
}

/// The table that a key belongs to which stands elsewhere.
pub(super) fn section_of(key: &str) -> Option<String> {
    let written = key.replace('-', "_");
    for section in sections() {
        let fits = |row: &&Row| {
            row.key == written
                || row.option.is_some_and(|option| option.replace('-', "_") == written)
        };
        let rows = rows(&section.keys);
        if let Some(row) = rows.iter().find(fits) {
            let key = row.key;
            return Some(match section.table {
                "" => format!("the top of the file, before any table, as {key}"),
                "site.route" => format!("a route, [[site.route]], as {key}"),
                "site" => "a site or a route, as headers".to_owned(),
                table => format!("the table [{table}], as {key}"),
            });
        }
    }
    let fits = |rows: Vec<Row>| rows.iter().any(|row| row.key == written);
    if fits(sites::site_rows()) {
        return Some("a site, [[site]]".to_owned());
    }
    if fits(sites::route_rows()) {
        return Some("a route, [[site.route]]".to_owned());
    }
    if fits(rows(&peers::proxy_protocol())) {
        return Some("a balancer's setting, [[proxy_protocol]]".to_owned());
    }
    if fits(rows(&peers::rate())) {
        return Some("a rate, [rate.NAME]".to_owned());
    }
    fits(rows(&pools::pool())).then(|| "a pool, [pool.NAME]".to_owned())
}

/// The top of the file: settings of the process, and the tables.
pub(super) fn top() -> Vec<Key<Draft>> {
    let mut keys = process_wide();
    keys.extend([
        Key::item("tls", Kind::Table("tls"), "TLS", |draft, item, reader, place| {
            inner(item, reader, place, "[tls]", &tls(), draft);
        }),
        Key::item("log", Kind::Table("log"), "Logs", |draft: &mut Draft, item, reader, place| {
            inner(item, reader, place, "[log]", &log(), &mut draft.config);
        }),
        Key::item(
            "observe",
            Kind::Table("observe"),
            "What is reported, and to whom",
            |draft: &mut Draft, item, reader, place| {
                inner(item, reader, place, "[observe]", &observe(), &mut draft.config);
            },
        ),
        Key::item(
            "process",
            Kind::Table("process"),
            "What the process gives up",
            |draft: &mut Draft, item, reader, place| {
                inner(item, reader, place, "[process]", &process(), &mut draft.config);
            },
        ),
        Key::item(
            "limits",
            Kind::Table("limits"),
            "Bounds on memory, counts and sizes",
            |draft: &mut Draft, item, reader, place| {
                inner(item, reader, place, "[limits]", &limits(), &mut draft.config.limits);
            },
        ),
        Key::item(
            "timeouts",
            Kind::Table("timeouts"),
            "Bounds on time",
            |draft: &mut Draft, item, reader, place| {
                inner(item, reader, place, "[timeouts]", &timeouts(), &mut draft.config.timeouts);
            },
        ),
        Key::item(
            "proxy_protocol",
            Kind::Tables("proxy_protocol"),
            "Balancers that announce the client of a connection by a PROXY header",
            |draft: &mut Draft, item, reader, place| {
                peers::proxy_protocols(&mut draft.config.proxy_protocol, item, reader, place);
            },
        ),
        Key::item(
            "forwarded",
            Kind::Table("forwarded"),
            "Proxies that name the client of a request",
            |draft: &mut Draft, item, reader, place| {
                peers::read_forwarded(&mut draft.config.forwarded, item, reader, place);
            },
        ),
        Key::item(
            "rate",
            Kind::Named("rate"),
            "How often requests may come, by name",
            |draft: &mut Draft, item, reader, place| {
                peers::rates(&mut draft.config.rates, item, reader, place);
            },
        ),
        Key::item(
            "auth",
            Kind::Named("auth"),
            "Users with passwords, by name",
            |draft: &mut Draft, item, reader, place| {
                peers::auths(&mut draft.config.auths, item, reader, place);
            },
        ),
        Key::item(
            "headers",
            Kind::Named("headers"),
            "Field rules by name, for sites and routes that refer to them",
            |_, item, reader, _| sites::named_rules(item, reader),
        ),
        Key::item(
            "site",
            Kind::Tables("site"),
            "Sites",
            |draft: &mut Draft, item, reader, place| {
                sites::sites(&mut draft.config.sites, item, reader, place);
            },
        ),
        Key::item(
            "pool",
            Kind::Named("pool"),
            "Servers behind this one, by name",
            |draft: &mut Draft, item, reader, place| {
                pools::pools(&mut draft.config.pools, item, reader, place);
            },
        ),
    ]);
    keys
}

/// Reads an inner table.
pub(super) fn inner<T: 'static>(
    item: &Item,
    reader: &mut Reader,
    place: &str,
    what: &str,
    keys: &[Key<T>],
    target: &mut T,
) {
    if let Some(table) = reader.as_table(item) {
        reader.table(table, keys, target, place, what);
    }
}

/// Reads pairs of certificate and key.
pub(super) fn pairs(pairs: &mut Vec<CertificatePair>, item: &Item, reader: &mut Reader) {
    for item in Reader::each(item) {
        let Value::Table(table) = &item.value else {
            let problem = format!("{} stands here", item.value.kind());
            reader.fault(&item.at, problem, "write { cert = \"chain.pem\", key = \"key.pem\" }");
            continue;
        };
        let mut files = (None, None);
        for entry in &table.entries {
            let place = match entry.key.as_str() {
                "cert" => &mut files.0,
                "key" => &mut files.1,
                _ => {
                    let problem = format!("unknown key {:?} in a certificate", entry.key);
                    reader.fault(&entry.at, problem, "it has cert and key");
                    continue;
                }
            };
            if let Some(text) = reader.text(&entry.item) {
                *place = Some(reader.path(text));
            }
        }
        match files {
            (Some(cert), Some(key)) => pairs.push(CertificatePair { cert, key }),
            _ => reader.fault(&item.at, "a certificate needs both its files", "add cert and key"),
        }
    }
}
