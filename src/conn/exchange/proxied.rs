//! A server of a pool as the responder of an exchange.

use std::{
    borrow::Cow,
    rc::Rc,
    task::{self, Poll},
};

use super::streamed::{
    Answered, Failure, Fields, Incoming, Intake, Relay, Report, Responder, ResponseContent, Stages,
    StreamedHead,
};
use crate::{
    conn::{Context, client},
    observe::{ConnectionClock, Stage, Why},
    parse::{BodyLength, Version, response::ResponseError},
    respond::{
        Status,
        forward::{
            ForwardError, Origin, Outgoing, Spoken, accepts_trailers, asks_to_switch, proxy_header,
            request, websocket,
        },
    },
    ring::{Chunk, ReadInto, Socket},
    upstream::{Answer, Exchange, Pool, Reason, Request, RequestContent, Waits},
};

/// The one protocol that clients of HTTP/2 can ask a pool's server for.
const WEBSOCKET: &str = "websocket";

/// Has a server of a pool answer a request.
///
/// # Errors
/// What the client gets for a request that is not passed on.
pub(super) fn begin(
    context: &Rc<Context>,
    pool: &Rc<Pool>,
    incoming: &Incoming<'_>,
    origin: &Origin,
) -> Result<Box<dyn Responder>, Status> {
    let target = match incoming.query {
        None => Cow::Borrowed(incoming.path),
        Some(query) => Cow::Owned([incoming.path, b"?", query].concat()),
    };
    let (mut host, mut names_te, mut names_upgrade) = (None, false, false);
    incoming.fields.each(&mut |name, value| {
        names_te |= name.eq_ignore_ascii_case("te");
        names_upgrade |= name.eq_ignore_ascii_case("upgrade");
        if name.eq_ignore_ascii_case("host") {
            host = Some(value);
        }
    });
    let connects = match incoming.protocol {
        // RFC 9220 section 3.
        Some(protocol) if protocol != WEBSOCKET.as_bytes() || !pool.allows_switch(WEBSOCKET) => {
            return Err(Status::NotImplemented);
        }
        protocol => protocol.is_some(),
    };
    let method = if connects { b"GET" } else { incoming.method };
    let trusted = pool.trusts(origin.peer.ip());
    let outgoing = Outgoing {
        method,
        target: &target,
        authority: incoming.authority.or(host),
        spoken: match incoming.version {
            Some(Version::Http10) => Spoken::Http10,
            Some(Version::Http11) => Spoken::Http11,
            None => Spoken::Http2,
        },
        fields: &|visit| {
            incoming.fields.each(&mut |name, value| {
                // A tunnel's key is ours.
                if !(connects && name.eq_ignore_ascii_case("sec-websocket-key")) {
                    visit(name, value);
                }
            });
        },
        origin,
        trusted,
    };
    let mut head = Vec::with_capacity(512);
    let dropped = request(&mut head, &outgoing, &pool.forward).map_err(|error| {
        context.warn(&format_args!("proxy: {error}"));
        match error {
            ForwardError::Method => Status::MethodNotAllowed,
            ForwardError::Path | ForwardError::ConnectionNames | ForwardError::NoHost => {
                Status::BadRequest
            }
            ForwardError::Loop => Status::BadGateway,
        }
    })?;
    if dropped > 0 {
        pool.count_underscores(dropped);
    }
    let key = connects.then(|| {
        let [one, other] = [pool.random(), pool.random()].map(u64::to_ne_bytes);
        let mut random = [0; 16];
        random[..8].copy_from_slice(&one);
        random[8..].copy_from_slice(&other);
        websocket::key(random)
    });
    if let Some(key) = &key {
        websocket::ask(&mut head, key);
    }
    // Of HTTP/1.1 without content only, and to what the pool allows.
    let may_switch = names_upgrade
        && method == b"GET"
        && incoming.version == Some(Version::Http11)
        && incoming.body == BodyLength::None;
    let switch = may_switch.then(|| asks_to_switch(outgoing.fields)).flatten();
    let switch = switch.filter(|protocol| pool.allows_switch(protocol));
    let switch = if connects { Some(WEBSOCKET.to_owned()) } else { switch };
    let request = Request {
        // What is connected to cannot be unknown: the client has connected to it.
        preface: if pool.sends_proxy() {
            proxy_header(origin.peer, origin.local)
        } else {
            Vec::new()
        },
        head,
        switch,
        is_head: method == b"HEAD",
        interim: incoming.version != Some(Version::Http10),
        trailers: names_te
            && incoming.version != Some(Version::Http10)
            && accepts_trailers(outgoing.fields),
        is_idempotent: matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE"),
        content_is_unusual: matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE"),
        body: match incoming.body {
            // Applications that wait for content read none where a length of 0 is stated.
            BodyLength::Length(0) if matches!(method, b"GET" | b"HEAD") => BodyLength::None,
            body => body,
        },
        key: pool.key(origin.peer.ip(), &target),
    };
    let exchange = Exchange::new(pool, request);
    Ok(Box::new(Proxied {
        context: Rc::clone(context),
        pool: Rc::clone(pool),
        exchange,
        key,
        failed: None,
    }))
}

/// Where the requests of a connection come from, `secure` if by TLS; None if the client has left.
pub(super) fn origin(socket: &Socket, clock: &ConnectionClock, secure: bool) -> Option<Origin> {
    let local = if let Some((_, local)) = clock.announced() {
        local
    } else {
        let local = rustix::net::getsockname(socket).ok()?;
        std::net::SocketAddr::try_from(local).ok()?
    };
    Some(Origin::new(client(socket, clock)?, local, secure))
}

/// An exchange with a server of a pool.
struct Proxied {
    context: Rc<Context>,
    pool: Rc<Pool>,
    exchange: Exchange,
    /// The key of a WebSocket that a client of HTTP/2 has asked for.
    key: Option<String>,
    /// Why there is no answer.
    failed: Option<Reason>,
}

impl Drop for Proxied {
    fn drop(&mut self) {
        self.context.observer.passed_on(self.pool.take_passed_on());
    }
}

impl Proxied {
    fn failed(&mut self, reason: Reason) -> Failure {
        self.failed = Some(reason);
        self.context.warn(&format_args!("pool {}: {reason}", self.pool.name()));
        Failure { status: reason.status(), why: why(reason) }
    }
}

impl Proxied {
    /// The head of an answer. A client of HTTP/2 that has asked for a WebSocket gets 200 for 101, and
    /// 502 for another success: for it that would open the tunnel (RFC 8441 section 5).
    fn head(&mut self, answer: Answer) -> Result<StreamedHead, Failure> {
        let Answer { mut status, mut lines, present, mut length } = answer;
        if let Some(key) = &self.key {
            let accepted = websocket::accepted(&lines, key);
            match (status, accepted) {
                (101, Some(rest)) => (status, lines, length) = (200, rest, None),
                (101, None) | (200..=299, _) => {
                    return Err(self.failed(Reason::Head(ResponseError::UnaskedSwitch)));
                }
                // A refusal, which is passed on as it is.
                _ => {}
            }
        }
        Ok(StreamedHead { status, fields: Fields::Lines(lines), present, length })
    }
}

/// The reason as it is counted.
fn why(reason: Reason) -> Why {
    match reason {
        Reason::Refused
        | Reason::Unroutable
        | Reason::NameUnknown
        | Reason::TlsCertificate
        | Reason::TlsProtocol
        | Reason::Local => Why::UpstreamConnect,
        Reason::ConnectTimeout
        | Reason::SendTimeout
        | Reason::ResponseTimeout
        | Reason::ReadTimeout => Why::UpstreamTimeout,
        Reason::TunnelIdle => Why::ServerTunnelIdle,
        Reason::Terminated | Reason::Incomplete => Why::UpstreamCut,
        Reason::Head(_) | Reason::Interim | Reason::Framing => Why::UpstreamProtocol,
        Reason::Busy | Reason::Tunnels => Why::UpstreamBusy,
    }
}

impl RequestContent for Intake {
    fn poll_piece(&mut self) -> Poll<Option<Chunk>> {
        Intake::poll_piece(self)
    }

    fn is_ended(&self) -> bool {
        self.is_drained()
    }

    fn take_trailers(&mut self) -> Box<[u8]> {
        match Intake::take_trailers(self) {
            Fields::Lines(lines) => lines.into_boxed_slice(),
            Fields::None => Box::default(),
            // Those of a request are lines.
            #[cfg(feature = "service")]
            Fields::Map(_) => Box::default(),
        }
    }
}

impl Responder for Proxied {
    fn poll_head(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        self.exchange.poll_head(intake).map(|answer| match answer {
            Ok(answer) => self.head(answer).map(Answered::Streamed),
            Err(reason) => Err(self.failed(reason)),
        })
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        Some(self)
    }

    fn stages(&self) -> Stages {
        let waits = match self.exchange.waits() {
            Waits::Client => Stage::Body,
            Waits::Line => Stage::Queue,
            Waits::Connect => Stage::Connect,
            Waits::Head => Stage::Upstream,
            Waits::Content => Stage::UpstreamBody,
        };
        Stages { waits: Some(waits), ..Stages::default() }
    }

    fn report(&self) -> Report {
        let mut passed = self.exchange.passed();
        if let Some(reason) = self.failed {
            passed.reason = reason.name();
        }
        Report {
            passed,
            proxy_error: self.failed.filter(|_| self.pool.tells_reasons()).map(Reason::name),
            // By `between` and `tunnel_idle` of the pool.
            limits_silence: true,
            answers_half_closed: true,
            ..Report::NOTHING
        }
    }
}

impl ResponseContent for Proxied {
    fn poll_chunk(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        let polled = self.exchange.poll_chunk(intake);
        polled.map(|next| next.map(|chunk| chunk.map_err(|reason| self.failed(reason))))
    }

    fn take_trailers(&mut self) -> Fields {
        Fields::Lines(self.exchange.take_trailers())
    }

    fn take_ahead(&mut self) {
        self.exchange.take_ahead();
    }

    fn relay(&mut self) -> Option<&mut dyn Relay> {
        Some(self)
    }
}

impl Relay for Proxied {
    fn relays(&mut self) -> Option<u64> {
        self.exchange.relays()
    }

    fn poll_relay(
        &mut self,
        memory: &mut Option<ReadInto>,
    ) -> Poll<Result<Option<(ReadInto, usize)>, Failure>> {
        let polled = self.exchange.poll_relay(memory);
        polled.map(|received| received.map_err(|reason| self.failed(reason)))
    }

    fn set_aside(&mut self, count: usize) {
        self.exchange.note_held(count);
    }
}
