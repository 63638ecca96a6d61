//! The fields of a response as the client gets them.

use super::{hops::Options, hops::is_hop_by_hop, line};
use crate::parse::Fields;

/// Which of the fields that every response has are among those of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) date: bool,
    pub(crate) server: bool,
}

/// Appends the fields that go on to the client, as lines. `Content-Length` is not among them: the
/// protocol writes it from the framing that was found.
pub(crate) fn response_fields(out: &mut Vec<u8>, fields: Fields<'_, '_>) -> Present {
    let options = Options::of(&|visit| fields.iter().for_each(|(name, value)| visit(name, value)));
    let mut present = Present::default();
    for (name, value) in fields.iter() {
        let framing = name.eq_ignore_ascii_case("content-length");
        if framing || is_hop_by_hop(name) || options.name(name) {
            continue;
        }
        present.date |= name.eq_ignore_ascii_case("date");
        present.server |= name.eq_ignore_ascii_case("server");
        line(out, name, value);
    }
    present
}
