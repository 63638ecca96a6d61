//! The decision, as soon as what it needs is known.

use super::{KeptAsked, Lookups, Reply, lookups::Want};
use crate::{
    conn::Context,
    process::{
        answer::Answer,
        site::{Asked, Decision, Plan},
    },
    respond::Status,
    write::WriteError,
};

/// What a request gets. Made and taken apart within one poll.
#[derive(Debug)]
pub(in crate::conn) enum Decided<'l> {
    /// This.
    Ready(Reply<'l>),
    /// That depends on what is not known yet: [`find_out`] looks it up.
    Wants(Want),
}

/// Decides a request's answer, if all that it depends on is known.
///
/// # Errors
/// [`WriteError::Defect`]: what the answer promises cannot be sent, and the connection, or the
/// stream, is to be reset.
pub(in crate::conn) fn decide<'l>(
    context: &Context,
    asked: &Asked<'_>,
    lookups: &'l Lookups,
) -> Result<Decided<'l>, WriteError> {
    let decision = match asked.plan() {
        Plan::Decided(decision) => decision,
        Plan::Find(path) => {
            let entry = match lookups.entry.get() {
                Some(entry) => entry,
                None => match context.files.known(path.as_bytes()) {
                    Some(entry) => lookups.entry.get_or_init(|| entry),
                    None => return Ok(Decided::Wants(Want::Path)),
                },
            };
            context.site.decide(asked, &path, entry.found())
        }
    };
    let answer = match decision {
        Decision::Answer(answer) => answer,
        Decision::List => match lookups.listing.take() {
            Some(mut listed) => {
                // `listed` counts the page until the reply does.
                let answer = Answer::listing(std::mem::take(&mut listed.page));
                return Reply::new(context, answer.to(asked.method)).map(Decided::Ready);
            }
            None => return Ok(Decided::Wants(Want::Listing)),
        },
        Decision::StandIn(stand_in) => {
            let Some(entry) = lookups.stand_in.get() else {
                return Ok(Decided::Wants(Want::StandIn(stand_in)));
            };
            context.site.stand_in(asked, stand_in, entry.file())
        }
    };
    Reply::new(context, answer).map(Decided::Ready)
}

/// Looks up what the answer to a request depends on, `want` first, and decides it. What cannot be
/// looked up now is answered with 503.
pub(in crate::conn) async fn find_out<'l>(
    context: &Context,
    kept: KeptAsked,
    mut want: Want,
    lookups: &'l Lookups,
) -> Result<Reply<'l>, WriteError> {
    let asked = kept.asked();
    loop {
        if let Err(error) = lookups.fetch(context, &asked, want).await {
            context.warn(&error);
            let answer = Answer::error(Status::ServiceUnavailable);
            return Reply::new(context, answer.to(asked.method));
        }
        match decide(context, &asked, lookups)? {
            Decided::Ready(reply) => return Ok(reply),
            Decided::Wants(next) => want = next,
        }
    }
}
