//! The choice of a route, against a plain model of it.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{
    config::{Action, Fixed, Route, RoutePath, SiteName},
    process::percent,
};

fn route(path: &str, exact: bool) -> Route {
    let mut route = Route::new(path.parse().unwrap(), Action::Fixed(Fixed::default()));
    route.exact = exact;
    route
}

#[test]
fn the_longest_path_wins_by_whole_segments() {
    let routes = ["/", "/api", "/api/v2/", "/a%b"];
    let site =
        routes[..3].iter().fold(Site::default(), |site, path| site.with_route(route(path, false)));
    let site = site.with_route(route("/api", true)).with_route(route("/q", true));
    let router = Router::new(&[site]);
    for (path, chosen) in [
        ("/", 0),
        ("", 0),
        ("/apix", 0),
        ("/api/x", 1),
        ("//api//x", 1),
        ("/%61pi/x", 1),
        ("/ap%69/v2", 2),
        ("/api/v2/x/y", 2),
        ("/api/v2x", 1),
        ("/api%2Fv2", 0),
        ("/API/x", 0),
        ("/api", 3),
        ("/api/", 3),
        ("/q", 4),
        ("/q/x", 0),
        ("/%", 0),
    ] {
        assert_eq!(router.choose(None, path.as_bytes()), Choice::Route(chosen), "{path}");
    }
    assert_eq!(router.choose(None, b"*"), Choice::NoRoute(0));
}

#[test]
fn a_site_without_a_route_for_the_path_is_named() {
    let named = |name: &str| Site::default().with_name(name.parse::<SiteName>().unwrap());
    let sites = [
        named("one").with_route(route("/a", false)),
        named("two").with_route(route("/b", false)).with_route(route("/c", false)),
    ];
    let router = Router::new(&sites);
    assert_eq!(router.choose(Some(b"one"), b"/b"), Choice::NoRoute(0));
    assert_eq!(router.choose(Some(b"two:443"), b"/c/d"), Choice::Route(2));
    assert_eq!(router.choose(Some(b"three"), b"/a"), Choice::UnknownHost);
    assert_eq!((router.site(Some(b"two")), router.site(None)), (Some(1), None));
}

/// Segments of few letters, so that routes and paths meet.
fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab]{1,2}", 0..4)
}

proptest! {
    #[test]
    fn the_tree_chooses_what_a_search_of_all_routes_chooses(
        routes in prop::collection::btree_set((segments(), any::<bool>()), 0..12),
        asked in segments(),
        encode in prop::collection::vec(any::<bool>(), 8),
        slashes in prop::collection::vec(1..3_usize, 5),
    ) {
        let routes: Vec<_> = routes.into_iter().collect();
        let site = routes.iter().fold(Site::default(), |site, (path, exact)| {
            site.with_route(route(&format!("/{}", path.join("/")), *exact))
        });
        let fits = |(path, exact): &(Vec<String>, bool)| {
            if *exact { *path == asked } else { asked.starts_with(path) }
        };
        let best = routes.iter().enumerate().filter(|(_, route)| fits(route));
        let best = best.max_by_key(|(_, (path, exact))| (path.len(), *exact));
        // The same path, written in another way.
        let mut letters = encode.iter().cycle();
        let mut path = String::new();
        for (segment, slashes) in asked.iter().zip(slashes.iter().cycle()) {
            path.push_str(&"/".repeat(*slashes));
            for letter in segment.bytes() {
                if *letters.next().unwrap() {
                    let _ = write!(path, "%{letter:02x}");
                } else {
                    path.push(letter.into());
                }
            }
        }
        let chosen = Router::new(&[site]).choose(None, path.as_bytes());
        let expected = best.map_or(Choice::NoRoute(0), |(number, _)| Choice::Route(number));
        prop_assert_eq!(chosen, expected);
    }

    #[test]
    fn what_is_encoded_anew_takes_the_same_route(path in "/[ -~]{0,20}", own in "/[a-c/]{0,6}") {
        let Ok(own) = own.parse::<RoutePath>() else { return Ok(()) };
        let site = Site::default().with_route(route(&own.to_string(), false));
        let router = Router::new(&[site]);
        if let Some(decoded) = percent::decode(path.as_bytes()) && !path.contains("%2") {
            let again: Vec<u8> = percent::path(&decoded).collect();
            prop_assert_eq!(
                router.choose(None, path.as_bytes()), router.choose(None, &again)
            );
        }
    }
}
