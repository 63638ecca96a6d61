//! An application as the responder of an exchange: from a head to an `http::Request`, and from frames
//! to chunks.

mod begin;

pub(super) use begin::{about, begin, begin_at_once};

use std::{
    pin::Pin,
    rc::Rc,
    task::{self, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, response::Parts};

use super::{
    KeptAsked, Reply,
    begin::Coming,
    found::Finding,
    handed::{Borrower, map_of},
    heads::{ends_connection, remove_ours, streamed, switching, whole},
    reply::{Given, SHORT},
    streamed::{
        Answered, Failure, Fields, First, Intake, Relay, Report, Responder, ResponseContent, Stages,
    },
};
use crate::{
    conn::{Context, sites::Served},
    observe::{Endpoint, LayerTimes, Stage, Why, Work},
    respond::{Status, content_length_allowed},
    ring::{Chunk, Content, OpenFile},
    service::{Ahead, Answer, Call, CallError, Feeder, Frame, Head, OfSite, Token, Upgrade},
    write::Source,
};

/// Frames without content that are passed over in one poll.
const EMPTY_FRAMES: u32 = 16;

/// One call of an application.
struct Answering {
    context: Rc<Context>,
    served: Rc<Served>,
    /// None once it has given all of its content.
    call: Option<Pin<Box<dyn Call>>>,
    /// Where the request's content goes; None once it has ended, or if there is none.
    feeder: Option<Feeder>,
    borrower: Borrower,
    waker: Waker,
    /// When the head has to be there, in milliseconds on the worker's clock.
    until: Option<u64>,
    /// Where in the application the request is, as far as it says so.
    endpoint: Endpoint,
    layers: LayerTimes,
    /// The request is a HEAD, whose answer has no content.
    to_head: bool,
    /// What was polled of the content together with the head, and is looked at next.
    first: Ahead,
    trailers: Option<HeaderMap>,
    /// What was asked, for a file of the site, if there are any.
    kept: Option<KeptAsked>,
    /// The file of the site that is the answer.
    finding: Option<Finding>,
    /// The upgrade that the request asks for. Once it was accepted it is the content.
    upgrade: Option<Upgrade>,
    /// The request is an extended CONNECT, which 2xx accepts.
    connects: bool,
    /// The answer is the last one of its connection, if that is one of HTTP/1.
    ends_connection: bool,
}

/// Whether a head and short content behind it may make a whole reply.
fn is_short(head: &Head) -> bool {
    let Parts { status, extensions, .. } = &head.parts;
    head.length.is_some_and(|length| length <= SHORT as u64)
        && content_length_allowed(status.as_u16())
        // A file leaves by its own way as long as nobody has polled it.
        && (extensions.is_empty() || !names_a_file(extensions))
}

/// Whether an extension names the file that is the answer.
fn names_a_file(extensions: &Extensions) -> bool {
    extensions.get::<OfSite>().is_some() || extensions.get::<Token>().is_some()
}

/// What [`is_short`] is for a HEAD: nobody wants the content.
fn never(_: &Head) -> bool {
    false
}

/// A poll of an application, timed and watched.
struct Entered {
    began: u64,
}

impl Entered {
    /// The poll begins. [`Self::leave`] follows: a panic is caught within. No closure, which would move a
    /// request in and an answer out.
    fn enter(context: &Context, endpoint: Endpoint, layers: LayerTimes) -> Self {
        let began = context.observer.now();
        layers.gather();
        context.applications.watched.enter(endpoint, context.occupancy.live());
        Self { began }
    }

    /// It has ended.
    fn leave(self, context: &Context) -> (Endpoint, LayerTimes) {
        let endpoint = context.applications.watched.leave();
        let layers = LayerTimes::gathered();
        context.observer.spend(Work::Application, self.began);
        (endpoint, layers)
    }
}

impl Answering {
    /// Keeps what was asked, for a file of the site, if there are any.
    fn keep(&mut self, coming: Coming<'_>) {
        self.kept = coming.context.has_files().then(|| KeptAsked::new(coming.asked));
    }

    /// Polls for the answer.
    fn poll_answer(&mut self, intake: &mut Intake) -> Poll<Answer> {
        let is_short = if self.to_head { never } else { is_short };
        let polled = self.poll(intake, |call, cx| call.poll_answer(cx, is_short));
        polled.unwrap_or(Poll::Ready(Err(CallError::Ended)))
    }

    /// Polls for the next frame.
    fn poll_frame(&mut self, intake: &mut Intake) -> Poll<Option<Result<Frame, CallError>>> {
        match std::mem::replace(&mut self.first, Ahead::Nothing) {
            Ahead::Nothing => self.poll(intake, Call::poll_frame).unwrap_or(Poll::Ready(None)),
            Ahead::Whole(content) => Poll::Ready(Some(Ok(Frame::Data(content)))),
            Ahead::First(frame) => Poll::Ready(frame),
        }
    }

    /// Polls the application, and hands it what content it asks for meanwhile. None: it has given all.
    fn poll<T>(
        &mut self,
        intake: &mut Intake,
        mut poll: impl FnMut(Pin<&mut (dyn Call + 'static)>, &mut task::Context<'_>) -> Poll<T>,
    ) -> Option<Poll<T>> {
        // What the application waits for comes before it is polled for that.
        self.feed(intake);
        loop {
            if let Some(feeder) = &self.feeder {
                feeder.attend(true);
            }
            let Self { context, call, waker, endpoint, layers, .. } = self;
            let call = call.as_mut()?.as_mut();
            let mut cx = task::Context::from_waker(waker);
            let entered = Entered::enter(context, *endpoint, *layers);
            let polled = poll(call, &mut cx);
            (*endpoint, *layers) = entered.leave(context);
            if let Some(feeder) = &self.feeder {
                feeder.attend(false);
            }
            if polled.is_ready() || !self.feed(intake) {
                return Some(polled);
            }
        }
    }

    /// Moves a piece of content on, if one is wanted and there: the application is polled next. False if there
    /// is nothing new.
    fn feed(&mut self, intake: &mut Intake) -> bool {
        let Some(feeder) = self.feeder.take_if(|feeder| feeder.is_wanted()) else { return false };
        let Poll::Ready(piece) = intake.poll_piece() else {
            self.feeder = Some(feeder);
            return false;
        };
        feeder.attend(true);
        if let Some(piece) = piece {
            feeder.put(self.borrower.take(&self.context, piece));
        }
        if intake.is_drained() {
            match map_of(&intake.take_trailers()) {
                Ok(trailers) => feeder.end_with(trailers),
                // The content fails, as its feeder is dropped.
                Err(fault) => self.context.defect(&fault),
            }
        } else {
            self.feeder = Some(feeder);
        }
        true
    }

    /// Whether an answer with this status accepts the upgrade that the request asks for. 101 accepts an
    /// extended CONNECT too, so that a handler of both versions of HTTP has one answer.
    fn accepts(&self, status: http::StatusCode) -> bool {
        status == http::StatusCode::SWITCHING_PROTOCOLS || (self.connects && status.is_success())
    }

    /// The answer, now that its head is there: its content may be a file.
    fn answered(&mut self, mut head: Head, ahead: Ahead) -> Result<Option<Answered>, Failure> {
        let ahead = match ahead {
            Ahead::Whole(content) => match whole(&self.served, head, content) {
                Ok(reply) => return Ok(Some(Answered::Whole(reply))),
                Err((back, content)) => {
                    head = back;
                    self.call = None;
                    Ahead::Whole(content)
                }
            },
            ahead => ahead,
        };
        self.ends_connection = ends_connection(&head.parts.headers);
        if let Some(OfSite(path)) = head.parts.extensions.remove()
            && head.parts.status == http::StatusCode::OK
        {
            let Some(kept) = self.kept.take() else {
                return Err(self.unusable(&"an application names a file, and no files are served"));
            };
            remove_ours(&mut head.parts.headers);
            let more = head.parts.headers;
            self.finding = Some(Finding::new(&self.context, kept, path.into_bytes(), more));
            return Ok(None);
        }
        let token: Option<Token> = head.parts.extensions.remove();
        let file = token.and_then(|token| token.untouched(head.length));
        if self.to_head && head.length == Some(0) && file.is_none() {
            // No content is the answer to HEAD. It says nothing of what GET would get (RFC 9110 section 8.6).
            head.length = None;
        }
        let head = streamed(head).map_err(|what| self.unusable(&what))?;
        self.first = ahead;
        let Some((file, range)) = file.filter(|_| !matches!(head.status, 204 | 304)) else {
            return Ok(Some(Answered::Streamed(head)));
        };
        let (mut lines, mut dated, mut named) = (Vec::new(), false, false);
        head.fields.each(|name, value| {
            dated |= name.eq_ignore_ascii_case("date");
            named |= name.eq_ignore_ascii_case("server");
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        });
        let length = Some(range.end - range.start);
        if head.length != length {
            return Err(self.unusable(&"the length of a file is not what its fields say"));
        }
        let (code, lines) = (head.status, Rc::new(lines));
        let given = Given { code, lines, length, dated, named, complete: false };
        let source = match length {
            Some(0) => Source::Nothing,
            _ => Source::File(Rc::new(OpenFile::remote(file.into())), range),
        };
        let reply = Reply::given(&self.served, given, source);
        Ok(Some(Answered::Whole(reply)))
    }

    /// Polls the application for content.
    fn poll_content(&mut self, intake: &mut Intake) -> Poll<Option<Result<Chunk, Failure>>> {
        for _ in 0..EMPTY_FRAMES {
            if self.trailers.is_some() {
                return Poll::Ready(None);
            }
            match ready!(self.poll_frame(intake)) {
                None => return Poll::Ready(None),
                Some(Ok(Frame::Data(data))) if data.is_empty() => {}
                Some(Ok(Frame::Data(data))) => {
                    return Poll::Ready(Some(Ok(Content::Bytes(data).into())));
                }
                Some(Ok(Frame::Trailers(trailers))) => self.trailers = Some(trailers),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.failed(&error)))),
            }
        }
        self.waker.wake_by_ref();
        Poll::Pending
    }

    /// Goes on from a poll for the answer.
    fn go_on(&mut self, polled: Poll<Answer>, cx: &mut task::Context<'_>) -> First {
        let (mut head, ahead) = match polled {
            Poll::Ready(Ok(answer)) => answer,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(&error))),
            Poll::Pending => {
                let Some(at) = self.until else { return Poll::Pending };
                ready!(self.context.ring.poll_until(at));
                let (status, why) = (Status::ServiceUnavailable, Why::ServerTimeout);
                return Poll::Ready(Err(Failure { status, why }));
            }
        };
        if !self.accepts(head.parts.status) {
            self.upgrade = None;
        } else if let Some(upgrade) = &mut self.upgrade {
            upgrade.accept();
            let head = if self.connects {
                if head.parts.status == http::StatusCode::SWITCHING_PROTOCOLS {
                    // HTTP/2 has no 101 (RFC 8441 section 5).
                    head.parts.status = http::StatusCode::OK;
                }
                streamed(head).map_err(|what| self.unusable(&what))?
            } else {
                switching(head)
            };
            return Poll::Ready(Ok(Answered::Streamed(head)));
        }
        if let Some(answered) = self.answered(head, ahead).transpose() {
            return Poll::Ready(answered);
        }
        match &mut self.finding {
            Some(finding) => finding.poll(&self.context, cx),
            None => Poll::Pending,
        }
    }

    /// What the application gave is no answer.
    fn unusable(&self, what: &dyn std::fmt::Display) -> Failure {
        self.context.warn(&format_args!("{what} ({})", self.endpoint.name()));
        Failure { status: Status::InternalServerError, why: Why::ServerError }
    }

    fn failed(&self, error: &CallError) -> Failure {
        self.unusable(error)
    }
}

impl Responder for Answering {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        if let Some(finding) = &mut self.finding {
            return finding.poll(&self.context, cx);
        }
        let polled = self.poll_answer(intake);
        self.go_on(polled, cx)
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        Some(self)
    }

    fn stages(&self) -> Stages {
        let wants_content = self.feeder.as_ref().is_some_and(Feeder::is_wanted);
        let waits = match &self.finding {
            Some(_) => Stage::Process,
            None if wants_content => Stage::Body,
            None => Stage::Waiting,
        };
        Stages { works: Some(Stage::Handler), waits: Some(waits), ..Stages::default() }
    }

    fn report(&self) -> Report {
        let Self { endpoint, layers, ends_connection, .. } = *self;
        Report { endpoint, layers, ends_connection, ..Report::NOTHING }
    }
}

impl ResponseContent for Answering {
    fn poll_chunk(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        if let Some(upgrade) = &mut self.upgrade {
            let hand_over = |piece| self.borrower.take(&self.context, piece);
            return poll_tunnel(upgrade, &self.waker, intake, hand_over);
        }
        self.poll_content(intake)
    }

    fn take_trailers(&mut self) -> Fields {
        match self.trailers.take() {
            Some(mut trailers) => {
                remove_ours(&mut trailers);
                Fields::Map(trailers.into())
            }
            None => Fields::None,
        }
    }

    /// An application that is not polled makes nothing, and nobody else waits for it.
    fn take_ahead(&mut self) {}

    fn relay(&mut self) -> Option<&mut dyn Relay> {
        None
    }
}

/// Moves bytes both ways: those of the client as they are wanted.
fn poll_tunnel(
    upgrade: &mut Upgrade,
    waker: &Waker,
    intake: &mut Intake,
    hand_over: impl Fn(Chunk) -> Bytes,
) -> Poll<Option<Result<Chunk, Failure>>> {
    while upgrade.feeder.is_wanted() {
        match intake.poll_piece() {
            Poll::Ready(Some(piece)) => upgrade.feeder.put(hand_over(piece)),
            Poll::Ready(None) => {
                upgrade.feeder.end();
                break;
            }
            Poll::Pending => break,
        }
    }
    let outbound = ready!(upgrade.poll_outbound(&mut task::Context::from_waker(waker)));
    Poll::Ready(outbound.map(|bytes| Ok(Content::Bytes(bytes).into())))
}
