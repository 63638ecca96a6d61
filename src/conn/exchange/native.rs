//! Native handlers, which are asked before a route is chosen.

use std::{
    rc::Rc,
    task::{self, Poll, ready},
};

use http::HeaderMap;

use super::{
    Decided, KeptAsked, Lookups, Reply,
    begin::{About, Coming},
    found::{Finding, Found, among_files, for_file},
    reply::Given,
    streamed::{
        Answered, Failure, Incoming, Intake, Report, Responder, ResponseContent, Stages, each_line,
    },
};
use crate::{
    conn::Context,
    observe::{Endpoint, Stage, Why},
    process::{
        path::check_sound,
        site::{Asked, Via},
    },
    respond::Status,
    ring::{Content, OpenFile},
    service::native::{self, Answered as Outcome, Finished, Head, Late},
    write::{Source, WriteError},
};

/// Asks the native handler at a request's path, if there is one. None: the request is for others.
///
/// # Errors
/// As [`super::decide()`].
pub(super) fn ask<'l>(
    coming: Coming<'_>,
    about: &mut About,
    lookups: &'l Lookups,
) -> Result<Option<Decided<'l>>, WriteError> {
    let Coming { context, socket, clock, asked, incoming } = coming;
    let Some(paths) = &context.handlers else { return Ok(None) };
    if asked.via == Via::Redirect {
        return Ok(None);
    }
    let Some(number) = paths.find(asked.path) else { return Ok(None) };
    if check_sound(asked.path).is_err() {
        return Ok(None);
    }
    let Some((handler, mut endpoint)) = context.applications.handler(number) else {
        return Err(WriteError::Defect("a path leads to a handler that is not there"));
    };
    let connection =
        about.connection.get_or_insert_with(|| super::application::about(context, socket, clock));
    let fields = |each: &mut dyn FnMut(_, _)| incoming.fields.each(each);
    let head = Head {
        method: incoming.method,
        path: incoming.path,
        query: incoming.query,
        host: asked.host,
        fields: &fields,
        connection,
    };
    let applications = &context.applications;
    let live = context.occupancy.live();
    let outcome = applications
        .watched
        .watch(&mut endpoint, live, || native::ask(handler, &head, &applications.memory));
    Ok(match outcome {
        Ok(Outcome::Passed) => None,
        Ok(Outcome::Finished(finished)) => {
            Some(match answered(context, finished, asked, incoming, lookups)? {
                Decided::Ready(reply) => Decided::Ready(reply.of(endpoint)),
                decided => decided,
            })
        }
        Ok(Outcome::Later(late)) => {
            let kept = context.has_files().then(|| KeptAsked::new(asked));
            let until = applications
                .handler_timeout
                .map(|limit| context.ring.now().saturating_add(limit.as_millis() as u64));
            let context_of = Rc::clone(context);
            let state = State::Making(late, kept);
            let later = Later { context: context_of, state, until, endpoint };
            Some(Decided::Begun(context.refusing(), Box::new(later)))
        }
        Err(what) => {
            context.warn(&format_args!("{what} ({})", endpoint.name()));
            let reply = Reply::refusal(context, Status::InternalServerError);
            Some(Decided::Ready(to(reply, incoming).of(endpoint)))
        }
    })
}

/// A HEAD gets the head alone.
fn to<'l>(reply: Reply<'l>, incoming: &Incoming<'_>) -> Reply<'l> {
    if incoming.method == b"HEAD" { reply.head_only() } else { reply }
}

fn answered<'l>(
    context: &Rc<Context>,
    finished: Finished,
    asked: &Asked<'_>,
    incoming: &Incoming<'_>,
    lookups: &'l Lookups,
) -> Result<Decided<'l>, WriteError> {
    if let native::Content::Site(path) = &finished.content {
        let of_site = for_file(asked, path);
        let decided = among_files(context, &of_site, lookups)?;
        return Ok(match decided {
            Decided::Ready(reply) if finished.lines.is_empty() => Decided::Ready(reply),
            Decided::Ready(reply) => Decided::Ready(reply.with_fields(&map(&finished.lines))),
            _ => {
                let more = map(&finished.lines);
                let finding = Finding::new(context, KeptAsked::new(asked), path.clone(), more);
                let found = Found { context: Rc::clone(context), finding };
                Decided::Begun(context.refusing(), Box::new(found))
            }
        });
    }
    Ok(Decided::Ready(to(reply(context, finished), incoming)))
}

/// Fields as the map of an application has them. They were checked.
fn map(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    each_line(lines, |name, value| {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    });
    fields
}

/// A reply that holds its content.
fn reply(context: &Context, finished: Finished) -> Reply<'static> {
    let Finished { code, lines, content, dated, named } = finished;
    let source = match content {
        native::Content::Own(body) => Reply::content(context, lines.len(), Content::Gathered(body)),
        native::Content::Bytes(bytes) => {
            Reply::content(context, lines.len(), Content::Bytes(bytes))
        }
        native::Content::File(_, range) if range.is_empty() => Source::Nothing,
        native::Content::File(file, range) => {
            Source::File(Rc::new(OpenFile::remote(file.into())), range)
        }
        native::Content::Site(_) => Source::Nothing,
    };
    let length = Some(source.remaining());
    let without = matches!(code, 204 | 304);
    let given = Given { code, lines, length, dated, named, complete: false };
    let reply = Reply::given(&context.refusing(), given, source);
    if without { reply.head_only() } else { reply }
}

/// A native handler that waits.
struct Later {
    context: Rc<Context>,
    state: State,
    /// When the reply has to be there, in milliseconds on the worker's clock.
    until: Option<u64>,
    endpoint: Endpoint,
}

enum State {
    /// The reply is made. What was asked is kept for a file of the site, if there are any.
    Making(Late, Option<KeptAsked>),
    /// A file is looked up.
    Finding(Finding),
}

impl Later {
    fn failed(&self, what: &dyn std::fmt::Display) -> Failure {
        self.context.warn(&format_args!("{what} ({})", self.endpoint.name()));
        Failure { status: Status::InternalServerError, why: Why::ServerError }
    }
}

impl Responder for Later {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        _: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        let Self { context, state, until, endpoint } = self;
        if let State::Making(late, kept) = state {
            let waker = context.ring.waker();
            let mut cx = task::Context::from_waker(&waker);
            let live = context.occupancy.live();
            let watched = &context.applications.watched;
            let polled = watched.watch(endpoint, live, || late.poll(&mut cx));
            let finished = match polled {
                Poll::Pending => {
                    let Some(at) = *until else { return Poll::Pending };
                    ready!(context.ring.poll_until(at));
                    let (status, why) = (Status::ServiceUnavailable, Why::ServerTimeout);
                    return Poll::Ready(Err(Failure { status, why }));
                }
                Poll::Ready(Ok(finished)) => finished,
                Poll::Ready(Err(what)) => return Poll::Ready(Err(self.failed(&what))),
            };
            let native::Content::Site(path) = &finished.content else {
                let reply = reply(context, finished);
                return Poll::Ready(Ok(Answered::Whole(reply)));
            };
            let Some(kept) = kept.take() else {
                return Poll::Ready(
                    Err(self.failed(&"a handler names a file, and there are none")),
                );
            };
            let finding = Finding::new(context, kept, path.clone(), map(&finished.lines));
            *state = State::Finding(finding);
        }
        let State::Finding(finding) = state else {
            context.defect(&"a native handler has replied, and is still waited for");
            let (status, why) = (Status::InternalServerError, Why::ServerDefect);
            return Poll::Ready(Err(Failure { status, why }));
        };
        finding.poll(context, cx)
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        None
    }

    fn stages(&self) -> Stages {
        let waits = match self.state {
            State::Making(..) => Stage::Waiting,
            State::Finding(_) => Stage::Process,
        };
        Stages { works: Some(Stage::Handler), waits: Some(waits), ..Stages::default() }
    }

    fn report(&self) -> Report {
        Report { endpoint: self.endpoint, ..Report::NOTHING }
    }
}
