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
use http::HeaderMap;

use super::{
    KeptAsked, Reply,
    begin::Coming,
    found::Finding,
    handed::{Borrower, map_of},
    heads::{remove_ours, streamed, switching},
    reply::{Given, SHORT},
    streamed::{
        Answered, Failure, Fields, First, Intake, Relay, Report, Responder, ResponseContent,
        Stages, StreamedHead,
    },
};
use crate::{
    conn::{Context, sites::Served},
    observe::{Endpoint, LayerTimes, Stage, Why, Work},
    respond::{Status, content_length_allowed},
    ring::{Chunk, Content, OpenFile},
    service::{Call, CallError, Feeder, Frame, Head, OfSite, Token, Upgrade},
    write::Source,
};

/// Frames without content that are passed over in one poll.
const EMPTY_FRAMES: u32 = 16;

/// One call of an application.
struct Answering {
    context: Rc<Context>,
    served: Rc<Served>,
    call: Pin<Box<dyn Call>>,
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
    first: Option<Ahead>,
    /// The content has said that it ends.
    ended: bool,
    /// Content that was looked at and makes no whole reply: it comes next. Pending: there is none.
    ahead: Poll<Option<Result<Chunk, Failure>>>,
    trailers: Option<HeaderMap>,
    /// What was asked, for a file of the site, if there are any.
    kept: Option<KeptAsked>,
    /// The file of the site that is the answer.
    finding: Option<Finding>,
    /// The upgrade that the request asks for. Once it was accepted it is the content.
    upgrade: Option<Upgrade>,
    /// The request is an extended CONNECT, which 2xx accepts.
    connects: bool,
}

/// Content that was polled together with the head.
struct Ahead {
    frame: Option<Result<Frame, CallError>>,
    /// The content ends behind it.
    is_last: bool,
}

impl Ahead {
    /// Polls for content behind a head that may make a whole reply with it. None: it may not, or has none
    /// yet.
    fn behind(
        head: &Head,
        mut call: Pin<&mut (dyn Call + 'static)>,
        cx: &mut task::Context<'_>,
    ) -> Option<Self> {
        let http::response::Parts { status, extensions, .. } = &head.parts;
        head.length.filter(|length| (1..=SHORT as u64).contains(length))?;
        // A file, which an extension names, leaves by its own way as long as nobody has polled it.
        if !content_length_allowed(status.as_u16()) || !extensions.is_empty() {
            return None;
        }
        let Poll::Ready(frame) = call.as_mut().poll_frame(cx) else { return None };
        Some(Self { frame, is_last: call.is_end() })
    }
}

impl Answering {
    /// Keeps what was asked, for a file of the site, if there are any.
    fn keep(&mut self, coming: Coming<'_>) {
        self.kept = coming.context.has_files().then(|| KeptAsked::new(coming.asked));
    }

    /// Polls for the head, and in the same go for short content: to enter an application, with its clock, its
    /// layers and the watchdog, costs more than such a poll.
    fn poll_answer(&mut self, intake: &mut Intake) -> Poll<Result<Head, CallError>> {
        let (mut first, to_head) = (None, self.to_head);
        let polled = self.poll(intake, |mut call, cx| {
            let polled = call.as_mut().poll_head(cx);
            if let Poll::Ready(Ok(head)) = &polled
                && !to_head
            {
                first = Ahead::behind(head, call, cx);
            }
            polled
        });
        self.first = first;
        polled
    }

    /// Polls for the next frame.
    fn poll_frame(&mut self, intake: &mut Intake) -> Poll<Option<Result<Frame, CallError>>> {
        let Some(Ahead { frame, is_last }) = self.first.take() else {
            return self.poll(intake, Call::poll_frame);
        };
        self.ended = is_last;
        Poll::Ready(frame)
    }

    /// Polls the application, and hands it what content it asks for meanwhile.
    fn poll<T>(
        &mut self,
        intake: &mut Intake,
        mut poll: impl FnMut(Pin<&mut (dyn Call + 'static)>, &mut task::Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // What the application waits for comes before it is polled for that.
        self.feed(intake);
        loop {
            if let Some(feeder) = &self.feeder {
                feeder.attend(true);
            }
            let Self { context, call, waker, endpoint, layers, .. } = self;
            let mut cx = task::Context::from_waker(waker);
            let watched = &context.applications.watched;
            let live = context.occupancy.live();
            let began = context.observer.now();
            let polled =
                layers.gather(|| watched.watch(endpoint, live, || poll(call.as_mut(), &mut cx)));
            context.observer.spend(Work::Application, began);
            if let Some(feeder) = &self.feeder {
                feeder.attend(false);
            }
            if polled.is_ready() || !self.feed(intake) {
                return polled;
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
    fn answered(
        &mut self,
        mut head: Head,
        intake: &mut Intake,
    ) -> Result<Option<Answered>, Failure> {
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
        let head = streamed(head).map_err(|what| self.unusable(&what))?;
        let Some((file, range)) = file.filter(|_| !matches!(head.status, 204 | 304)) else {
            return Ok(Some(self.at_once(head, intake)));
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

    /// The answer with this head: a whole reply if its content is short and there already.
    fn at_once(&mut self, head: StreamedHead, intake: &mut Intake) -> Answered {
        let lines = head.fields.wire_bytes();
        let room = SHORT.saturating_sub(lines + self.served.own_fields_len) as u64;
        let has_content = !self.to_head && content_length_allowed(head.status);
        let Some(length) = head.length.filter(|length| has_content && *length <= room) else {
            return Answered::Streamed(head);
        };
        let content = if length == 0 { Some(Source::Nothing) } else { self.short(length, intake) };
        match content.filter(|_| self.ended || self.call.as_mut().is_end()) {
            Some(source) => {
                Answered::Whole(Reply::of_application(&self.served, (head, lines), source))
            }
            None => Answered::Streamed(head),
        }
    }

    /// Polls for content of this length in one piece. None: what comes instead stays ahead.
    fn short(&mut self, length: u64, intake: &mut Intake) -> Option<Source> {
        let Poll::Ready(polled) = self.poll_content(intake) else { return None };
        let whole = match &polled {
            Some(Ok(chunk)) if chunk.len() as u64 == length => Some(Source::Shared(chunk.clone())),
            _ => None,
        };
        self.ahead = Poll::Ready(polled);
        whole
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

    /// Goes on from a poll for the head.
    fn go_on(
        &mut self,
        polled: Poll<Result<Head, CallError>>,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> First {
        let mut head = match polled {
            Poll::Ready(Ok(head)) => head,
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
        if let Some(answered) = self.answered(head, intake).transpose() {
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
        self.go_on(polled, cx, intake)
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
        Report { endpoint: self.endpoint, layers: self.layers, ..Report::NOTHING }
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
        match std::mem::replace(&mut self.ahead, Poll::Pending) {
            Poll::Pending => self.poll_content(intake),
            polled @ Poll::Ready(_) => polled,
        }
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
