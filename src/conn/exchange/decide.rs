//! The decision on an answer, made as soon as every look-up that it depends on has ended.

use std::rc::Rc;

use super::{
    KeptAsked, Lookups, Reply, coded_page,
    lookups::{Want, What},
    streamed::Responder,
};
use crate::{
    config::{Fixed, Redirect, RedirectStatus},
    conn::{
        Context,
        client::Sender,
        guard::{Refused, Verification},
        sites::{Act, Served},
    },
    files::{FileEntry, FileStore, Wish},
    parse::Method,
    process::{
        answer::Answer,
        media_type::is_compressible,
        path::check_sound,
        redirect::{Places, location},
        site::{Asked, Decision, Fallback, Plan, Via},
    },
    respond::Status,
    ring::Elapsed,
    write::WriteError,
};

/// What a request gets. Made and taken apart within one poll.
#[allow(clippy::large_enum_variant, reason = "made and taken apart within one poll")]
pub(in crate::conn) enum Decided<'l> {
    /// This.
    Ready(Reply<'l>),
    /// That depends on what is not known yet: [`find_out`] looks it up.
    Wants(Want),
    /// What a pool's server or a service answers: its act is one of the two.
    Streamed(Rc<Served>),
    /// What this responder answers, under a route.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    Begun(Rc<Served>, Box<dyn Responder>),
}

impl std::fmt::Debug for Decided<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Wants(_) => "Wants",
            Self::Streamed(_) => "Streamed",
            Self::Begun(..) => "Begun",
        })
    }
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
    if asked.via == Via::Redirect {
        let served = context.refusing();
        let answer = match check_sound(asked.path) {
            Ok(()) => redirected(asked, &served.terms.to_https, 0),
            Err(error) => Answer::error(error.status()),
        };
        return Reply::new(context, &served, answer.to(asked.method)).map(Decided::Ready);
    }
    let served = lookups.route(context, asked.host, asked.path, asked.demand);
    let answer = match &served.act {
        Act::Files { store, .. } => return decide_file(context, asked, lookups, store, served),
        Act::Nothing(status) => nothing(asked, *status),
        // A pool says itself which paths it takes.
        Act::Redirect(_) | Act::Fixed(..) | Act::Ready | Act::Service(_)
            if let Err(error) = check_sound(asked.path) =>
        {
            Answer::error(error.status())
        }
        Act::Redirect(redirect) => redirected(asked, redirect, served.depth),
        Act::Ready if context.is_leaving() => Answer::error(Status::ServiceUnavailable),
        Act::Ready => Answer::fixed(Status::Ok, "text/plain; charset=utf-8", b"ready\n".to_vec()),
        Act::Fixed(fixed, status, forms) => {
            let answer = fixed_answer(fixed, *status);
            match fixed.text.as_deref().filter(|text| coded_page::varies(served, text.len())) {
                Some(text) if is_compressible(fixed.media_type.as_bytes()) => {
                    let coding = asked.coding_to_send(served.codings);
                    let coded = coded_page::kept(
                        context,
                        coding,
                        text.as_bytes(),
                        forms,
                        &lookups.compressing,
                    );
                    answer.coded(coding, coded.map(<[u8]>::to_vec))
                }
                _ => answer,
            }
        }
        Act::Proxy(_) | Act::Service(_) | Act::Missing(_) => {
            return Ok(Decided::Streamed(Rc::clone(served)));
        }
    };
    Reply::new(context, served, answer.to(asked.method)).map(Decided::Ready)
}

const SHORT: WriteError = WriteError::Defect("a path is shorter than that of its route");

/// Decides on what stands at a path of a folder.
fn decide_file<'l>(
    context: &Context,
    asked: &Asked<'_>,
    lookups: &'l Lookups,
    store: &FileStore,
    served: &Rc<Served>,
) -> Result<Decided<'l>, WriteError> {
    let wants = |what| {
        let served = Rc::clone(served);
        Ok(Decided::Wants(Want { what, served, verification: None }))
    };
    let decision = match asked.plan() {
        Plan::Decided(decision) => decision,
        Plan::Find(path) => {
            let entry = if let Some(entry) = lookups.entry.get() {
                entry
            } else {
                let Some(below) = path.below(served.prefix) else { return Err(SHORT) };
                match store.known(below) {
                    Some(entry) => lookups.entry.get_or_init(|| entry),
                    None => return wants(What::Path),
                }
            };
            served.site.decide(asked, &path, entry.found())
        }
    };
    let answer = match decision {
        Decision::Answer(answer) => answer,
        Decision::List => match lookups.listing.take() {
            Some(mut listed) => {
                // `listed` counts the page until the reply does.
                let mut answer = Answer::listing(std::mem::take(&mut listed.page));
                if listed.varies {
                    answer = answer.coded(listed.coding, listed.coded.take());
                }
                return Reply::new(context, served, answer.to(asked.method)).map(Decided::Ready);
            }
            None => return wants(What::Listing),
        },
        // The operator's page comes before the folder's.
        Decision::Fallback(Fallback::NotFoundPage)
            if served.error_page(Status::NotFound).is_some() =>
        {
            Answer::error(Status::NotFound).to(asked.method)
        }
        Decision::Fallback(fallback) => {
            let Some(entry) = lookups.fallback.get() else {
                return wants(What::Fallback(fallback));
            };
            served.site.fallback(asked, fallback, entry.file())
        }
    };
    if let Some((file, coding)) = answer.wanted {
        match store.want(file, coding) {
            Wish::Noted | Wish::Begun => {}
            Wish::Shed => {
                context.count(|counts| counts.compress_shed += 1);
                context.warn(&"a file is not compressed, since enough others wait for that");
            }
        }
    }
    Reply::new(context, served, answer).map(Decided::Ready)
}

/// What a request gets that no route is for. Methods are answered as they are for files.
fn nothing<'l>(asked: &Asked<'_>, status: Status) -> Answer<'l, FileEntry> {
    match asked.plan() {
        Plan::Decided(Decision::Answer(answer)) if status == Status::NotFound => answer,
        Plan::Decided(_) | Plan::Find(_) => Answer::error(status),
    }
}

fn redirected<'l>(asked: &Asked<'_>, to: &Redirect, depth: usize) -> Answer<'l, FileEntry> {
    let Asked { host, path, query, .. } = *asked;
    let status = match to.status {
        RedirectStatus::Moved => Status::MovedPermanently,
        RedirectStatus::Found => Status::Found,
        RedirectStatus::SeeOther => Status::SeeOther,
        RedirectStatus::Temporary => Status::TemporaryRedirect,
        RedirectStatus::Permanent => Status::PermanentRedirect,
    };
    match location(&to.to, &Places { host, path, depth, query }) {
        Some(location) => Answer::redirect(status, location),
        // The target names the host, and the request does not.
        None => Answer::error(Status::BadRequest),
    }
}

fn fixed_answer(fixed: &Fixed, status: Status) -> Answer<'_, FileEntry> {
    match &fixed.text {
        Some(text) => Answer::fixed(status, &fixed.media_type, text.clone().into_bytes()),
        None if status == Status::Ok => Answer::fixed(status, &fixed.media_type, Vec::new()),
        None => Answer::error(status),
    }
}

/// Has a request pass the guard of its route. `sender` is called only if the route has a guard, or if the log
/// has the client that a trusted proxy names.
///
/// # Errors
/// As [`decide`].
pub(in crate::conn) fn guard<'l, 's>(
    context: &Context,
    asked: &Asked<'_>,
    lookups: &'l Lookups,
    sender: impl FnOnce() -> Sender<'s>,
) -> Result<Passage<'l>, WriteError> {
    if asked.via == Via::Redirect {
        // For the log: a redirect has no guard.
        drop(sender());
        return Ok(Passage::Through(None));
    }
    let served = lookups.route(context, asked.host, asked.path, asked.demand);
    if served.guard.is_open() && served.terms.forwarded.is_none() {
        return Ok(Passage::Through(None));
    }
    match served.guard.pass(context, &sender()) {
        Ok(verification) if served.act.is_streamed() => Ok(Passage::Through(verification)),
        Ok(Some(verification)) => Ok(Passage::Wants(Want::verified(verification, served))),
        Ok(None) => Ok(Passage::Through(None)),
        Err(refused) => {
            let refusal = refusal(context, asked.method, served, refused)?;
            Ok(Passage::Refused(Box::new(refusal)))
        }
    }
}

/// What becomes of a request at the guard of its route.
pub(in crate::conn) enum Passage<'l> {
    /// It goes on; its responder, once these credentials are found right.
    Through(Option<Verification>),
    /// It goes on once its credentials are found right.
    Wants(Want),
    /// It does not: what its client gets.
    Refused(Box<Reply<'l>>),
}

/// What a request gets that does not pass its guard.
///
/// # Errors
/// As [`decide`].
pub(super) fn refusal<'l>(
    context: &Context,
    method: Method<'_>,
    served: &Rc<Served>,
    refused: Refused,
) -> Result<Reply<'l>, WriteError> {
    context.count(|counts| {
        counts.rate_limited += u64::from(refused.status == Status::TooManyRequests);
        counts.unauthorized += u64::from(refused.status == Status::Unauthorized);
    });
    let Refused { status, why, retry_after, challenge } = refused;
    let answer = Answer::error(status).retrying(retry_after).challenging(challenge);
    Reply::new(context, served, answer.to(method)).map(|reply| reply.because(why))
}

/// Looks up what the answer to a request depends on, `want` first, and decides it. What cannot be
/// looked up now is answered with 503.
pub(in crate::conn) async fn find_out<'l>(
    context: &Context,
    kept: KeptAsked,
    mut want: Want,
    lookups: &'l Lookups,
) -> Result<Reply<'l>, WriteError> {
    let interest = kept.interest();
    let asked = kept.asked(&interest);
    let served = lookups.served.get_or_init(|| Rc::clone(&want.served));
    if let Some(verification) = want.verification.take() {
        let limit = served.terms.timeouts.process;
        let refused = match context.ring.within(limit, verification).await {
            Ok(true) => None,
            Ok(false) => served.guard.auth.as_deref().map(Refused::unauthorized),
            Err(Elapsed) => Some(Refused::busy()),
        };
        if let Some(refused) = refused {
            return refusal(context, asked.method, served, refused);
        }
    }
    loop {
        if let Err(error) = lookups.fetch(&asked, &want).await {
            context.warn(&error);
            let answer = Answer::error(Status::ServiceUnavailable);
            return Reply::new(context, served, answer.to(asked.method));
        }
        lookups.encode_listing(context, &asked, served).await;
        match decide(context, &asked, lookups)? {
            Decided::Ready(reply) => return Ok(reply),
            Decided::Wants(next) => want = next,
            Decided::Streamed(_) | Decided::Begun(..) => {
                return Err(WriteError::Defect("a look-up for what is not in a folder"));
            }
        }
    }
}
