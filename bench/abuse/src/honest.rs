//! The honest client: the load generator at a fixed rate, ahead of the attackers on their CPU.
//!
//! The invariant: it is one and the same, whatever goes on beside it.

use std::path::PathBuf;
use std::process::Command;

use ringway_load::report::Report;

use crate::against::Against;
use crate::options::Options;
use crate::server::{Server, on_cpu};
use crate::site::{PAGE, Site};

/// How it is put ahead of the attackers: real-time priority, by chrt(1) of util-linux.
const AHEAD: [&str; 3] = ["chrt", "--fifo", "10"];

#[derive(Debug)]
pub(crate) struct Honest {
    program: PathBuf,
    /// Whether it runs ahead of the attackers.
    pub(crate) ahead: bool,
}

impl Honest {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let program = Options::beside(options.load.as_ref(), "ringway-load")?;
        let permitted = Command::new(AHEAD[0]).args(&AHEAD[1..]).arg("true").output();
        Ok(Self { program, ahead: permitted.is_ok_and(|output| output.status.success()) })
    }

    /// Asks for the page at the rate, for as long as is measured.
    pub(crate) fn ask(
        &self,
        options: &Options,
        server: &Server,
        site: &Site,
    ) -> Result<Report, String> {
        let mut command = if self.ahead {
            let mut command = Command::new(AHEAD[0]);
            command.args(&AHEAD[1..]).arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command.arg(format!("https://127.0.0.1:{}/{}", server.port, PAGE.0));
        command.args(["--quiet", "--json", "-", "--sleep", "--warm-up", "300ms"]);
        command.args(["--rate", &options.rate.to_string()]);
        command.args(["--connections", &options.connections.to_string()]);
        command.args(["--duration", &format!("{}ms", options.window().as_millis())]);
        if options.against() == Against::Http2 {
            command.args(["--h2", "--streams", "10"]);
        }
        command.args(["--server-pid", &server.pid().to_string()]);
        command.arg("--root").arg(site.root()).arg("--cert").arg(site.cert());
        let output = on_cpu(options.client_cpu, || command.output())
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        // It fails when a request does; its report says which.
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            said.trim().trim_start_matches("ringway-load: ").to_owned()
        })
    }
}
