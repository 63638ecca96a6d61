//! What has to be looked up for an answer, and what was.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use crate::{
    conn::Context,
    files::{Entry, Listed, LookupError},
    process::{
        listing::After,
        path::SitePath,
        site::{Asked, NOT_FOUND_PAGE, StandIn},
    },
};

/// What was looked up for one request so far. A [`Reply`](super::Reply) takes its fields from here.
#[derive(Default)]
pub(in crate::conn) struct Lookups {
    pub(super) entry: OnceCell<Rc<Entry>>,
    /// The file in the place of a missing one.
    pub(super) stand_in: OnceCell<Rc<Entry>>,
    pub(super) listing: Cell<Option<Box<Listed>>>,
}

/// What has to be looked up before there is an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) enum Want {
    /// What stands at the path that is asked for.
    Path,
    /// The file in the place of a missing one.
    StandIn(StandIn),
    /// The listing of the folder that is asked for.
    Listing,
}

impl Lookups {
    /// Looks up what is wanted for this request.
    pub(super) async fn fetch(
        &self,
        context: &Context,
        asked: &Asked<'_>,
        want: Want,
    ) -> Result<(), LookupError> {
        match want {
            Want::Path => {
                if let Ok(path) = SitePath::resolve(asked.path) {
                    let entry = context.files.find(path.as_bytes()).await?;
                    let _ = self.entry.set(entry);
                }
            }
            Want::StandIn(stand_in) => {
                let entry = context.files.find(stand_in_path(context, stand_in)).await?;
                let _ = self.stand_in.set(entry);
            }
            Want::Listing => {
                if let Ok(path) = SitePath::resolve(asked.path) {
                    self.listing
                        .set(Some(context.files.list(&path, After::of(asked.query)).await?));
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
