//! Control frames as arrays, and the heads of DATA (RFC 9113 section 6).

use crate::parse::h2::{ErrorCode, FRAME_HEAD, Flags, FrameHead, Kind};

/// 100 (Continue) as a HEADERS frame (RFC 9110 section 15.2.1). With `empties_table` its block begins
/// with a size update.
pub(crate) fn continue_100(stream: u32, empties_table: bool) -> Vec<u8> {
    // `:status` with a literal value, not indexed.
    const BLOCK: [u8; 6] = [crate::hpack::EMPTY_TABLE, 0x08, 3, b'1', b'0', b'0'];
    let block = if empties_table { &BLOCK[..] } else { &BLOCK[1..] };
    let flags = Flags::END_HEADERS;
    let head = FrameHead { length: block.len() as u32, kind: Kind::Headers, flags, stream };
    [&head.bytes(), block].concat()
}

/// The head of a DATA frame.
#[inline]
pub(crate) const fn data(stream: u32, length: u32, end_stream: bool) -> [u8; FRAME_HEAD] {
    let flags = if end_stream { Flags::END_STREAM } else { Flags(0) };
    FrameHead { length, kind: Kind::Data, flags, stream }.bytes()
}

/// Our SETTINGS: all that differ from the defaults (RFC 9113 section 6.5.2, RFC 9218 section 2.1,
/// RFC 8441 section 3).
pub(crate) fn settings(max_streams: u32, max_header_list: u32, connect_protocol: bool) -> Vec<u8> {
    // MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, NO_RFC7540_PRIORITIES, ENABLE_CONNECT_PROTOCOL.
    let values: [(u16, u32); 4] = [(0x3, max_streams), (0x6, max_header_list), (0x9, 1), (0x8, 1)];
    let count = if connect_protocol { values.len() } else { values.len() - 1 };
    let length = 6 * count as u32;
    let head = FrameHead { length, kind: Kind::Settings, flags: Flags(0), stream: 0 };
    let mut bytes = head.bytes().to_vec();
    for (name, value) in values.into_iter().take(count) {
        bytes.extend_from_slice(&name.to_be_bytes());
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// The acknowledgement of the peer's SETTINGS.
pub(crate) const fn settings_ack() -> [u8; FRAME_HEAD] {
    FrameHead { length: 0, kind: Kind::Settings, flags: Flags::ACK, stream: 0 }.bytes()
}

/// PING with our payload.
pub(crate) const fn ping(payload: [u8; 8]) -> [u8; FRAME_HEAD + 8] {
    with_eight(Kind::Ping, Flags(0), payload)
}

/// The answer to a PING with this payload.
pub(crate) const fn ping_ack(payload: [u8; 8]) -> [u8; FRAME_HEAD + 8] {
    with_eight(Kind::Ping, Flags::ACK, payload)
}

/// RST_STREAM.
pub(crate) const fn rst_stream(stream: u32, code: ErrorCode) -> [u8; FRAME_HEAD + 4] {
    with_four(Kind::RstStream, stream, code.number())
}

/// WINDOW_UPDATE for a stream, or for the connection as stream 0.
pub(crate) const fn window_update(stream: u32, increment: u32) -> [u8; FRAME_HEAD + 4] {
    with_four(Kind::WindowUpdate, stream, increment)
}

/// GOAWAY without its debug data, which must follow.
pub(crate) const fn go_away(last: u32, code: ErrorCode, debug: &str) -> [u8; FRAME_HEAD + 8] {
    let length = (8 + debug.len()) as u32;
    let payload = (last as u64) << 32 | code.number() as u64;
    let head = FrameHead { length, kind: Kind::GoAway, flags: Flags(0), stream: 0 };
    joined(head, payload.to_be_bytes())
}

const fn with_eight(kind: Kind, flags: Flags, payload: [u8; 8]) -> [u8; FRAME_HEAD + 8] {
    joined(FrameHead { length: 8, kind, flags, stream: 0 }, payload)
}

const fn with_four(kind: Kind, stream: u32, value: u32) -> [u8; FRAME_HEAD + 4] {
    joined(FrameHead { length: 4, kind, flags: Flags(0), stream }, value.to_be_bytes())
}

/// A frame's head and its payload, one behind the other.
const fn joined<const P: usize, const N: usize>(head: FrameHead, payload: [u8; P]) -> [u8; N] {
    let head = head.bytes();
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = if at < FRAME_HEAD { head[at] } else { payload[at - FRAME_HEAD] };
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(frame: &[u8]) -> (FrameHead, &[u8]) {
        let head = FrameHead::parse(frame).unwrap();
        assert_eq!(head.check(), Ok(()));
        (head, &frame[FRAME_HEAD..])
    }

    /// RFC 7541 section 4.2: the size update, where one is due, is the first octet of a block.
    #[test]
    fn an_interim_response_is_one_frame() {
        let block = [0x08, 3, b'1', b'0', b'0'];
        for (empties, expected) in [(false, block.to_vec()), (true, [&[0x20][..], &block].concat())]
        {
            let frame = continue_100(5, empties);
            let (head, payload) = parts(&frame);
            assert_eq!(
                (head.kind, head.stream, head.flags),
                (Kind::Headers, 5, Flags::END_HEADERS)
            );
            assert_eq!((head.length as usize, payload), (payload.len(), &expected[..]));
        }
    }

    #[test]
    fn frames_are_what_a_peer_reads() {
        let (head, payload) = (ping_ack(*b"12345678"), b"12345678");
        assert_eq!(parts(&head).1, payload);
        assert!(
            parts(&head).0.flags.has(Flags::ACK) && !parts(&ping([0; 8])).0.flags.has(Flags::ACK)
        );
        assert_eq!(parts(&rst_stream(7, ErrorCode::Cancel)).1, [0, 0, 0, 8]);
        assert_eq!(parts(&window_update(0, 0x7fff_ffff)).1, [0x7f, 0xff, 0xff, 0xff]);
        let ack = settings_ack();
        assert_eq!((parts(&ack).0.kind, parts(&ack).0.length), (Kind::Settings, 0));
        let mut away = go_away(3, ErrorCode::EnhanceYourCalm, "why").to_vec();
        away.extend(b"why");
        assert_eq!(away.len(), FRAME_HEAD + 8 + "why".len());
        let (head, payload) = parts(&away);
        assert_eq!((head.kind, head.length as usize), (Kind::GoAway, payload.len()));
        assert_eq!(payload, [0, 0, 0, 3, 0, 0, 0, 11, b'w', b'h', b'y']);
        assert_eq!(parts(&ping([7; 8])).1, [7; 8]);
        let head = FrameHead::parse(&data(1, 0, false)).unwrap();
        assert!(!head.flags.has(Flags::END_STREAM));
        let head = FrameHead::parse(&data(0x0102_0304, 16_375, true)).unwrap();
        assert_eq!((head.stream, head.length, head.kind), (0x0102_0304, 16_375, Kind::Data));
        assert!(head.flags.has(Flags::END_STREAM));
        let own = settings(100, 27_000, false);
        let expected = [0, 3, 0, 0, 0, 100, 0, 6, 0, 0, 0x69, 0x78, 0, 9, 0, 0, 0, 1];
        assert_eq!(parts(&own).1, expected);
        let own = settings(100, 27_000, true);
        assert_eq!(parts(&own).1, [&expected[..], &[0, 8, 0, 0, 0, 1]].concat());
    }
}
