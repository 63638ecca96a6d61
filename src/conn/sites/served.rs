//! What a request takes: a route with what it needs on this worker.

use std::{cell::OnceCell, rc::Rc, sync::Arc};

use super::{ErrorPage, Terms};
use crate::{
    config::{FieldLine, FieldRules, Fixed, Redirect, Route, ServiceId},
    conn::guard::Guard,
    files::FileStore,
    process::{
        caching::Caching,
        negotiate::{Coding, Siblings},
        site::Site,
    },
    respond::Status,
    upstream::Pool,
};

/// What is done for the requests of a route.
#[derive(Debug)]
pub(in crate::conn) enum Act {
    /// A file is looked up.
    Files {
        /// The folder.
        store: Rc<FileStore>,
        /// The page that stands in for what is missing.
        spa: Option<Box<[u8]>>,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// Always the same answer, with this status, and its content as it was compressed.
    Fixed(Fixed, Status, CodedForms),
    /// Whether the server wants requests.
    Ready,
    /// A server of this pool answers.
    Proxy(Rc<Pool>),
    /// A service of the embedding program answers.
    #[cfg_attr(not(feature = "service"), allow(dead_code, reason = "there are no services"))]
    Service(ServiceId),
    /// What the route names is not there: a defect.
    Missing(&'static str),
    /// There is no route: an error with this status.
    Nothing(Status),
}

/// Coded forms of a content that never changes, each made when it is asked for first.
#[derive(Debug, Default)]
pub(in crate::conn) struct CodedForms([OnceCell<Box<[u8]>>; Coding::SIBLINGS.len()]);

impl CodedForms {
    /// Where the form in this coding stands. None: the plain content is no such form.
    pub(in crate::conn) fn of(&self, coding: Coding) -> Option<&OnceCell<Box<[u8]>>> {
        let place = Coding::SIBLINGS.iter().position(|sibling| *sibling == coding)?;
        self.0.get(place)
    }
}

impl Act {
    /// Whether a responder does it.
    pub(in crate::conn) fn is_streamed(&self) -> bool {
        matches!(self, Self::Proxy(_) | Self::Service(_))
    }
}

/// A route as a worker serves it.
#[derive(Debug)]
pub(in crate::conn) struct Served {
    /// What is done.
    pub(in crate::conn) act: Act,
    /// What requests have to pass first.
    pub(in crate::conn) guard: Guard,
    /// How files are presented, and the operator's fields.
    pub(in crate::conn) site: Site,
    /// Codings that its answers are compressed with while they are sent.
    pub(in crate::conn) codings: Siblings,
    /// Segments of the route's path.
    pub(in crate::conn) depth: usize,
    /// Bytes of the route's path at the front of a resolved one.
    pub(in crate::conn) prefix: usize,
    /// Bytes that the operator's field lines take in a head.
    pub(in crate::conn) own_fields_len: usize,
    /// The bounds of its configuration.
    pub(in crate::conn) terms: Rc<Terms>,
    /// The operator's pages of errors, by status.
    errors: Vec<(u16, Arc<ErrorPage>)>,
}

impl Served {
    /// What no route is for, under these rules.
    pub(super) fn nothing(status: Status, rules: &FieldRules, terms: &Rc<Terms>) -> Self {
        Self {
            act: Act::Nothing(status),
            guard: Guard::default(),
            site: presented(rules),
            codings: Siblings::default(),
            depth: 0,
            prefix: 0,
            own_fields_len: rules.lines().map(FieldLine::wire_bytes).sum(),
            terms: Rc::clone(terms),
            errors: Vec::new(),
        }
    }

    /// The same with pages of errors.
    pub(super) fn with_errors(mut self, errors: Vec<(u16, Arc<ErrorPage>)>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with answers that are compressed by these codings.
    pub(super) fn compressed_by(mut self, codings: Siblings) -> Self {
        self.codings = codings;
        self
    }

    /// The operator's page of an error, if there is one.
    pub(in crate::conn) fn error_page(&self, status: Status) -> Option<&ErrorPage> {
        let found = self.errors.iter().find(|(of, _)| *of == status.code());
        found.map(|(_, page)| &**page)
    }

    /// A route with its act, under these rules, which are the site's and the route's.
    pub(super) fn new(
        route: &Route,
        act: Act,
        guard: Guard,
        rules: &FieldRules,
        terms: &Rc<Terms>,
    ) -> Self {
        let mut site = presented(rules);
        if let Some(files) = route.action.files() {
            site.listing = files.listing;
            site.single_page = files.spa.is_some();
        }
        site.caching = Caching::new(&route.caching);
        let own_fields_len = rules.lines().map(FieldLine::wire_bytes).sum::<usize>();
        let own_fields_len = own_fields_len + site.caching.longest_line();
        let segments = route.path.segments();
        let letters: usize = segments.iter().map(String::len).sum();
        Self {
            act,
            guard,
            site,
            codings: Siblings::default(),
            depth: segments.len(),
            prefix: letters + segments.len().saturating_sub(1),
            own_fields_len,
            terms: Rc::clone(terms),
            errors: Vec::new(),
        }
    }
}

fn presented(rules: &FieldRules) -> Site {
    let mut site = Site::default();
    for name in &rules.remove {
        site = site.without(name);
    }
    for line in &rules.set {
        site = site.with_replaced(line.name(), line.value().as_bytes());
    }
    for line in &rules.add {
        site = site.with_field(line.name(), line.value().as_bytes());
    }
    site
}
