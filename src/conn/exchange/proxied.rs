//! A server of a pool as the responder of an exchange.

use std::{
    rc::Rc,
    task::{self, Poll},
};

use super::streamed::{Failure, Fields, Incoming, Intake, Responder, StreamedHead};
use crate::{
    conn::{Context, peer},
    observe::{Stage, Why},
    parse::{BodyLength, Version},
    respond::{
        Status,
        forward::{ForwardError, Origin, Outgoing, Spoken, asks_to_switch, request},
    },
    ring::{Chunk, Socket},
    upstream::{Exchange, Pool, Reason, Request, RequestContent, Waits},
};

/// Has a server of a pool answer a request.
///
/// # Errors
/// What the client gets for a request that is not passed on.
pub(super) fn begin(
    context: &Rc<Context>,
    pool: &Rc<Pool>,
    incoming: &Incoming<'_>,
    origin: Origin,
) -> Result<Box<dyn Responder>, Status> {
    let mut target = incoming.path.to_vec();
    if let Some(query) = incoming.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let mut host = incoming.authority.map(<[u8]>::to_vec);
    if host.is_none() {
        incoming.fields.each(&mut |name, value| {
            if name.eq_ignore_ascii_case("host") {
                host = Some(value.to_vec());
            }
        });
    }
    let trusted = pool.trusts(origin.peer.ip());
    let origin = Origin { trusted, secure: incoming.secure, ..origin };
    let outgoing = Outgoing {
        method: incoming.method,
        target: &target,
        authority: host.as_deref(),
        spoken: match incoming.version {
            Some(Version::Http10) => Spoken::Http10,
            Some(Version::Http11) => Spoken::Http11,
            None => Spoken::Http2,
        },
        fields: &|visit| incoming.fields.each(visit),
        origin,
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
    let method = incoming.method;
    // Of HTTP/1.1 without content only, and to what the pool allows.
    let may_switch = method == b"GET"
        && incoming.version == Some(Version::Http11)
        && incoming.body == BodyLength::None;
    let switch = may_switch.then(|| asks_to_switch(outgoing.fields)).flatten();
    let switch = switch.filter(|protocol| pool.allows_switch(protocol));
    let request = Request {
        head,
        switch,
        is_head: method == b"HEAD",
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
    Ok(Box::new(Proxied { context: Rc::clone(context), pool: Rc::clone(pool), exchange }))
}

/// Where the requests of a connection come from; None if the client has left.
pub(super) fn origin(socket: &Socket) -> Option<Origin> {
    let local = rustix::net::getsockname(socket).ok()?;
    let local = std::net::SocketAddr::try_from(local).ok()?;
    Some(Origin { peer: peer(socket)?, trusted: false, secure: true, port: local.port() })
}

/// An exchange with a server of a pool.
struct Proxied {
    context: Rc<Context>,
    pool: Rc<Pool>,
    exchange: Exchange,
}

impl Proxied {
    fn failed(&self, reason: Reason) -> Failure {
        self.context.warn(&format_args!("pool {}: {reason}", self.pool.name()));
        Failure { status: reason.status(), why: why(reason) }
    }
}

/// The reason as it is counted.
fn why(reason: Reason) -> Why {
    match reason {
        Reason::Refused | Reason::Unroutable | Reason::NameUnknown | Reason::Local => {
            Why::UpstreamConnect
        }
        Reason::ConnectTimeout
        | Reason::SendTimeout
        | Reason::ResponseTimeout
        | Reason::ReadTimeout => Why::UpstreamTimeout,
        Reason::Terminated | Reason::Incomplete => Why::UpstreamCut,
        Reason::Head(_) | Reason::Interim | Reason::Framing => Why::UpstreamProtocol,
        Reason::Busy => Why::UpstreamBusy,
    }
}

impl RequestContent for Intake {
    fn poll_piece(&mut self) -> Poll<Option<Chunk>> {
        Intake::poll_piece(self)
    }

    fn is_ended(&self) -> bool {
        self.is_drained()
    }
}

impl Responder for Proxied {
    fn poll_head(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<StreamedHead, Failure>> {
        self.exchange.poll_head(intake).map(|answer| match answer {
            Ok(answer) => Ok(StreamedHead {
                status: answer.status,
                fields: Fields::Lines(answer.lines.into_boxed_slice()),
                length: answer.length,
            }),
            Err(reason) => Err(self.failed(reason)),
        })
    }

    fn waits(&self) -> Option<Stage> {
        Some(match self.exchange.waits() {
            Waits::Client => Stage::Body,
            Waits::Line => Stage::Queue,
            Waits::Connect => Stage::Connect,
            Waits::Head => Stage::Upstream,
            Waits::Content => Stage::UpstreamBody,
        })
    }

    fn poll_chunk(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        let polled = self.exchange.poll_chunk(intake);
        polled.map(|next| next.map(|chunk| chunk.map_err(|reason| self.failed(reason))))
    }
}
