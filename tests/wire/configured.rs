//! A server that is started with a configuration file.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use ringway_bench_h2::{
    decoder::Decoder,
    encode,
    frame::{self, FrameHead, flag, kind},
};

use crate::{
    client::{Client, ClientOptions},
    identity::Identity,
    server::{LONG, PATIENT, PROGRAM, port_of_url},
};

/// A running server, killed when it goes out of scope, and its folder.
pub(crate) struct Configured {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) identity: Identity,
    pub(crate) port: u16,
    /// What it printed when it was ready.
    pub(crate) start_block: String,
}

impl Configured {
    /// Serves what the text says, below what every test wants: one address, two workers, and a
    /// certificate. `fill` fills the folder that paths are relative to.
    pub(crate) fn start(text: &str, fill: impl FnOnce(&Path)) -> Self {
        Self::start_with("", text, fill)
    }

    /// The same with settings in front of all tables.
    pub(crate) fn start_with(first: &str, text: &str, fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let identity = Identity::ecdsa(folder.path());
        write_with(folder.path(), first, text);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(folder.path().join("ringway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut start_block, mut port) = (String::new(), None);
        while lines.read_line(&mut start_block).is_ok_and(|read| read > 0) {
            let line = start_block.trim_end().lines().next_back().unwrap_or_default();
            port = port.or_else(|| port_of_url(line));
            if port.is_some() && line.trim_start().starts_with("stop") {
                break;
            }
        }
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        let log = || fs::read_to_string(folder.path().join("log")).unwrap();
        let port = port.unwrap_or_else(|| panic!("no start block: {start_block}{}", log()));
        Self { child, folder, identity, port, start_block }
    }

    /// A new connection with the client's defaults.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.port, ClientOptions::default().config(&self.identity)).unwrap()
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Writes the file, whole, as an editor does that replaces it.
pub(crate) fn write(folder: &Path, text: &str) {
    write_with(folder, "", text);
}

fn write_with(folder: &Path, first: &str, text: &str) {
    let head = "listen = '127.0.0.1:0'\nworkers = 2\npin = false\n[tls]\ncert = 'ecdsa.pem'\n\
                key = 'ecdsa.key'\n";
    let new = folder.join("new.toml");
    let mut patient = String::new();
    if !text.contains("[timeouts]") {
        patient += "\n[timeouts]\n";
        patient.extend(PATIENT.iter().map(|name| format!("{name} = '{LONG}'\n")));
    }
    fs::write(&new, format!("{first}{head}{text}{patient}")).unwrap();
    fs::rename(new, folder.join("ringway.toml")).unwrap();
}

/// A connection of HTTP/2 that asks for one thing at a time.
pub(crate) struct H2 {
    client: Client,
    decoder: Decoder,
    next: u32,
}

impl H2 {
    pub(crate) fn connect(server: &Configured) -> Self {
        let options = ClientOptions { alpn: vec![b"h2".to_vec()], ..ClientOptions::default() };
        let client = Client::connect(server.port, options.config(&server.identity)).unwrap();
        Self::over(client).unwrap()
    }

    /// Over a connection whose ALPN offers HTTP/2.
    ///
    /// # Errors
    /// The handshake fails.
    pub(crate) fn over(client: Client) -> std::io::Result<Self> {
        let mut this = Self { client, decoder: Decoder::default(), next: 1 };
        this.client.handshake()?;
        let mut bytes = frame::PREFACE.to_vec();
        frame::put_settings(&mut bytes, &[]);
        if !this.client.send(&bytes) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(this)
    }

    /// Status and content of what a GET gets.
    ///
    /// # Errors
    /// The connection ended before.
    pub(crate) fn get(&mut self, host: &str, target: &str) -> std::io::Result<(u16, String)> {
        let stream = self.next;
        self.next += 2;
        let block = encode::block([
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", host),
            (":path", target),
        ]);
        let mut bytes = Vec::new();
        let flags = flag::END_STREAM | flag::END_HEADERS;
        frame::put(&mut bytes, kind::HEADERS, flags, stream, &block);
        self.client.send(&bytes);
        let (mut status, mut content) = (0, Vec::new());
        loop {
            let mut head = [0; frame::HEAD];
            self.fill(&mut head)?;
            let head = FrameHead::read(head);
            let mut payload = vec![0; head.len];
            self.fill(&mut payload)?;
            match head.kind {
                kind::HEADERS => {
                    let decoded = self.decoder.decode(&payload, |name, value| {
                        if name == b":status" {
                            status = std::str::from_utf8(value).unwrap().parse().unwrap();
                        }
                    });
                    decoded.unwrap();
                }
                kind::DATA => {
                    content.extend_from_slice(&payload);
                    let mut update = Vec::new();
                    if head.len > 0 {
                        for stream in [0, head.stream] {
                            frame::put_window_update(&mut update, stream, head.len as u32);
                        }
                        self.client.send(&update);
                    }
                }
                kind::SETTINGS if !head.has(flag::ACK) => {
                    let mut ack = Vec::new();
                    frame::put(&mut ack, kind::SETTINGS, flag::ACK, 0, &[]);
                    self.client.send(&ack);
                }
                kind::RST_STREAM | kind::GOAWAY => {
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
                _ => {}
            }
            let ends = matches!(head.kind, kind::HEADERS | kind::DATA);
            if ends && head.stream == stream && head.has(flag::END_STREAM) {
                return Ok((status, String::from_utf8_lossy(&content).into_owned()));
            }
        }
    }

    fn fill(&mut self, mut into: &mut [u8]) -> std::io::Result<()> {
        while !into.is_empty() {
            let read = self.client.read(into)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            into = &mut into[read..];
        }
        Ok(())
    }
}

/// What a GET gets on a connection of HTTP/2 of its own.
pub(crate) fn h2_get(server: &Configured, host: &str, target: &str) -> (u16, String) {
    H2::connect(server).get(host, target).unwrap()
}
