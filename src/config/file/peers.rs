//! The keys of what balancers and proxies in front say of clients, and of what clients may ask.

use std::collections::BTreeMap;

use super::{
    keys::{Key, Kind},
    reader::Reader,
    settings::{inner, number, push, put, word},
    tree::Item,
};
use crate::config::{
    AuthOptions, ForwardedForm, ForwardedOptions, ListenAddress, ProxyProtocol, RateOptions,
    units::time,
};

/// `[[proxy_protocol]]`.
pub(super) fn proxy_protocol() -> Vec<Key<ProxyProtocol>> {
    vec![
        Key::text(
            "listen",
            None,
            Kind::Texts("ADDR"),
            "all listeners",
            "Listeners that it holds for, as they stand in listen, plain or redirect",
            |setting: &mut ProxyProtocol, text| {
                push(&mut setting.listen, text.parse().map(|ListenAddress(at)| at))
            },
        ),
        Key::text(
            "trusted",
            None,
            Kind::Texts("NETWORK"),
            "",
            "Networks of the balancers, such as 10.0.0.0/8: their connections must begin with a PROXY \
             header, others must not",
            |setting: &mut ProxyProtocol, text| push(&mut setting.trusted, text.parse()),
        ),
    ]
}

/// Reads all of them.
pub(super) fn proxy_protocols(
    settings: &mut Vec<ProxyProtocol>,
    item: &Item,
    reader: &mut Reader,
    place: &str,
) {
    let keys = proxy_protocol();
    for (number, item) in Reader::each(item).iter().enumerate() {
        let place = format!("{place}.{number}");
        reader.stands(&place, &item.at);
        let Some(table) = reader.as_table(item) else { continue };
        let mut setting = ProxyProtocol::default();
        reader.table(table, &keys, &mut setting, &place, "a [[proxy_protocol]]");
        settings.push(setting);
    }
}

/// `[forwarded]`.
pub(super) fn forwarded() -> Vec<Key<ForwardedOptions>> {
    vec![
        Key::text(
            "trusted",
            None,
            Kind::Texts("NETWORK"),
            "",
            "Networks of proxies that name the client of a request, such as 10.0.0.0/8: the client is \
             the rightmost address that is in none of them",
            |options: &mut ForwardedOptions, text| push(&mut options.trusted, text.parse()),
        ),
        Key::text(
            "field",
            None,
            Kind::OneOf(&["x-forwarded-for", "forwarded"]),
            "x-forwarded-for",
            "The field that is read",
            |options: &mut ForwardedOptions, text| {
                let words = [
                    ("x-forwarded-for", ForwardedForm::XForwarded),
                    ("forwarded", ForwardedForm::Forwarded),
                ];
                put(&mut options.form, word(text, &words))
            },
        ),
    ]
}

/// `[rate.NAME]`.
pub(super) fn rate() -> Vec<Key<RateOptions>> {
    vec![
        Key::text(
            "key",
            None,
            Kind::Text("KEY"),
            "client",
            "What is counted together: \"client\", the requests of an address (of IPv6, a /64); \
             \"field:NAME\", those with the same value of a field, and without it those of an address",
            |rate: &mut RateOptions, text| put(&mut rate.key, text.parse()),
        ),
        Key::text(
            "requests",
            None,
            Kind::Number,
            "10",
            "Requests in each `per`; beyond, 429",
            |rate, text| put(&mut rate.requests, number(text)),
        ),
        Key::text(
            "per",
            None,
            Kind::Time,
            "1s",
            "The time for which `requests` counts",
            |rate, text| put(&mut rate.per, time(text)),
        ),
        Key::text(
            "burst",
            None,
            Kind::Number,
            "as many as `requests`",
            "Requests that may come at once after a pause",
            |rate, text| put(&mut rate.burst, number(text).map(Some)),
        ),
        Key::text(
            "entries",
            None,
            Kind::Number,
            "65536",
            "Keys that are remembered, 8 bytes each; beyond, those that have recovered furthest are \
             forgotten",
            |rate, text| put(&mut rate.entries, number(text)),
        ),
    ]
}

/// Reads `[forwarded]`.
pub(super) fn read_forwarded(
    options: &mut Option<ForwardedOptions>,
    item: &Item,
    reader: &mut Reader,
    place: &str,
) {
    let options = options.get_or_insert_default();
    inner(item, reader, place, "[forwarded]", &forwarded(), options);
}

/// Reads all rates.
pub(super) fn rates(
    rates: &mut BTreeMap<String, RateOptions>,
    item: &Item,
    reader: &mut Reader,
    place: &str,
) {
    let Some(table) = reader.as_table(item) else { return };
    let keys = rate();
    for entry in &table.entries {
        let place = format!("{place}.{}", entry.key);
        reader.stands(&place, &entry.at);
        let mut rate = RateOptions::default();
        if let Some(table) = reader.as_table(&entry.item) {
            reader.table(table, &keys, &mut rate, &place, "a rate");
        }
        rates.insert(entry.key.clone(), rate);
    }
}

/// `[auth.NAME]`.
pub(super) fn auth() -> Vec<Key<AuthOptions>> {
    vec![
        Key::text(
            "realm",
            None,
            Kind::Text("TEXT"),
            "restricted",
            "What clients show when they ask for name and password",
            |auth: &mut AuthOptions, text| put(&mut auth.realm, Ok::<_, String>(text.to_owned())),
        ),
        Key::text(
            "users",
            None,
            Kind::Texts("NAME:HASH"),
            "",
            "Users, each with the hash of a password by bcrypt or argon2id",
            |auth: &mut AuthOptions, text| push(&mut auth.users, Ok::<_, String>(text.to_owned())),
        ),
        Key::text(
            "file",
            None,
            Kind::Path,
            "",
            "A file of such lines, as `ringway hash-password` and `htpasswd -B` write them; read at the \
             start and at each reload",
            |auth: &mut AuthOptions, text| put(&mut auth.file, Ok::<_, String>(Some(text.into()))),
        ),
    ]
}

/// Reads all users.
pub(super) fn auths(
    auths: &mut BTreeMap<String, AuthOptions>,
    item: &Item,
    reader: &mut Reader,
    place: &str,
) {
    let Some(table) = reader.as_table(item) else { return };
    let keys = auth();
    for entry in &table.entries {
        let place = format!("{place}.{}", entry.key);
        reader.stands(&place, &entry.at);
        let mut auth = AuthOptions::default();
        if let Some(table) = reader.as_table(&entry.item) {
            reader.table(table, &keys, &mut auth, &place, "an [auth.NAME]");
        }
        auths.insert(entry.key.clone(), auth);
    }
}
