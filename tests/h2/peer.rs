//! A client of frames: it sends what a test wants, legal or not, and judges what comes (`judge`).

mod judge;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ringway_bench_h2::decoder::Decoder;
use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{
    self, FrameHead, HEAD, MAX_FRAME, MAX_WINDOW, PREFACE, WINDOW, flag, kind, put, setting,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::client::{End, connect};
use crate::server::PATIENCE;
use crate::trusting::Trusting;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By END_STREAM.
    Whole,
    /// By RST_STREAM with this code.
    Reset(u32),
}

/// What has come of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    /// Interim heads that came before, with their fields.
    pub(crate) interim: Vec<(u16, Vec<(String, String)>)>,
    pub(crate) body: Vec<u8>,
    /// END_STREAM came, whatever came behind it.
    pub(crate) whole: bool,
    pub(crate) reset: Option<u32>,
    /// What the server may still send.
    window: i64,
    /// Whether the request's method allows a body.
    bodiless: bool,
}

impl Answer {
    /// The value of a field that stands once, or not at all.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {:?}", self.fields);
        value
    }

    /// How the stream ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        match self.reset {
            _ if self.whole => Some(Ended::Whole),
            Some(code) => Some(Ended::Reset(code)),
            None => None,
        }
    }
}

/// A GOAWAY that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) last: u32,
    pub(crate) code: u32,
    pub(crate) debug: String,
}

/// A connection.
pub(crate) struct Peer {
    tls: ClientConnection,
    pub(crate) socket: TcpStream,
    input: Vec<u8>,
    decoder: Decoder,
    next: u32,
    pub(crate) answers: BTreeMap<u32, Answer>,
    /// Streams in the order in which they ended.
    pub(crate) order: Vec<u32>,
    /// Streams of the DATA that came, with its length.
    pub(crate) data: Vec<(u32, usize)>,
    pub(crate) settings: Vec<(u16, u32)>,
    pub(crate) acknowledged: usize,
    pub(crate) pings: Vec<[u8; 8]>,
    pub(crate) pongs: Vec<[u8; 8]>,
    pub(crate) aways: Vec<Away>,
    /// WINDOW_UPDATEs that came.
    pub(crate) updates: Vec<(u32, u32)>,
    /// How the connection ended.
    pub(crate) end: Option<End>,
    /// What the server may still send on the connection, and on a new stream.
    window: i64,
    initial_window: i64,
    /// The initial window before SETTINGS that the server has not acknowledged: it may use either.
    slack: i64,
    max_frame: usize,
    /// Whether windows are given back as bytes come.
    pub(crate) generous: bool,
    /// Whether SETTINGS and PING are acknowledged.
    pub(crate) polite: bool,
    block: Option<(FrameHead, Vec<u8>)>,
    /// Whether nothing to read is no failure.
    glancing: bool,
}

impl Peer {
    /// Connects and completes the handshake. Without a configuration any certificate will do.
    pub(crate) fn connect(port: u16, config: Option<Arc<ClientConfig>>) -> Self {
        let config = config.unwrap_or_else(|| {
            let mut config = ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Trusting::default()))
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        });
        let mut socket = connect(port).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]), "the server chooses HTTP/2");
        Self {
            tls,
            socket,
            input: Vec::new(),
            decoder: Decoder::default(),
            next: 1,
            answers: BTreeMap::new(),
            order: Vec::new(),
            data: Vec::new(),
            settings: Vec::new(),
            acknowledged: 0,
            pings: Vec::new(),
            pongs: Vec::new(),
            aways: Vec::new(),
            updates: Vec::new(),
            end: None,
            window: i64::from(WINDOW),
            initial_window: i64::from(WINDOW),
            slack: 0,
            max_frame: MAX_FRAME,
            generous: true,
            polite: true,
            block: None,
            glancing: false,
        }
    }

    /// Sends the preface and SETTINGS.
    pub(crate) fn begin(&mut self, settings: &[(u16, u32)]) {
        let mut out = PREFACE.to_vec();
        frame::put_settings(&mut out, settings);
        self.note_settings(settings);
        self.slack = 0;
        self.send(&out);
    }

    /// Sends SETTINGS.
    pub(crate) fn set(&mut self, settings: &[(u16, u32)]) {
        let mut out = Vec::new();
        frame::put_settings(&mut out, settings);
        self.note_settings(settings);
        self.send(&out);
    }

    fn note_settings(&mut self, settings: &[(u16, u32)]) {
        for &(id, value) in settings {
            match id {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = i64::from(value);
                    self.slack += (-change).max(0);
                    for answer in self.answers.values_mut() {
                        answer.window += change;
                    }
                }
                setting::MAX_FRAME_SIZE => self.max_frame = value as usize,
                _ => {}
            }
        }
    }

    /// Sends bytes; `false` if the server has closed or reset the connection meanwhile, which does
    /// not mean that it has said nothing.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
    }

    /// Sends close_notify and FIN.
    pub(crate) fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.socket);
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut out = Vec::new();
        put(&mut out, kind, flags, stream, payload);
        self.send(&out)
    }

    /// Sends PING.
    pub(crate) fn ping(&mut self, payload: [u8; 8]) -> bool {
        self.frame(kind::PING, 0, 0, &payload)
    }

    /// Opens a window; of the connection if `stream` is 0.
    pub(crate) fn open_window(&mut self, stream: u32, by: u32) -> bool {
        let by = by.min(MAX_WINDOW);
        if stream == 0 {
            self.window += i64::from(by);
        } else if let Some(answer) = self.answers.get_mut(&stream) {
            answer.window += i64::from(by);
        }
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
    }

    /// Opens the connection's window by so many octets, so many times, in frames that leave together.
    pub(crate) fn open_window_often(&mut self, by: u32, times: usize) -> bool {
        let mut out = Vec::new();
        for _ in 0..times {
            put(&mut out, kind::WINDOW_UPDATE, 0, 0, &by.to_be_bytes());
        }
        self.window += i64::from(by) * times as i64;
        self.send(&out)
    }

    /// Waits until the server sends no more for now, without taking any of it.
    pub(crate) fn let_it_fill(&mut self) {
        let (mut before, mut still) = (0, 0);
        while still < 10 {
            std::thread::sleep(Duration::from_millis(50));
            let waiting = rustix::io::ioctl_fionread(&self.socket).unwrap();
            still = if waiting > 0 && waiting == before { still + 1 } else { 0 };
            before = waiting;
        }
    }

    /// The number of the next stream, which counts as used.
    pub(crate) fn number(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Expects an answer on `stream` to a request that the test sends by itself.
    pub(crate) fn expect(&mut self, stream: u32, method: &str) {
        let answer =
            Answer { window: self.initial_window, bodiless: method == "HEAD", ..Answer::default() };
        self.answers.insert(stream, answer);
        self.next = self.next.max(stream + 2);
    }

    /// Sends a header block on a new stream.
    pub(crate) fn block(&mut self, block: &[u8], end: bool) -> u32 {
        let stream = self.number();
        self.expect(stream, "GET");
        let end = if end { flag::END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flag::END_HEADERS | end, stream, block);
        stream
    }

    /// Sends a head on a new stream, and END_STREAM if `end`.
    pub(crate) fn request(&mut self, fields: &[(&str, &str)], end: bool) -> u32 {
        let stream = self.block(&encode::block(fields.iter().copied()), end);
        let head = fields.contains(&(":method", "HEAD"));
        if let Some(answer) = self.answers.get_mut(&stream) {
            answer.bodiless = head;
        }
        stream
    }

    /// Asks for a path.
    pub(crate) fn ask(&mut self, path: &str) -> u32 {
        self.ask_with(path, &[])
    }

    /// Asks for a path with more fields.
    pub(crate) fn ask_with(&mut self, path: &str, more: &[(&str, &str)]) -> u32 {
        self.request(&[&get(path), more].concat(), true)
    }

    /// Asks for a path and takes the answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let stream = self.ask(path);
        self.answer(stream)
    }

    /// Takes frames until the stream has ended.
    pub(crate) fn ended(&mut self, stream: u32) -> Ended {
        self.until(|peer| peer.answers[&stream].ended().is_some());
        self.answers[&stream].ended().unwrap_or_else(|| {
            panic!("stream {stream} has not ended, {:?}, {:?}", self.end, self.aways)
        })
    }

    /// Takes frames until the answer is whole.
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        let ended = self.ended(stream);
        assert_eq!(ended, Ended::Whole, "stream {stream}: {:?}", self.answers[&stream]);
        self.answers[&stream].clone()
    }

    /// Asserts that the server resets this stream with `code`, and goes on.
    pub(crate) fn expect_reset(&mut self, stream: u32, code: u32) {
        assert_eq!(self.ended(stream), Ended::Reset(code));
        assert!(self.aways.is_empty(), "{:?}", self.aways);
    }

    /// Asserts that the server ends the connection with a GOAWAY of `code`, properly.
    pub(crate) fn expect_away(&mut self, code: u32) -> Away {
        let away = self.expect_any_away();
        assert_eq!(away.code, code, "{away:?}");
        away
    }

    /// Asserts that the server ends the connection with a GOAWAY, properly: whatever the client has
    /// still been sending, no reset overtakes it.
    pub(crate) fn expect_any_away(&mut self) -> Away {
        self.until(|peer| peer.end.is_some());
        assert_eq!(self.end, Some(End::Notified), "{:?}", self.aways);
        self.aways.last().expect("a GOAWAY before the end").clone()
    }

    /// Waits until the server has said that it allows so many streams and has our SETTINGS.
    pub(crate) fn expect_streams(&mut self, streams: u32) {
        self.until(|peer| !peer.settings.is_empty() && peer.acknowledged > 0);
        let said = (setting::MAX_CONCURRENT_STREAMS, streams);
        assert!(self.settings.contains(&said), "{:?}", self.settings);
        // It has seen our acknowledgement once it answers a PING behind it.
        self.ping(*b"settings");
        self.until(|peer| peer.pongs.contains(b"settings"));
    }

    /// Asserts that the connection is still of use.
    pub(crate) fn expect_alive(&mut self) {
        let mark = [7, 7, 7, 7, 7, 7, 7, self.pongs.len() as u8];
        self.ping(mark);
        self.until(|peer| peer.pongs.contains(&mark));
        assert!(self.pongs.contains(&mark), "{:?}, {:?}", self.end, self.aways);
        let stream = self.ask("/hello.txt");
        assert_eq!(self.answer(stream).body, crate::site::HELLO);
    }

    /// Takes frames until something is so, or the connection has ended.
    pub(crate) fn until(&mut self, so: impl Fn(&Self) -> bool) {
        while !so(self) && self.end.is_none() {
            self.step();
        }
    }

    /// Takes what has come, without waiting for more than a moment.
    pub(crate) fn glance(&mut self) {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        self.glancing = true;
        while self.glancing && self.end.is_none() {
            self.step();
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Reads some bytes and takes the frames in them.
    pub(crate) fn step(&mut self) {
        let mut buffer = [0; 16 << 10];
        let read = loop {
            match self.tls.reader().read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => break read,
            }
            match self.tls.read_tls(&mut self.socket) {
                Ok(_) => {
                    if self.tls.process_new_packets().is_err() {
                        break Err(ErrorKind::InvalidData.into());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let end = match read {
            Ok(0) => End::Notified,
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                return self.take();
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => return,
                ErrorKind::WouldBlock | ErrorKind::TimedOut if self.glancing => {
                    self.glancing = false;
                    return;
                }
                ErrorKind::UnexpectedEof => End::Truncated,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
                ErrorKind::InvalidData => End::Alert,
                _ => panic!("nothing comes: {error}; {:?} {:?}", self.answers, self.aways),
            },
        };
        assert!(end != End::Notified || self.input.is_empty(), "an end within a frame");
        self.end = Some(end);
    }

    fn take(&mut self) {
        while let Some(head) = self.input.first_chunk::<HEAD>().copied().map(FrameHead::read) {
            assert!(head.len <= self.max_frame, "{head:?} is longer than our SETTINGS allow");
            if self.input.len() < HEAD + head.len {
                break;
            }
            let payload: Vec<u8> = self.input.drain(..HEAD + head.len).skip(HEAD).collect();
            self.judge(head, &payload);
        }
    }
}

/// The pseudo-fields of a GET.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    asking("GET", path)
}

/// The pseudo-fields of a request.
pub(crate) fn asking<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
}
