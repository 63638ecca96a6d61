//! The fields of a response as the client gets them.

use super::{hops::Options, hops::is_hop_by_hop, line};
use crate::parse::Fields;

/// Appends the fields that go on to the client, as lines. `Content-Length` is not among them: the
/// protocol writes it from the framing that was found.
pub(crate) fn response_fields(out: &mut Vec<u8>, fields: Fields<'_, '_>) {
    let options = Options::of(&|visit| fields.iter().for_each(|(name, value)| visit(name, value)));
    for (name, value) in fields.iter() {
        let framing = name.eq_ignore_ascii_case("content-length");
        if !framing && !is_hop_by_hop(name) && !options.name(name) {
            line(out, name, value);
        }
    }
}
