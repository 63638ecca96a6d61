//! The decision: what a request gets, given what stands at its path.
//!
//! It falls in two or three steps, so that it needs facts only and the caller that looks files up does
//! nothing else:
//!
//! 1. [`Asked::plan`] names the path to look up, or decides without.
//! 2. [`Site::decide`] takes what was found. It answers; or it wants the folder listed, whose page
//!    goes to [`Answer::listing`]; or it wants another file in the place of a missing one.
//! 3. [`Site::fallback`] answers with that file.
//!
//! The invariant: conditions are weighed only where the answer without them would be 200 (RFC 9110
//! section 13.2.1), ranges only for GET and only after the conditions (section 14.2), and both
//! against the representation that was chosen for this client.

use super::answer::{Answer, FieldSink};
use super::caching::{Caching, RuleNumber};
use super::conditional::{self, Outcome};
use super::facts::{File, FileFacts, Found};
use super::interest::{Interest, Single};
use super::media_type;
use super::multipart::{Boundaries, Multipart};
use super::negotiate::{self, Coding, Siblings, choose_to_stream};
use super::path::{self, SitePath};
use super::range::{self, Selection};
use super::validator::EntityTag;
use crate::config::Demand;
use crate::parse::Method;
use crate::respond::Status;

#[cfg(test)]
mod tests;

/// The site's own page for what is not found, in the served folder itself.
pub const NOT_FOUND_PAGE: &str = "404.html";

/// The field that rules on caching set.
const CACHE_CONTROL: &str = "Cache-Control";

/// What a request came in by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// TLS.
    #[default]
    Tls,
    /// A listener without TLS.
    Plain,
    /// A listener that sends all requests to HTTPS.
    Redirect,
}

/// A request, as far as its answer depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// What it came in by.
    pub via: Via,
    /// What its connection's handshake demanded of the client's certificate.
    pub demand: Demand,
    /// Its method.
    pub method: Method<'r>,
    /// The host that it is for, perhaps with a port, as it came. None, or empty, where it names none.
    pub host: Option<&'r [u8]>,
    /// The path of its target, as it came.
    pub path: &'r [u8],
    /// The query of its target, as it came, without the `?`.
    pub query: Option<&'r [u8]>,
    /// Its fields of interest.
    pub interest: &'r Interest<'r>,
    /// When it came: seconds since the epoch.
    pub now: i64,
}

/// What to do with a request.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made and taken apart within one poll")]
pub enum Plan<'r, F: 'static = FileFacts> {
    /// Look this path up.
    Find(SitePath<'r>),
    /// The path need not be looked up.
    Decided(Decision<'static, F>),
}

/// What a request gets.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made and taken apart within one poll")]
pub enum Decision<'f, F = FileFacts> {
    /// This answer.
    Answer(Answer<'f, F>),
    /// The listing of the folder.
    List,
    /// Another file, if it is there: look it up and ask [`Site::fallback`].
    Fallback(Fallback),
}

/// The file in the place of one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The one page of a single-page application.
    SinglePage,
    /// [`NOT_FOUND_PAGE`].
    NotFoundPage,
}

/// The coding that a client gets, and one that is worth making for it.
fn negotiated(asked: &Asked<'_>, facts: &FileFacts) -> (Coding, Option<Coding>) {
    let accept_encoding = &asked.interest.accept_encoding;
    if facts.offered().is_empty() {
        return (negotiate::choose(accept_encoding, facts.siblings()), None);
    }
    let there = facts.siblings().without(facts.made());
    negotiate::choose_or_make(accept_encoding, there, facts.made(), facts.offered())
}

/// The same, where the request may have begun with another representation: what was made of a file is
/// there from one request to the next, and gone again. A range is of the plain file, which the client
/// had got part of, unless `If-Range` names what was made; a condition that names the plain file's tag
/// and no other is weighed against the plain file.
fn selected(asked: &Asked<'_>, facts: &FileFacts) -> (Coding, Option<Coding>) {
    let (coding, wanted) = negotiated(asked, facts);
    if !facts.made().has(coding) {
        return (coding, wanted);
    }
    let interest = asked.interest;
    let tag = |coding| facts.representation(coding).validators.entity_tag;
    let names = |tag: EntityTag| {
        let conditions = [&interest.if_match, &interest.if_none_match];
        conditions.into_iter().any(|lines| conditional::names(lines, &tag))
    };
    let plain = match interest.range {
        Single::Absent => names(tag(Coding::Identity)) && !names(tag(coding)),
        Single::Once(_) | Single::Repeated => {
            interest.if_range.value().map(<[u8]>::trim_ascii) != Some(tag(coding).as_bytes())
        }
    };
    (if plain { Coding::Identity } else { coding }, wanted)
}

impl<'r> Asked<'r> {
    /// The coding that content is compressed with for this client before or while it is sent, among these.
    pub(crate) fn coding_to_send(&self, offered: Siblings) -> Coding {
        choose_to_stream(&self.interest.accept_encoding, offered)
    }

    /// The first step. `OPTIONS` is answered whatever its path, which may be `*`.
    pub fn plan<F: File>(&self) -> Plan<'r, F> {
        let answer = match self.method {
            Method::Get | Method::Head => match SitePath::resolve(self.path) {
                Ok(path) => return Plan::Find(path),
                Err(error) if error.status() == Status::NotFound => {
                    return Plan::Decided(Decision::Fallback(Fallback::NotFoundPage));
                }
                Err(error) => Answer::error(error.status()).to(self.method),
            },
            Method::Options => Answer::options(),
            // RFC 9110 section 9.1: 501 for a method that no resource here knows.
            Method::Other(_) => Answer::error(Status::NotImplemented),
            _ => Answer::error(Status::MethodNotAllowed),
        };
        Plan::Decided(Decision::Answer(answer))
    }

    fn slash_redirect<'f, F: File>(&self, path: &SitePath<'_>) -> Answer<'f, F> {
        let mut location = Vec::new();
        path::slash_redirect(path, self.query, &mut location);
        Answer::moved(location)
    }
}

/// How the folder is presented.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Whether a folder without an index file is listed.
    pub listing: bool,
    /// Whether a page stands in for every path that names no file.
    pub single_page: bool,
    /// What files have in `Cache-Control`, by path and type.
    pub(crate) caching: Caching,
    own_fields: Vec<OwnField>,
    /// Names of fields that the operator leaves out.
    left_out: Vec<Box<str>>,
    boundaries: Boundaries,
}

/// A field that the operator adds to responses.
#[derive(Clone, Debug)]
struct OwnField {
    name: Box<str>,
    value: Box<[u8]>,
    /// Whether it speaks of caching: meant for the site's files, and harmful on an error.
    caching: bool,
    /// Whether it stands for all fields of its name.
    replaces: bool,
}

impl Site {
    /// The same with a field on every response; one that governs caching goes only on responses
    /// about a file. The caller vouches that name and value are valid, and that the field is none
    /// that an [`Answer`] writes.
    #[must_use]
    pub fn with_field(self, name: &str, value: &[u8]) -> Self {
        self.with(name, value, false)
    }

    /// The same with a field that replaces others of its name; otherwise as [`Self::with_field`].
    #[must_use]
    pub fn with_replaced(self, name: &str, value: &[u8]) -> Self {
        self.with(name, value, true)
    }

    fn with(mut self, name: &str, value: &[u8], replaces: bool) -> Self {
        let caching = ["Cache-Control", "CDN-Cache-Control", "Expires", "Surrogate-Control"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        self.own_fields.push(OwnField {
            name: name.into(),
            value: value.into(),
            caching,
            replaces,
        });
        self
    }

    /// The same without fields of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.left_out.push(name.into());
        self
    }

    /// The second step: what stands at the path is known.
    pub fn decide<'f, F: File>(
        &self,
        asked: &Asked<'_>,
        path: &SitePath<'_>,
        found: Found<'f, F>,
    ) -> Decision<'f, F> {
        let answer = match found {
            Found::File(file) if !path.ends_in_slash() => self.file(asked, file),
            Found::Folder { index: Some(file) } if path.ends_in_slash() => self.file(asked, file),
            Found::Folder { index: None } if self.listing && path.ends_in_slash() => {
                return Decision::List;
            }
            Found::Folder { index } if index.is_some() || self.listing => {
                asked.slash_redirect(path)
            }
            Found::Forbidden => Answer::error(Status::Forbidden),
            Found::File(_) | Found::Folder { .. } | Found::Missing => {
                return Decision::Fallback(self.fallback_for(path));
            }
        };
        Decision::Answer(answer.to(asked.method))
    }

    /// The third step: the fallback was looked up and is there or not.
    pub fn fallback<'f, F: File>(
        &self,
        asked: &Asked<'_>,
        fallback: Fallback,
        file: Option<&'f F>,
    ) -> Answer<'f, F> {
        let answer = match (fallback, file) {
            (Fallback::SinglePage, Some(file)) => self.file(asked, file),
            (Fallback::NotFoundPage, Some(file)) => {
                let (coding, wanted) = negotiated(asked, file.facts());
                Answer::not_found(file, coding).wanting(file, wanted)
            }
            (_, None) => Answer::error(Status::NotFound),
        };
        answer.to(asked.method)
    }

    /// Which file stands in for what is not at a path. A script, a picture or another file of a
    /// known type that is not a page is missed better than mistaken for the application's page.
    fn fallback_for(&self, path: &SitePath<'_>) -> Fallback {
        let is_page =
            media_type::known(path.file_name()).is_none_or(|known| known == media_type::HTML);
        if self.single_page && is_page { Fallback::SinglePage } else { Fallback::NotFoundPage }
    }

    /// The answer of a file that is there.
    fn file<'f, F: File>(&self, asked: &Asked<'_>, file: &'f F) -> Answer<'f, F> {
        let rule = self.caching.choose(asked.path, file.facts().media_type());
        let mut answer = self.content(asked, file);
        answer.cached_by(rule);
        answer
    }

    /// The same without a rule on caching.
    fn content<'f, F: File>(&self, asked: &Asked<'_>, file: &'f F) -> Answer<'f, F> {
        let facts = file.facts();
        let Asked { method, interest, now, .. } = *asked;
        let (coding, wanted) = selected(asked, facts);
        let representation = facts.representation(coding);
        let validators = &representation.validators;
        match conditional::evaluate(interest, validators, now) {
            Outcome::Proceed => {}
            Outcome::NotModified => {
                return Answer::not_modified(file, coding, interest.if_none_match.is_empty(), now);
            }
            Outcome::PreconditionFailed => {
                return Answer::error(Status::PreconditionFailed).varying(facts.varies());
            }
        }
        let range = match interest.range.value() {
            Some(range)
                if method == Method::Get
                    && conditional::range_applies(interest, validators, now) =>
            {
                range
            }
            _ => return Answer::whole(file, coding, now).wanting(file, wanted),
        };
        match range::select(range, representation.length) {
            Selection::Whole => Answer::whole(file, coding, now),
            Selection::Unsatisfiable => {
                Answer::unsatisfiable(representation.length).varying(facts.varies())
            }
            Selection::Part(ranges) => {
                if let &[range] = ranges.as_slice() {
                    return Answer::slice(file, coding, range, now);
                }
                let multipart = Multipart::new(
                    ranges,
                    facts.media_type(),
                    representation.length,
                    &self.boundaries,
                    validators.entity_tag.as_bytes(),
                    now,
                );
                Answer::parts(file, coding, multipart, now)
            }
        }
    }

    /// Whether the operator sets this field or leaves it out.
    pub(super) fn rules(&self, name: &str) -> bool {
        self.own_fields.iter().any(|field| field.name.eq_ignore_ascii_case(name))
            || self.leaves_out(name)
    }

    /// Whether a field of this name from elsewhere is left out, since the operator's stands for it
    /// or none is wanted.
    pub fn drops(&self, name: &str) -> bool {
        self.own_fields.iter().any(|field| field.replaces && field.name.eq_ignore_ascii_case(name))
            || self.leaves_out(name)
    }

    /// Whether the operator wants answers without this field, or with a value of the operator's.
    pub(crate) fn leaves_out(&self, name: &str) -> bool {
        self.left_out.iter().any(|left_out| left_out.eq_ignore_ascii_case(name))
    }

    /// Whether there is any such field.
    pub(crate) fn leaves_any_out(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Writes the operator's fields; those on caching only if `cacheable`.
    pub fn write_own_fields(&self, cacheable: bool, sink: &mut impl FieldSink) {
        self.write_fields_cached(cacheable, None, sink);
    }

    /// The same with a rule on caching, which stands for other lines of `Cache-Control`.
    pub(super) fn write_fields_cached(
        &self,
        cacheable: bool,
        rule: Option<RuleNumber>,
        sink: &mut impl FieldSink,
    ) {
        let ruled = rule.and_then(|rule| self.caching.value(rule));
        for field in &self.own_fields {
            let replaced = ruled.is_some() && field.name.eq_ignore_ascii_case(CACHE_CONTROL);
            if (cacheable || !field.caching) && !replaced {
                sink.field(&field.name, &field.value);
            }
        }
        if let Some(value) = ruled {
            sink.field(CACHE_CONTROL, value);
        }
    }
}
