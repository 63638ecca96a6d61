//! The keys of sites, of their routes, and of field rules.

use std::collections::BTreeMap;

use super::{
    declared::client_mode,
    keys::{Key, Kind, Row, rows, within},
    pages,
    reader::Reader,
    settings::{flag, inner, number, pairs, push, put, word},
    tree::{Item, Value},
};
use crate::config::{
    Action, CacheRule, ClientAuth, Compression, ErrorContent, FieldLine, FieldRules, FilesOptions,
    Fixed, Redirect, RedirectStatus, RedirectTarget, Route, RoutePath, Site, SiteClients,
    sites::STRICT,
};

/// How the files of a folder are presented: keys of a route, and options of `serve DIR`.
pub(super) fn files() -> Vec<Key<FilesOptions>> {
    vec![
        Key::text(
            "spa",
            Some("spa"),
            Kind::Text("FILE"),
            "",
            "File in the folder that answers every path that names no file, as single-page \
             applications want",
            |files: &mut FilesOptions, text| {
                files.spa = Some(text.into());
                Ok(())
            },
        ),
        Key::text(
            "listing",
            Some("listing"),
            Kind::Flag,
            "false",
            "Answer a folder without an index file with a listing",
            |files, text| put(&mut files.listing, flag(text)),
        ),
        Key::text(
            "follow_links",
            Some("no-follow"),
            Kind::NoFlag("Answer 404 where a path leads over a symbolic link"),
            "true",
            "Whether symbolic links are followed, those that stay in the folder",
            |files, text| put(&mut files.follow_links, flag(text)),
        ),
        Key::text(
            "index",
            Some("index"),
            Kind::Text("NAME"),
            "index.html",
            "Name of the file that answers for its folder",
            |files, text| put(&mut files.index, Ok::<_, String>(text.to_owned())),
        ),
        Key::text(
            "etags",
            None,
            Kind::OneOf(&["host", "shared"]),
            "host",
            "What entity tags are made of: what the host knows of a file, so that no tag has two contents; \
             or its length and time of modification alone, equal on all machines whose deploy keeps times",
            |files, text| {
                put(&mut files.shared_etags, word(text, &[("host", false), ("shared", true)]))
            },
        ),
    ]
}

/// What `compress` means as an option.
const COMPRESS: &str = "Compress files for clients that accept it: once, at their second request, apart \
                        from the workers. A precompressed file beside a file comes first";

/// What it means at a route.
const COMPRESS_ROUTE: &str = "Compress answers for clients that accept it: files once, at their second \
                              request, apart from the workers, all others while they are sent. Routes \
                              with proxy do not take it from their site, since answers with secrets \
                              should not be compressed";

/// What it means at a site.
const COMPRESS_SITE: &str = "The same for all routes of files and fixed answers that do not say it \
                             themselves";

/// Compression, as the option has it.
pub(super) fn compress() -> Vec<Key<Compression>> {
    compress_as(Some("compress"), "false", COMPRESS)
}

fn compress_as(
    option: Option<&'static str>,
    default: &'static str,
    doc: &'static str,
) -> Vec<Key<Compression>> {
    let set = |compress: &mut Compression, text: &str| compress.add(text);
    vec![Key::text("compress", option, Kind::Codings, default, doc, set)]
}

/// A route as it is gathered.
struct RouteDraft {
    path: Option<RoutePath>,
    exact: bool,
    /// The folder has been named.
    serves: bool,
    files: FilesOptions,
    redirect: Option<RedirectTarget>,
    respond: Option<String>,
    status: Option<u16>,
    media_type: Option<String>,
    proxy: Option<String>,
    rate: Option<String>,
    auth: Option<String>,
    ready: bool,
    headers: FieldRules,
    cache_control: Option<FieldLine>,
    caching: Vec<CacheRule>,
    errors: BTreeMap<u16, ErrorContent>,
    compress: Option<Compression>,
}

impl Default for RouteDraft {
    fn default() -> Self {
        Self {
            path: None,
            exact: false,
            serves: false,
            files: FilesOptions::new(""),
            redirect: None,
            respond: None,
            status: None,
            media_type: None,
            proxy: None,
            rate: None,
            auth: None,
            ready: false,
            headers: FieldRules::default(),
            cache_control: None,
            caching: Vec::new(),
            errors: BTreeMap::new(),
            compress: None,
        }
    }
}

/// A key that takes a text of its own form.
macro_rules! texts {
    ($($key:literal $kind:expr, $default:literal => |$draft:ident, $text:ident| $set:expr, $doc:literal;)*) => {
        vec![$(Key::text($key, None, $kind, $default, $doc, |$draft, $text| $set)),*]
    };
}

/// `[[site.route]]`.
fn route() -> Vec<Key<RouteDraft>> {
    let mut keys: Vec<Key<RouteDraft>> = texts! {
        "path" Kind::Text("PATH"), "/" => |draft, text| put(&mut draft.path, text.parse().map(Some)),
            "The path: the route is for it and for all below it, by whole segments; of several routes \
             that fit, the one with the longest path is taken";
        "exact" Kind::Flag, "false" => |draft, text| put(&mut draft.exact, flag(text)),
            "Whether the route is for the path itself alone";
        "files" Kind::Path, "" => |draft, text| {
                (draft.serves, draft.files.root) = (true, text.into());
                Ok(())
            },
            "A folder, which stands at the path: of the route /docs/, /docs/a.html is a.html in it";
        "redirect" Kind::Text("TARGET"), "" =>
            |draft, text| put(&mut draft.redirect, text.parse().map(Some)),
            "Where clients are sent: a URL or a path, with {host}, {path}, {rest} (the path below the \
             route's) and {query} in it";
        "respond" Kind::Text("TEXT"), "" =>
            |draft, text| put(&mut draft.respond, Ok::<_, String>(Some(text.to_owned()))),
            "A fixed answer";
        "status" Kind::Number, "308 for a redirect, 200 for an answer" =>
            |draft, text| put(&mut draft.status, number(text).map(Some)),
            "The status of a redirect (301, 302, 303, 307, 308) or of a fixed answer (200, 4xx, 5xx); \
             4xx and 5xx without `respond` have Ringway's own page";
        "type" Kind::Text("TYPE"), "text/plain; charset=utf-8" =>
            |draft, text| put(&mut draft.media_type, Ok::<_, String>(Some(text.to_owned()))),
            "The media type of a fixed answer";
        "ready" Kind::Flag, "false" => |draft, text| put(&mut draft.ready, flag(text)),
            "Answer 200 while this server wants requests and 503 from SIGTERM on, for balancers";
        "proxy" Kind::Text("POOL"), "" =>
            |draft, text| put(&mut draft.proxy, Ok::<_, String>(Some(text.to_owned()))),
            "A pool, [pool.NAME], whose servers answer";
        "rate" Kind::Text("RATE"), "" =>
            |draft, text| put(&mut draft.rate, Ok::<_, String>(Some(text.to_owned()))),
            "How often requests may come, [rate.NAME]";
        "auth" Kind::Text("AUTH"), "" =>
            |draft, text| put(&mut draft.auth, Ok::<_, String>(Some(text.to_owned()))),
            "The users that it is for, [auth.NAME]";
    };
    keys.push(Key::item(
        "cache_control",
        Kind::Caching,
        pages::CACHE_CONTROL,
        |draft: &mut RouteDraft, item, reader, _| {
            pages::cache_control(&mut draft.cache_control, &mut draft.caching, item, reader);
        },
    ));
    keys.push(Key::item(
        "headers",
        Kind::Headers,
        HEADERS,
        |draft: &mut RouteDraft, item, reader, _| {
            draft.headers = rules(item, reader);
        },
    ));
    keys.push(Key::item(
        "errors",
        Kind::Errors,
        pages::ERRORS,
        |draft: &mut RouteDraft, item, reader, _| {
            pages::errors(&mut draft.errors, item, reader);
        },
    ));
    keys.extend(within(files(), |draft: &mut RouteDraft| &mut draft.files));
    keys.extend(within(
        compress_as(Some("compress"), "that of the site", COMPRESS_ROUTE),
        |draft: &mut RouteDraft| draft.compress.get_or_insert(Compression::NONE),
    ));
    keys
}

/// What `headers` means at a site and at a route.
const HEADERS: &str = "Changes to the field lines of responses: \"strict\", names of [headers.NAME], or \
                       a table like one of those; a route's come after its site's";

impl RouteDraft {
    fn finish(self, item: &Item, reader: &mut Reader) -> Option<Route> {
        let Self { path, exact, serves, files, redirect, respond, status, .. } = self;
        let answers = respond.is_some() || (status.is_some() && redirect.is_none());
        let actions = [serves, redirect.is_some(), self.proxy.is_some(), self.ready, answers];
        if actions.iter().filter(|action| **action).count() != 1 {
            let advice = "give one of files, redirect, respond, ready or proxy";
            reader.fault(&item.at, "a route does one thing", advice);
            return None;
        }
        let action = if serves {
            Action::Files(files)
        } else if let Some(to) = redirect {
            let mut redirect = Redirect::new(to);
            if let Some(code) = status {
                let Some(status) = RedirectStatus::from_code(code) else {
                    let advice = "give 301, 302, 303, 307 or 308";
                    reader.fault(&item.at, format_args!("{code} is no redirect"), advice);
                    return None;
                };
                redirect.status = status;
            }
            Action::Redirect(redirect)
        } else if self.ready {
            Action::Ready
        } else if let Some(pool) = self.proxy {
            Action::Proxy { pool }
        } else {
            let mut fixed = Fixed { text: respond, ..Fixed::default() };
            fixed.status = status.unwrap_or(fixed.status);
            if let Some(media_type) = self.media_type {
                fixed.media_type = media_type;
            }
            Action::Fixed(fixed)
        };
        let mut route = Route::new(path.unwrap_or_else(RoutePath::default), action);
        route.exact = exact;
        route.rate = self.rate;
        route.auth = self.auth;
        route.errors = self.errors;
        route.caching = self.caching;
        route.compress = self.compress;
        route.headers = self.headers;
        route.headers.set.extend(self.cache_control);
        Some(route)
    }
}

/// `[[site]]`.
fn site() -> Vec<Key<Site>> {
    let mut keys = vec![
        Key::text(
            "names",
            None,
            Kind::Texts("NAME"),
            "all names that no other site has",
            "Names of the site: hosts without ports, *.example.com for all one label below",
            |site: &mut Site, text| push(&mut site.names, text.parse()),
        ),
        Key::item(
            "certificate",
            Kind::Pairs,
            "The certificate, beside those of [tls]: PEM files, or a list of such pairs; which one a \
             client gets goes by the names in the certificates",
            |site: &mut Site, item, reader, _| pairs(&mut site.certificates, item, reader),
        ),
        Key::text(
            "client_ca",
            None,
            Kind::Path,
            "that of [tls]",
            "Ask clients of the site for a certificate by an authority in this PEM file; a request that \
             comes on a connection with another demand gets 421",
            |site: &mut Site, text| {
                match &mut site.clients {
                    SiteClients::Asked(clients) => clients.ca = text.into(),
                    clients => *clients = SiteClients::Asked(ClientAuth::required(text)),
                }
                Ok(())
            },
        ),
        Key::text(
            "client_auth",
            None,
            Kind::OneOf(&["none", "optional", "required"]),
            "that of [tls], or \"required\" with client_ca",
            "Whether a client of the site may come without a certificate, or is not asked for one",
            |site: &mut Site, text| {
                if text == "none" {
                    site.clients = SiteClients::NotAsked;
                    return Ok(());
                }
                let mode = client_mode(text)?;
                match &mut site.clients {
                    SiteClients::Asked(clients) => clients.mode = mode,
                    clients => {
                        let mut asked = ClientAuth::required("");
                        asked.mode = mode;
                        *clients = SiteClients::Asked(asked);
                    }
                }
                Ok(())
            },
        ),
        Key::item("headers", Kind::Headers, HEADERS, |site: &mut Site, item, reader, _| {
            site.headers = rules(item, reader);
        }),
        Key::item("errors", Kind::Errors, pages::ERRORS, |site: &mut Site, item, reader, _| {
            pages::errors(&mut site.errors, item, reader);
        }),
        Key::item("route", Kind::Tables("site.route"), "Routes", |site, item, reader, place| {
            let keys = route();
            for (number, item) in Reader::each(item).iter().enumerate() {
                let place = format!("{place}.{number}");
                reader.stands(&place, &item.at);
                let Some(table) = reader.as_table(item) else { continue };
                let mut draft = RouteDraft::default();
                reader.table(table, &keys, &mut draft, &place, "a route");
                if let Some(route) = draft.finish(item, reader) {
                    site.routes.push(route);
                }
            }
        }),
    ];
    keys.extend(within(compress_as(None, "false", COMPRESS_SITE), |site: &mut Site| {
        site.compress.get_or_insert(Compression::NONE)
    }));
    keys
}

pub(super) fn site_rows() -> Vec<Row> {
    rows(&site())
}

pub(super) fn route_rows() -> Vec<Row> {
    rows(&route())
}

pub(super) fn rules_rows() -> Vec<Row> {
    rows(&rules_keys())
}

/// Reads all sites.
pub(super) fn sites(sites: &mut Vec<Site>, item: &Item, reader: &mut Reader, place: &str) {
    let keys = site();
    for (number, item) in Reader::each(item).iter().enumerate() {
        let place = format!("{place}.{number}");
        reader.stands(&place, &item.at);
        let Some(table) = reader.as_table(item) else { continue };
        let mut site = Site::default();
        reader.table(table, &keys, &mut site, &place, "a site");
        sites.push(site);
    }
}

/// `[headers.NAME]`.
fn rules_keys() -> Vec<Key<FieldRules>> {
    vec![
        Key::item(
            "set",
            Kind::Lines,
            "Fields that replace others of their names",
            |rules: &mut FieldRules, item, reader, _| lines(&mut rules.set, item, reader),
        ),
        Key::item(
            "add",
            Kind::Lines,
            "Fields that come in addition",
            |rules: &mut FieldRules, item, reader, _| lines(&mut rules.add, item, reader),
        ),
        Key::text(
            "remove",
            None,
            Kind::Texts("NAME"),
            "",
            "Names of fields that are left out",
            |rules: &mut FieldRules, text| {
                FieldLine::new(text, "").map_err(|error| error.to_string())?;
                rules.remove.push(text.to_owned());
                Ok(())
            },
        ),
    ]
}

/// Reads names with texts, or with lists of texts.
fn lines(lines: &mut Vec<FieldLine>, item: &Item, reader: &mut Reader) {
    let Some(table) = reader.as_table(item) else { return };
    for entry in &table.entries {
        for item in Reader::each(&entry.item) {
            let Some(value) = reader.text(item) else { continue };
            match FieldLine::new(&entry.key, value) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    let problem = format!("{:?} cannot be sent", entry.key);
                    reader.fault(&entry.at, problem, error);
                }
            }
        }
    }
}

/// Reads the rules that others refer to.
pub(super) fn named_rules(item: &Item, reader: &mut Reader) {
    let Some(table) = reader.as_table(item) else { return };
    for entry in &table.entries {
        if entry.key == STRICT {
            reader.fault(&entry.at, "\"strict\" is built in", "choose another name");
            continue;
        }
        let mut rules = FieldRules::default();
        inner(&entry.item, reader, "", "field rules", &rules_keys(), &mut rules);
        reader.rules.insert(entry.key.clone(), rules);
    }
}

/// Reads `headers`: names, or rules in place.
fn rules(item: &Item, reader: &mut Reader) -> FieldRules {
    let mut rules = FieldRules::default();
    if matches!(item.value, Value::Table(_)) {
        inner(item, reader, "", "field rules", &rules_keys(), &mut rules);
        return rules;
    }
    for item in Reader::each(item) {
        let Some(name) = reader.text(item) else { continue };
        if name == STRICT {
            rules = rules.then(&FieldRules::strict());
            continue;
        }
        if let Some(named) = reader.rules.get(name) {
            rules = rules.then(named);
            continue;
        }
        let mut known: Vec<_> = reader.rules.keys().map(String::as_str).collect();
        known.push(STRICT);
        let advice =
            format!("known are {}; others are defined by [headers.NAME]", known.join(", "));
        reader.fault(&item.at, format_args!("no field rules are called {name:?}"), advice);
    }
    rules
}
