//! What HTTP/1.1 puts around an answer that is made while it is sent: its head, and lines of chunks.

use super::{head::Framing, reply, streamed::Delimited};
use crate::{
    conn::{
        Context,
        exchange::{Fields, StreamedHead},
        sites::Served,
    },
    observe::{RequestClock, ServerTiming},
    respond::{HeadFault, HeadWriter, forward::Present},
};

/// Writes the head of an answer into this room.
pub(super) fn write_head(
    context: &Context,
    served: &Served,
    room: &mut [u8],
    streamed: &StreamedHead,
    (delimited, persists, plain): (Delimited, bool, bool),
    framing: &Framing,
    request: &RequestClock,
) -> Result<usize, HeadFault> {
    let mut head = HeadWriter::of_code(room, streamed.status);
    let Served { site, terms, .. } = served;
    let found = match &streamed.fields {
        // As they are, if the operator wants all of them.
        Fields::Lines(lines) if !site.leaves_any_out() => {
            head.lines(lines);
            streamed.present
        }
        fields => {
            let mut found = Present::default();
            fields.each(|name, value| {
                if site.leaves_out(name) {
                    return;
                }
                found.date |= name.eq_ignore_ascii_case("date");
                found.server |= name.eq_ignore_ascii_case("server");
                head.field(name, value);
            });
            found
        }
    };
    let mut sink = reply::Sink { head: &mut head, plain };
    site.write_own_fields(streamed.status < 400, &mut sink);
    if !found.server {
        head.server();
    }
    if !found.date {
        head.date(&context.time.date());
    }
    match (delimited, streamed.length) {
        (Delimited::Length(length), _) => _ = head.field_u64("Content-Length", length),
        (Delimited::Empty, Some(length)) if framing.to_head && streamed.status != 304 => {
            head.field_u64("Content-Length", length);
        }
        (Delimited::Chunked, _) => _ = head.field("Transfer-Encoding", b"chunked"),
        (Delimited::Empty | Delimited::ByClose, _) => {}
    }
    if terms.server_timing {
        head.field("Server-Timing", ServerTiming::of(request).as_bytes());
    }
    if streamed.status == 101 {
        head.field("Connection", b"upgrade");
    } else if !persists {
        head.connection_close();
    } else if framing.says_keep_alive {
        head.connection_keep_alive();
    }
    head.finish()
}

/// The line before a chunk of so many bytes.
pub(super) fn size_line(size: usize, line: &mut [u8; 18]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1) as usize;
    for (at, digit) in line.iter_mut().take(digits).enumerate() {
        *digit = DIGITS[(size >> (4 * (digits - 1 - at))) & 15];
    }
    line[digits] = b'\r';
    line[digits + 1] = b'\n';
    &line[..digits + 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal_without_leading_zeros() {
        for size in [1, 9, 15, 16, 255, 256, 4096, 65_535, usize::MAX] {
            assert_eq!(size_line(size, &mut [0; 18]), format!("{size:x}\r\n").as_bytes());
        }
    }
}
