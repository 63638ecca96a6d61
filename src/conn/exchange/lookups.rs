//! What has to be looked up for an answer, and what was.

use std::{
    cell::{Cell, OnceCell},
    io,
    rc::Rc,
};

use super::coded_page;
use crate::{
    config::Demand,
    conn::{
        Context,
        guard::Verification,
        sites::{Act, Served},
    },
    files::{Entry, FileStore, Listed, LookupError},
    observe::defect,
    process::{
        listing::After,
        negotiate::Coding,
        path::SitePath,
        site::{Asked, Fallback, NOT_FOUND_PAGE},
    },
};

/// What was looked up for one request so far. A [`Reply`](super::Reply) takes its fields from here.
#[derive(Default)]
pub(in crate::conn) struct Lookups {
    /// The route that the request takes.
    pub(super) served: OnceCell<Rc<Served>>,
    pub(super) entry: OnceCell<Rc<Entry>>,
    /// The file in the place of a missing one.
    pub(super) fallback: OnceCell<Rc<Entry>>,
    pub(super) listing: Cell<Option<Box<Listed>>>,
    /// Nanoseconds that went into compressing the answer.
    pub(super) compressing: Cell<u64>,
}

/// What has to be looked up before there is an answer, and for which route.
#[derive(Debug)]
pub(in crate::conn) struct Want {
    pub(super) what: What,
    pub(super) served: Rc<Served>,
    /// Credentials that have to be found right before.
    pub(super) verification: Option<Verification>,
}

impl Want {
    /// An answer is decided once these credentials are found right.
    pub(in crate::conn) fn verified(verification: Verification, served: &Rc<Served>) -> Self {
        let (what, served) = (What::Credentials, Rc::clone(served));
        Self { what, served, verification: Some(verification) }
    }
}

/// What has to be looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Nothing but whether the credentials are right.
    Credentials,
    /// What stands at the path that is asked for.
    Path,
    /// The file in the place of a missing one.
    Fallback(Fallback),
    /// The listing of the folder that is asked for.
    Listing,
}

/// The path below the folder of the route.
fn below<'p>(path: &'p SitePath<'_>, want: &Want) -> Result<&'p [u8], LookupError> {
    let below = path.below(want.served.prefix);
    below.ok_or_else(|| LookupError::Io(io::Error::other("a path is shorter than its route's")))
}

impl Lookups {
    /// The route of a request. The choice is made once, whatever the worker serves by the time that a
    /// look-up ends.
    pub(in crate::conn) fn route(
        &self,
        context: &Context,
        host: Option<&[u8]>,
        path: &[u8],
        demand: Demand,
    ) -> &Rc<Served> {
        self.served.get_or_init(|| context.choose(host, path, demand))
    }

    /// Nanoseconds that went into compressing the answer.
    pub(in crate::conn) fn compressing(&self) -> u64 {
        self.compressing.get()
    }

    /// Looks up what is wanted for this request.
    pub(super) async fn fetch(&self, asked: &Asked<'_>, want: &Want) -> Result<(), LookupError> {
        let Act::Files { store, spa } = &want.served.act else { return Ok(()) };
        match want.what {
            What::Credentials => {}
            What::Path => {
                if let Ok(path) = SitePath::resolve(asked.path) {
                    let entry = store.find(below(&path, want)?).await?;
                    keep(&self.entry, entry);
                }
            }
            What::Fallback(fallback) => {
                let page = match (fallback, spa) {
                    (Fallback::SinglePage, Some(page)) => &**page,
                    _ => NOT_FOUND_PAGE.as_bytes(),
                };
                keep(&self.fallback, store.find(page).await?);
            }
            What::Listing => self.list(asked, want, store).await?,
        }
        Ok(())
    }

    /// Compresses the listing that was looked up, if the route and the client say so.
    pub(super) async fn encode_listing(
        &self,
        context: &Context,
        asked: &Asked<'_>,
        served: &Served,
    ) {
        let Some(mut listed) = self.listing.take() else { return };
        listed.varies = coded_page::varies(served, listed.page.len());
        if listed.varies {
            listed.coding = asked.coding_to_send(served.codings);
            if listed.coding != Coding::Identity {
                let page = listed.page.as_bytes();
                listed.coded =
                    coded_page::encode(context, listed.coding, page, &self.compressing).await;
            }
        }
        self.listing.set(Some(listed));
    }

    async fn list(
        &self,
        asked: &Asked<'_>,
        want: &Want,
        store: &FileStore,
    ) -> Result<(), LookupError> {
        if let Ok(path) = SitePath::resolve(asked.path) {
            let listed = store.list(&path, below(&path, want)?, After::of(asked.query)).await?;
            self.listing.set(Some(listed));
        }
        Ok(())
    }
}

/// Keeps what was found. Each thing is looked up once for a request; the first find stays.
fn keep<T>(place: &OnceCell<T>, found: T) {
    if place.set(found).is_err() {
        defect("a request has looked up the same thing twice");
    }
}
