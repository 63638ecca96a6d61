//! Files, read as a start reads them.

use std::collections::BTreeSet;

use super::{keys::Kind, settings::Draft, *};
use crate::config::{Action, CertificateSource, RedirectStatus};

/// A file in a folder of its own, with a folder `www` in it.
fn with_folder(text: &str) -> (tempfile::TempDir, Result<Config, Faults>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    let config = read(text, &folder.path().join("ringway.toml"));
    (folder, config)
}

fn faults(text: &str) -> String {
    let (folder, config) = with_folder(text);
    let path = format!("{}/", folder.path().display());
    config.unwrap_err().to_string().replace(&path, "")
}

#[test]
fn a_file_becomes_a_configuration() {
    let (folder, config) = with_folder(
        r#"
listen = ["127.0.0.1:443", "[::1]:443"]
workers = 3

[tls]
cert = "chain.pem"
key = "key.pem"
min = "1.3"

[limits]
max_body = "2MiB"
connections = 77
handshakes = 7

[timeouts]
idle = "5s"

[[site]]
names = ["Example.com", "*.example.com"]
certificate = { cert = "/a/cert", key = "/a/key" }
headers = ["strict", "own"]

[[site.route]]
path = "/"
files = "www"
listing = true

[[site.route]]
path = "/old/"
redirect = "https://{host}/new{rest}"
status = 301

[[site.route]]
path = "/down"
exact = true
respond = "later"
status = 503

[[site.route]]
path = "/api"
proxy = "app"

[[site]]
[[site.route]]
redirect = "https://example.com{path}"

[headers.own]
set = { X-One = "1" }
remove = ["X-Frame-Options"]

[pool.app]
servers = ["unix:/run/app.sock", "127.0.0.1:3000"]
max = 4
"#,
    );
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.listen.len(), 2);
    assert_eq!((config.workers, config.limits.connections), (Some(3), 77));
    assert_eq!(config.limits.body_bytes, 2 << 20);
    assert_eq!(config.timeouts.idle.as_secs(), 5);
    let base = folder.path();
    let shared = CertificateSource::pair(base.join("chain.pem"), base.join("key.pem"));
    assert_eq!(config.certificate, shared);
    assert_eq!(config.certificate_in_force().pairs().len(), 2);
    assert_eq!((config.sites.len(), config.pools["app"].max), (2, 4));
    let site = &config.sites[0];
    let names: Vec<_> = site.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["example.com", "*.example.com"]);
    let lines: Vec<_> = site.headers.lines().map(|line| line.name().to_owned()).collect();
    assert!(lines.contains(&"X-One".to_owned()) && !lines.contains(&"X-Frame-Options".to_owned()));
    let Action::Files(files) = &site.routes[0].action else { panic!("{site:?}") };
    assert!(files.root == base.join("www") && files.listing && files.follow_links);
    let Action::Redirect(redirect) = &site.routes[1].action else { panic!("{site:?}") };
    assert_eq!(redirect.status, RedirectStatus::Moved);
    let Action::Fixed(fixed) = &site.routes[2].action else { panic!("{site:?}") };
    assert!(fixed.status == 503 && site.routes[2].exact);
    assert_eq!(site.routes[3].action, Action::Proxy { pool: "app".into() });
    assert!(config.sites[1].names.is_empty());
}

#[test]
fn all_errors_are_found_in_one_run_with_their_lines() {
    let text = r#"lisen = ["127.0.0.1:443"]
workers = "many"
max_body = 3

[limits]
connections = 0
file_cache = "1.5MiB"

[[site]]
names = ["a.example", "https://b.example"]
headers = "stric"

[[site.route]]
path = "/"
files = "www"
proxy = "app"

[[site.route]]
path = "x"
redirect = "/{user}"

[timeouts]
idle = 5
"#;
    let said = faults(text);
    for expected in [
        "ringway.toml:1:1: unknown key \"lisen\" in the file\n    1 | lisen = [\"127.0.0.1:443\"]\n      \
         | ^^^^^ \"listen\" is meant?",
        "ringway.toml:2:11: a text stands here",
        "ringway.toml:3:1: unknown key \"max_body\" in the file",
        "it belongs to the table [limits], as max_body",
        "ringway.toml:7:14: \"1.5MiB\" cannot be used",
        "ringway.toml:10:23: \"https://b.example\" cannot be used",
        "the name of the host alone",
        "ringway.toml:11:11: no field rules are called \"stric\"",
        "a route does one thing",
        "ringway.toml:19:8: \"x\" cannot be used",
        "braces hold host, path, rest or query",
        "ringway.toml:23:8: \"5\" cannot be used",
        "a time needs its unit",
    ] {
        assert!(said.contains(expected), "{expected}\n\n{said}");
    }
}

#[test]
fn what_only_a_check_finds_has_its_line_too() {
    let said = faults(
        r#"[limits]
connections = 0
max_head = "1"
[[site]]
names = "a.example"
[[site.route]]
files = "missing"
[[site]]
names = "a.example"
[[site.route]]
path = "/x"
proxy = "ap"
[[site.route]]
path = "/x/"
respond = ""
[[site]]
names = "b.example"
[pool.app]
servers = []
"#,
    );
    for expected in [
        "ringway.toml:2:15: 0 is out of bounds",
        "ringway.toml:3:12: 1 is out of bounds",
        "ringway.toml:7:9: ",
        "missing cannot be opened",
        "ringway.toml:9:9: a.example is given twice",
        "ringway.toml:12:9: no pool is called \"ap\"",
        "known: app",
        "ringway.toml:14:8: /x is the path of two routes",
        "ringway.toml:16:1: route: 0 is out of bounds; give 1 to 1000",
        "ringway.toml:19:11: 0 is out of bounds",
    ] {
        let (head, advice) = expected.split_once("; ").unwrap_or((expected, ""));
        assert!(said.contains(head) && said.contains(advice), "{expected}\n\n{said}");
    }
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let said = faults("listen = [\n[[site]]\nnames = 'a\n");
    assert!(said.contains("ringway.toml:") && said.contains("not TOML"), "{said}");
    assert!(faults("").contains("there is no site"));
}

#[test]
fn a_text_comes_back_from_toml_and_from_json() {
    let text: String = ('\0'..='\u{a0}').collect();
    let quoted = super::fault::quoted(&text);
    let (_, faults) = tree::parse(&format!("a = {quoted}\n"));
    assert!(faults.is_empty(), "{quoted} {faults:?}");
    assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
}

#[test]
fn faults_as_json_are_json() {
    let (_folder, config) = with_folder("a\"b = 1\n\"\\u0000\" = 1\nlisten = 'x\ty'\n");
    let json = config.unwrap_err().to_json();
    let faults: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
    assert_eq!(faults, json);
    assert!(faults.as_array().unwrap().iter().all(|fault| fault["line"].is_u64()), "{json}");
}

/// What the reference promises is what holds without the key.
#[test]
fn defaults_are_the_true_ones() {
    let mut tried = 0;
    for section in settings::sections() {
        for key in section.keys {
            let default = key.row.default;
            let sets_nothing = ["workers", "listen", "redirect_port", "ticket_keys", "client_auth"];
            if default.is_empty() || sets_nothing.contains(&key.row.key) {
                continue;
            }
            let mut draft = Draft::default();
            key.set(&mut draft, default).unwrap_or_else(|why| panic!("{}: {why}", key.row.key));
            let (plain, with) = (Draft::default().finish(), draft.finish());
            assert_eq!(plain, with, "{}", key.row.key);
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
    for key in pools::pool() {
        let mut pool = crate::config::PoolOptions::default();
        let described = ["host", "ca", "server_name", "health", "in_front", "server_idle"]
            .contains(&key.row.key);
        if !key.row.default.is_empty() && !described {
            key.set(&mut pool, key.row.default).unwrap();
        }
        assert_eq!(pool, crate::config::PoolOptions::default(), "{}", key.row.key);
    }
}

#[test]
fn the_schema_is_json_and_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&documents::schema()).unwrap();
    let top: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
    for key in ["listen", "site", "pool", "limits", "headers"] {
        assert!(top.contains(&key.to_owned()), "{key}");
    }
    assert!(schema["$defs"]["limits"]["properties"]["max_body"].is_object());
    // Whatever is referred to is defined.
    let text = documents::schema();
    for (at, _) in text.match_indices("#/$defs/") {
        let name = text[at + 8..].split('"').next().unwrap();
        assert!(schema["$defs"][name].is_object(), "{name}");
    }
}

/// The reference in `docs/configuration.md` is the one that is made here.
#[test]
fn the_documented_reference_is_current() {
    let document = include_str!("../../../docs/configuration.md");
    let (_, reference) =
        document.split_once("<!-- made by `ringway config reference` -->\n\n").unwrap();
    assert_eq!(reference, documents::reference(), "run `ringway config reference`");
}

/// The tables for those who know other servers name keys that there are.
#[test]
fn directives_of_others_lead_to_keys_that_there_are() {
    let document = include_str!("../../../docs/configuration.md");
    let (_, tables) = document.split_once("## From other servers").unwrap();
    let tables = tables.split("## All settings").next().unwrap();
    let known = documents::keys();
    let mut seen = 0;
    for row in tables.lines().filter(|line| line.starts_with("| `")) {
        let here = row.split(" | ").nth(1).unwrap();
        let sections: Vec<_> = here
            .split("`[")
            .skip(1)
            .filter_map(|rest| rest.trim_start_matches('[').split(['.', ']', '`']).next())
            .collect();
        for word in here.split('`').skip(1).step_by(2) {
            let key = word.split([' ', '=']).next().unwrap();
            if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                continue;
            }
            if ["ringway", "gzip_static", "cert", "key"].contains(&key) {
                continue;
            }
            let fits = |(table, own): &(&str, &str)| {
                let at_site = ["site", "site.route", ""].contains(table);
                *own == key && (sections.is_empty() || sections.contains(table) || at_site)
            };
            assert!(known.iter().any(fits), "{word} in {row}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

/// Each example of the documents is a file that can be served, once its folders are there.
#[test]
fn every_example_is_valid() {
    let document = include_str!("../../../docs/configuration.md");
    let mut examples: Vec<_> = document.split("```toml\n").skip(1).collect();
    assert!(examples.len() > 5, "{}", examples.len());
    examples.push(documents::EXAMPLE);
    // What a newcomer pastes.
    let readme = include_str!("../../../README.md");
    examples
        .push(readme.split("```toml\n").find(|text| text.starts_with("# /etc/ringway")).unwrap());
    for example in examples {
        let example = example.split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        let mut text = example.to_owned();
        for top in ["/srv/", "/var/www/"] {
            text = text.replace(&format!("\"{top}"), &format!("\"{place}{top}"));
        }
        for line in text.lines().filter(|line| line.starts_with("files = ")) {
            let path = line.trim_start_matches("files = ").trim_matches('"');
            std::fs::create_dir_all(path).unwrap();
            std::fs::write(format!("{path}/index.html"), "x").unwrap();
        }
        for line in text.lines().filter(|line| line.starts_with("errors = ")) {
            // Others are texts.
            let written = line.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
            for path in written.map(Path::new) {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
        }
        let config = read(&text, &folder.path().join("ringway.toml"));
        if let Err(faults) = config {
            panic!("{faults}\n\n{example}");
        }
    }
}

/// A text of keys and values never panics the reader, whatever it is.
#[test]
fn every_kind_of_value_at_every_key_is_answered() {
    let values =
        ["1", "-1", "1.5", "true", "\"\"", "\"x\"", "[]", "[[]]", "{}", "{a=1}", "1979-05-27"];
    let mut text = String::new();
    for (number, value) in values.iter().enumerate() {
        for section in settings::sections() {
            let table = if section.table.starts_with("site") { "" } else { section.table };
            for key in &section.keys {
                let dot = if table.is_empty() { "" } else { "." };
                text = format!("{table}{dot}{} = {value}\n", key.row.key);
                let _ = read(&text, Path::new("x"));
            }
        }
        for key in sites::route_rows().iter().chain(&sites::site_rows()) {
            text = format!("site = [{{ {} = {value}, route = {value} }}]", key.key);
            let _ = read(&text, Path::new("x"));
            text = format!("site = [{{ route = [{{ {} = {value} }}] }}]", key.key);
            let _ = read(&text, Path::new("x"));
        }
        assert!(number < 99 && !text.is_empty());
    }
    assert_ne!(Kind::Flag, Kind::Path);
}

/// A file of a megabyte without sense is answered in a few lines, each of them short.
#[test]
fn what_is_said_of_a_file_is_bounded() {
    for text in ["[".repeat(100_000), "a b\n".repeat(50_000), "x = 1\u{7}\n".repeat(1_000)] {
        let faults = read(&text, Path::new("x")).unwrap_err();
        let said = faults.to_string();
        assert!(
            said.len() < 100_000 && said.lines().all(|line| line.len() < 2_000),
            "{}",
            said.len()
        );
        assert!(faults.len() <= 100 || said.contains("more; mend these first"), "{said}");
    }
    let long = format!("{}lisen = 1, # {}", "\"x\" . ".repeat(100), "y".repeat(1_000));
    let said = read(&long, Path::new("x")).unwrap_err().to_string();
    assert!(said.contains('^') && said.len() < 10_000, "{said}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered(text in "[a-z\\[\\]{}=\"'.,\n# 0-9\u{e4}\r\t-]{0,80}") {
        super::hold::a_text_is_answered(&text);
    }
}

/// Where a setting may stand that the tables of translations show.
const PLACES: [&str; 8] = [
    "@\n[[site]]\n[[site.route]]\nrespond = ''\n",
    "[tls]\n@\n[[site]]\n[[site.route]]\nrespond = ''\n",
    "[[site]]\n@\n[[site.route]]\nrespond = ''\n",
    "[[site]]\n[[site.route]]\n@\n",
    "[[site]]\n[[site.route]]\nfiles = '/srv/www'\n@\n",
    "[[site]]\n[[site.route]]\nredirect = '/x'\n@\n",
    "[[site]]\n[[site.route]]\n@\n[pool.NAME]\nservers = ['127.0.0.1:9']\n",
    "[[site]]\n[[site.route]]\nproxy = 'NAME'\n[pool.NAME]\nservers = ['127.0.0.1:9']\n@\n",
];

#[test]
fn settings_in_the_tables_of_translations_can_be_pasted() {
    let document = include_str!("../../../docs/configuration.md");
    let (_, tables) = document.split_once("| nginx | here |\n").unwrap();
    let rows = tables.lines().filter(|line| line.starts_with("| "));
    let folder = tempfile::tempdir().unwrap();
    for name in ["www", "x", "y"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("www/404.html"), "none").unwrap();
    let mut tried = 0;
    for row in rows.take_while(|row| !row.starts_with("| key |")) {
        let (_, here) = row[2..].split_once(" | ").unwrap();
        let settings = here.split('`').skip(1).step_by(2);
        for setting in settings.filter(|setting| setting.contains(" = ") && !setting.contains('…'))
        {
            let fits = PLACES.iter().any(|place| {
                let text =
                    place.replace('@', setting).replace("/srv", folder.path().to_str().unwrap());
                read(&text, &folder.path().join("ringway.toml")).is_ok()
            });
            assert!(fits, "{setting} in {row}");
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}
