//! Which certificate a name gets.
//!
//! Pure: it knows neither files nor rustls. Which certificate is sent is a matter of convenience,
//! not of security: the client judges what it gets.

#![forbid(unsafe_code)]

use std::collections::HashMap;

/// Which certificates, by their place in the configuration, a name may get.
///
/// The order of preference: those with the very name, then those with a wildcard for it; within
/// each the order of the configuration. A name that none has, or none at all, gets the first
/// certificate, or one that shares a name with it.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    exact: HashMap<String, Vec<usize>>,
    /// By what is behind `*.`, which stands for one label exactly (RFC 9525 section 6.3).
    wildcard: HashMap<String, Vec<usize>>,
    fallback: Vec<usize>,
}

impl NameIndex {
    /// An index of certificates with these names, each in lower case.
    pub(super) fn new(certificates: &[&[String]]) -> Self {
        let mut index = Self::default();
        // Without certificates the index has no names, and the start is refused.
        let first: &[String] = certificates.first().copied().unwrap_or(&[]);
        for (place, names) in certificates.iter().enumerate() {
            for name in *names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut index.wildcard, parent),
                    None => (&mut index.exact, name.as_str()),
                };
                let places = map.entry(name.to_owned()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            if place == 0 || names.iter().any(|name| first.contains(name)) {
                index.fallback.push(place);
            }
        }
        index
    }

    /// The best certificate for a name that `fits`: whose key the client can verify. If none does,
    /// the best one, so that the client can see what is wrong. `None` without certificates.
    pub(super) fn choose(&self, name: Option<&str>, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let parent = name.as_ref().and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        let known = exact.is_some() || wildcard.is_some();
        let fallback = if known { &[][..] } else { &self.fallback[..] };
        let places = || exact.into_iter().chain(wildcard).flatten().chain(fallback).copied();
        places().find(|&place| fits(place)).or_else(|| places().next())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(certificates: &[&[&str]]) -> NameIndex {
        let owned: Vec<Vec<String>> = certificates
            .iter()
            .map(|names| names.iter().map(|&name| name.to_owned()).collect())
            .collect();
        NameIndex::new(&owned.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn exact_names_come_before_wildcards_and_the_first_is_for_strangers() {
        let index = index(&[
            &["default.example"],
            &["*.b.example", "b.example"],
            &["www.b.example"],
            &["b.example"],
        ]);
        let choose = |name| index.choose(name, |_| true);
        assert_eq!(choose(None), Some(0));
        assert_eq!(choose(Some("stranger.example")), Some(0));
        assert_eq!(choose(Some("www.b.example")), Some(2), "exact, though the wildcard is first");
        assert_eq!(choose(Some("WWW.B.Example.")), Some(2), "whatever the case, and a last dot");
        assert_eq!(choose(Some("mail.b.example")), Some(1));
        assert_eq!(choose(Some("b.example")), Some(1), "the first of two with the name");
        assert_eq!(choose(Some("a.mail.b.example")), Some(0), "a wildcard is one label");
        assert_eq!(choose(Some(".b.example")), Some(1));
        assert_eq!(NameIndex::new(&[]).choose(Some("a"), |_| true), None);
    }

    #[test]
    fn among_certificates_for_a_name_the_clients_signatures_decide() {
        let both = index(&[&["a.example"], &["a.example", "x"], &["*.example"], &["x"]]);
        let second = |place: usize| place == 1;
        assert_eq!(both.choose(Some("a.example"), second), Some(1));
        assert_eq!(both.choose(None, second), Some(1), "it shares a name with the first");
        assert_eq!(both.choose(Some("a.example"), |place| place == 2), Some(2), "the wildcard");
        assert_eq!(both.choose(Some("a.example"), |place| place == 3), Some(0), "a foreign name");
        assert_eq!(both.choose(None, |place| place == 3), Some(0), "shares none with the first");
    }

    /// What the index must answer, without an index.
    fn plainly(certificates: &[Vec<String>], name: &str, fits: &[bool]) -> Option<usize> {
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let having = |wanted: Option<&String>| -> Vec<usize> {
            (0..certificates.len())
                .filter(|&place| wanted.is_some_and(|wanted| certificates[place].contains(wanted)))
                .collect()
        };
        let mut places = having(Some(&name.to_owned()));
        places.extend(having(wildcard.as_ref()));
        if places.is_empty() {
            places = (0..certificates.len())
                .filter(|&place| {
                    place == 0
                        || certificates[place].iter().any(|name| certificates[0].contains(name))
                })
                .collect();
        }
        places.iter().copied().find(|&place| fits[place]).or(places.first().copied())
    }

    proptest! {
        #[test]
        fn the_index_answers_as_a_plain_search_does(
            certificates in prop::collection::vec(
                prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,2}", 0..4), 0..6),
            name in "[ab](\\.[ab]){0,3}",
            fits in prop::collection::vec(any::<bool>(), 6),
        ) {
            let slices: Vec<&[String]> = certificates.iter().map(Vec::as_slice).collect();
            let chosen = NameIndex::new(&slices).choose(Some(&name), |place| fits[place]);
            prop_assert_eq!(chosen, plainly(&certificates, &name, &fits));
        }
    }
}
