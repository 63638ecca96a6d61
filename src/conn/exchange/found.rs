//! Files as answers of handlers: looked up by a responder, then sent as any file.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, ready},
};

use http::HeaderMap;

use super::{
    Decided, KeptAsked, Lookups, Reply, decide, find_out,
    streamed::{Answered, Failure, Intake, Report, Responder, ResponseContent, Stages},
};
use crate::{
    conn::{Context, sites::Act},
    observe::Why,
    parse::Method,
    process::site::Asked,
    respond::Status,
    write::WriteError,
};

/// A file that is looked up. Its deadline is that of [`find_out`].
pub(super) struct Finding(Pin<Box<dyn Future<Output = Result<Reply<'static>, WriteError>>>>);

impl Finding {
    /// Looks up what files of the site have at `path` for a request, and adds fields to that answer.
    pub(super) fn new(
        context: &Rc<Context>,
        kept: KeptAsked,
        path: Vec<u8>,
        more: HeaderMap,
    ) -> Self {
        let context = Rc::clone(context);
        Self(Box::pin(async move {
            let lookups = Lookups::default();
            let interest = kept.interest();
            let asked = for_file(&kept.asked(&interest), &path);
            let reply = match among_files(&context, &asked, &lookups)? {
                Decided::Ready(reply) => reply,
                Decided::Wants(want) => {
                    find_out(&context, KeptAsked::new(&asked), want, &lookups).await?
                }
                Decided::Streamed(_) | Decided::Begun(..) => return Err(NO_FILE),
            };
            Ok(reply.with_fields(&more))
        }))
    }

    /// Polls for the answer.
    pub(super) fn poll(
        &mut self,
        context: &Context,
        cx: &mut task::Context<'_>,
    ) -> Poll<Result<Answered, Failure>> {
        Poll::Ready(match ready!(self.0.as_mut().poll(cx)) {
            Ok(reply) => Ok(Answered::Whole(reply)),
            Err(error) => {
                context.defect(&error);
                let status = Status::InternalServerError;
                Err(Failure { status, why: Why::ServerDefect })
            }
        })
    }
}

/// What is asked of the file at `path` in the place of a request. A handler may answer any method with a
/// file.
pub(super) fn for_file<'r>(asked: &Asked<'r>, path: &'r [u8]) -> Asked<'r> {
    let method = if asked.method == Method::Head { Method::Head } else { Method::Get };
    Asked { path, query: None, method, ..*asked }
}

const NO_FILE: WriteError = WriteError::Defect("a file of the site is answered by no file");

/// Decides what the files of the site have for a request, whatever else answers at its path.
pub(super) fn among_files<'l>(
    context: &Context,
    asked: &Asked<'_>,
    lookups: &'l Lookups,
) -> Result<Decided<'l>, WriteError> {
    let served = lookups.served.get_or_init(|| context.choose_files(asked.host, asked.path));
    if !matches!(served.act, Act::Files { .. }) {
        context.warn(&"a handler answers with a file of the site, which has none at that path");
    }
    decide(context, asked, lookups)
}

/// A file that was looked up for a native handler.
pub(super) struct Found {
    pub(super) context: Rc<Context>,
    pub(super) finding: Finding,
}

impl Responder for Found {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        _: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        self.finding.poll(&self.context, cx)
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        None
    }

    fn stages(&self) -> Stages {
        Stages::default()
    }

    fn report(&self) -> Report {
        Report::NOTHING
    }
}
