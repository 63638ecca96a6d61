//! From the bytes of a head to its answer, in one pass if what it asks for is known.
//!
//! The head is parsed where it lies and stays borrowed; nothing of it is carried across a wait.
//! If something has to be looked up first, the same bytes are parsed again afterwards.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use crate::{
    conn::Context,
    files::{Entry, FileEntry, Listed, LookupError},
    observe::{RequestClock, Stage},
    parse::{BodyLength, FieldStorage, Method, RequestHead, Target, Version, request_head},
    process::{
        answer::Answer,
        interest::Interest,
        path::SitePath,
        site::{self, Asked, Decision, NOT_FOUND_PAGE, Plan, StandIn},
    },
    respond::Status,
};

/// What is known of a request apart from what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// Bytes of its head.
    pub(super) head: usize,
    /// How its content ends.
    pub(super) body: BodyLength,
    /// The client waits for 100 before it sends its content.
    pub(super) expects_continue: bool,
    /// The client lets the connection go on.
    pub(super) persistent: bool,
    /// It must be told so: it speaks HTTP/1.0.
    pub(super) says_keep_alive: bool,
}

impl Framing {
    fn of(head: &RequestHead<'_, '_>) -> Self {
        Self {
            head: head.length,
            body: head.body,
            expects_continue: head.expect_continue,
            persistent: head.persistent,
            says_keep_alive: head.persistent && head.version == Version::Http10,
        }
    }

    pub(super) fn has_body(&self) -> bool {
        !matches!(self.body, BodyLength::None | BodyLength::Length(0))
    }
}

/// What was looked up for one request so far.
#[derive(Default)]
pub(super) struct Lookups {
    entry: OnceCell<Rc<Entry>>,
    /// The file in the place of a missing one.
    stand_in: OnceCell<Rc<Entry>>,
    listing: Cell<Option<Box<Listed>>>,
}

/// What has to be looked up before there is an answer.
pub(super) enum Want {
    Path(Box<[u8]>),
    StandIn(StandIn),
    /// The listing of the folder at this path, as it came.
    Listing(Box<[u8]>),
}

/// What the bytes at hand amount to. Made and taken apart within one poll: its size is that of the
/// answer, which would have to be somewhere anyway.
pub(super) enum Examined<'l> {
    Incomplete,
    Refused(Status),
    Wants(Want),
    Ready {
        framing: Framing,
        answer: Answer<'l>,
        /// The file whose content the answer carries, if it carries one's.
        file: Option<&'l FileEntry>,
    },
}

/// Parses a head and decides its answer.
pub(super) fn examine<'l>(
    context: &Context,
    bytes: &[u8],
    lookups: &'l Lookups,
    clock: &mut RequestClock,
) -> Examined<'l> {
    let mut storage = FieldStorage::new();
    let head = match request_head(bytes, &mut storage, &context.head_limits) {
        Ok(Some(head)) => head,
        Ok(None) => return Examined::Incomplete,
        Err(error) => {
            log::debug!("parse: {error}");
            return Examined::Refused(error.status());
        }
    };
    clock.enter(Stage::Decode);
    let (path, query) = match head.target {
        Target::Origin { path, query } | Target::Absolute { path, query, .. } => (path, query),
        Target::Asterisk | Target::Authority(_) => (&b"*"[..], None),
    };
    let asked = Asked {
        method: match head.method {
            Method::Get => site::Method::Get,
            Method::Head => site::Method::Head,
            Method::Options => site::Method::Options,
            // RFC 9110 section 9.1: 501 for a method that no resource here knows.
            Method::Other(_) => return Examined::Refused(Status::NotImplemented),
            _ => site::Method::Other,
        },
        path,
        query,
        interest: Interest::collect(head.fields.iter()),
        now: context.unix_seconds() as i64,
    };
    let framing = Framing::of(&head);
    decide(context, &asked, framing, lookups)
}

fn decide<'l>(
    context: &Context,
    asked: &Asked<'_>,
    framing: Framing,
    lookups: &'l Lookups,
) -> Examined<'l> {
    let mut file = None;
    let decision = match asked.plan() {
        Plan::Decided(decision) => decision,
        Plan::Find(path) => {
            let entry = match lookups.entry.get() {
                Some(entry) => entry,
                None => match context.files.known(path.as_bytes()) {
                    Some(entry) => lookups.entry.get_or_init(|| entry),
                    None => return Examined::Wants(Want::Path(path.as_bytes().into())),
                },
            };
            file = entry.file();
            context.site.decide(asked, &path, entry.found())
        }
    };
    let answer = match decision {
        Decision::Answer(answer) => answer,
        Decision::List => match lookups.listing.take() {
            Some(mut listed) => {
                let page = std::mem::take(&mut listed.page);
                // It counts until it was sent.
                lookups.listing.set(Some(listed));
                Answer::listing(page).to(asked.method)
            }
            None => return Examined::Wants(Want::Listing(asked.path.into())),
        },
        Decision::StandIn(stand_in) => {
            let Some(entry) = lookups.stand_in.get() else {
                return Examined::Wants(Want::StandIn(stand_in));
            };
            file = entry.file();
            context.site.stand_in(asked, stand_in, file.map(|file| &file.facts))
        }
    };
    Examined::Ready { framing, answer, file }
}

impl Lookups {
    /// Looks up what is wanted; then the request is to be examined again.
    pub(super) async fn fetch(&self, context: &Context, want: Want) -> Result<(), LookupError> {
        match want {
            Want::Path(path) => {
                let entry = context.files.find(&path).await?;
                let _ = self.entry.set(entry);
            }
            Want::StandIn(stand_in) => {
                let entry = context.files.find(stand_in_path(context, stand_in)).await?;
                let _ = self.stand_in.set(entry);
            }
            Want::Listing(path) => {
                if let Ok(path) = SitePath::resolve(&path) {
                    self.listing.set(Some(context.files.list(&path).await?));
                }
            }
        }
        Ok(())
    }
}

fn stand_in_path(context: &Context, stand_in: StandIn) -> &[u8] {
    match (stand_in, &context.config.site.spa) {
        (StandIn::SinglePage, Some(page)) => page.as_os_str().as_encoded_bytes(),
        _ => NOT_FOUND_PAGE.as_bytes(),
    }
}
