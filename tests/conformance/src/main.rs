//! Runs httpwg, a port of h2spec, against a server: `ringway-conformance [FILTER] -- PROGRAM ARGS`
//! starts the program and takes the address from the URL that it prints, `ringway-conformance
//! 127.0.0.1:PORT [FILTER]` takes a server that runs.
//!
//! The suite speaks without TLS, so a relay stands between. Where it and RFC 9113 disagree, the RFC
//! wins, and the case is in [`EXCEPTIONS`] with the reason.
//!
//! Exit status: 0 all cases passed or are excepted, 1 others failed, or an exception is none any
//! more.

#![forbid(unsafe_code)]

mod relay;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use buffet::IntoHalves;
use httpwg::{Config, Conn};

/// How long a case waits for a frame. Cases that expect silence wait so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a case is tried that fails: another process may have kept the server from its CPU for
/// longer than the suite waits.
const TRIES: usize = 2;

/// Parts of a case's name, and why it may fail.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "sends headers frame with te trailers",
    "it expects 200 to a POST; what is served are files, which answer 405",
)];

httpwg_macros::gen_catalog!(catalog);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut words, mut program) = (Vec::new(), Vec::new());
    while let Some(word) = arguments.next() {
        if word == "--" {
            program = arguments.by_ref().collect();
        } else {
            words.push(word);
        }
    }
    let server = (!program.is_empty()).then(|| Server::start(&program));
    let server = match server {
        Some(Ok(server)) => Some(server),
        Some(Err(what)) => {
            eprintln!("ringway-conformance: {what}");
            return ExitCode::FAILURE;
        }
        None => None,
    };
    let mut words = words.into_iter();
    let named = || words.next().and_then(|word| word.parse().ok());
    let Some(address) = server.as_ref().map(|server| server.address).or_else(named) else {
        eprintln!(
            "usage: ringway-conformance [FILTER] -- PROGRAM ARGS, or 127.0.0.1:PORT [FILTER]"
        );
        return ExitCode::from(2);
    };
    let filter = words.next().unwrap_or_default();
    let relay = relay::start(address);
    let failed = buffet::start(async move { all(relay, &filter).await });
    drop(server);
    ExitCode::from(u8::from(failed > 0))
}

/// Runs all cases in order of their names, and answers with how many did not go as they should.
async fn all(address: SocketAddr, filter: &str) -> usize {
    let config = Rc::new(Config { timeout: PATIENCE, ..Config::default() });
    let mut cases = BTreeMap::new();
    for (rfc, sections) in catalog::<buffet::net::TcpStream>() {
        for (section, tests) in sections {
            for (test, run) in tests {
                cases.insert(format!("{rfc} :: {section} :: {test}"), run);
            }
        }
    }
    let (mut passed, mut excepted, mut wrong) = (0, 0, 0);
    for (name, run) in cases.iter().filter(|(name, _)| name.contains(filter)) {
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            outcome = one(address, &config, run).await;
            if outcome.is_ok() {
                break;
            }
        }
        let exception = EXCEPTIONS.iter().find(|(part, _)| name.contains(part));
        match (outcome, exception) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => {
                wrong += 1;
                println!("NO EXCEPTION ANY MORE  {name}");
            }
            (Err(_), Some((_, why))) => {
                excepted += 1;
                println!("excepted  {name}: {why}");
            }
            (Err(what), None) => {
                wrong += 1;
                println!("FAILED  {name}\n        {what}");
            }
        }
    }
    println!("conformance: {passed} passed, {excepted} excepted, {wrong} wrong");
    if passed == 0 { wrong.max(1) } else { wrong }
}

async fn one(
    address: SocketAddr,
    config: &Rc<Config>,
    run: &BoxedTest<buffet::net::TcpStream>,
) -> Result<(), String> {
    let stream = buffet::net::TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    // Cases may wait several times.
    let limit = PATIENCE * 20;
    // A task of its own: some cases panic where others answer with an error.
    let case = tokio::task::spawn_local(run(Conn::new(Rc::clone(config), stream)));
    match tokio::time::timeout(limit, case).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(what))) => Err(format!("{what:?}").replace('\n', "\n        ")),
        Ok(Err(panicked)) => Err(panicked.to_string()),
        Err(_) => Err(format!("not done in {limit:?}")),
    }
}

/// The program under test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(words: &[String]) -> Result<Self, String> {
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let Some(out) = child.stdout.take() else { return Err("no standard output".into()) };
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let found = lines.by_ref().find_map(|line| {
            let (_, rest) = line.split_once("https://")?;
            let authority = rest.split(['/', ' ']).next()?;
            authority.rsplit_once(':')?.1.parse::<u16>().ok()
        });
        // What else it prints is read, so that it does not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        match found {
            Some(port) => Ok(Self { child, address: ([127, 0, 0, 1], port).into() }),
            None => {
                let _ = child.kill();
                Err(format!("{} printed no URL", words[0]))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
