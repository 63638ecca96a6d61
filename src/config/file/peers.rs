//! The keys of what balancers in front say of clients.

use super::{
    keys::{Key, Kind},
    reader::Reader,
    settings::push,
    tree::Item,
};
use crate::config::{ListenAddress, ProxyProtocol};

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
