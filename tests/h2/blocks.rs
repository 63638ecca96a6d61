//! Header blocks: what HPACK forbids, and what is too much.

use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{code, flag, kind, put, setting};

use crate::peer::{Answer, Peer, get};
use crate::site::HELLO;
use crate::target::Target;

fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    encode::block([&get("/hello.txt"), fields].concat())
}

#[test]
fn blocks_that_cannot_be_decoded_end_the_connection() {
    let target = Target::plain(&[]);
    let mut two_sizes_too_many = vec![0x20; 3];
    two_sizes_too_many.extend(literals(&[]));
    let cases: [(&str, Vec<u8>); 16] = [
        ("index 0", vec![0x80]),
        ("an index beyond the static table", vec![0xbe]),
        ("an index far beyond", vec![0xff, 0xff, 0xff, 0xff, 0x07]),
        ("a name's index beyond the tables", vec![0x7f, 0x10, 1, b'x']),
        ("an integer of too many octets", vec![0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        ("a block that ends in an integer", vec![0xff, 0x80]),
        ("a block that ends in a name", vec![0x40, 0x05, b'a', b'b']),
        ("a block that ends before a value", vec![0x40, 0x01, b'a']),
        ("a string longer than the block", vec![0x41, 0x7f, 0xff, 0xff, 0x7f]),
        ("Huffman padding of zeros", vec![0x41, 0x81, 0x1e]),
        ("Huffman padding of eight bits", vec![0x41, 0x82, 0x1f, 0xff]),
        ("the end of string", vec![0x41, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("a size above what SETTINGS allow", vec![0x3f, 0xe2, 0x1f]),
        ("a size behind a field", vec![0x82, 0x20]),
        ("a size at the very end", [literals(&[]), vec![0x20]].concat()),
        ("three sizes", two_sizes_too_many),
    ];
    for (what, block) in cases {
        eprintln!("{what}");
        let mut peer = target.connect();
        peer.block(&block, true);
        peer.expect_away(code::COMPRESSION_ERROR);
    }
}

#[test]
fn a_table_is_kept_evicted_and_resized() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let mut first = Vec::new();
    encode::literal_at(&mut first, Literal::Indexed, 4, b"/hello.txt");
    encode::literal_at(&mut first, Literal::Indexed, 1, b"localhost");
    encode::indexed(&mut first, 2);
    // Pseudo-fields may come in any order.
    encode::indexed(&mut first, 7);
    let stream = peer.block(&first, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    let again = [0x82, 0x87, 0xbe, 0xbf];
    for _ in 0..3 {
        let stream = peer.block(&again, true);
        assert_eq!(peer.answer(stream).body, HELLO);
    }
    // An entry whose name is that of the entry which it evicts (RFC 7541 section 4.4).
    let mut evicting = vec![0x82, 0x87, 0xbe, 0xbf];
    encode::literal(&mut evicting, Literal::Indexed, &[b'n'; 40], &[b'v'; 3900]);
    encode::literal_at(&mut evicting, Literal::Indexed, 62, &[b'w'; 3900]);
    encode::indexed(&mut evicting, 62);
    let stream = peer.block(&evicting, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    // Size 0 and back: the table is empty.
    let mut resized = vec![0x20, 0x3f, 0xe1, 0x1f];
    resized.extend(&first);
    let stream = peer.block(&resized, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    let stream = peer.block(&again, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    // An entry larger than the table empties it.
    let mut large = vec![0x82, 0x87, 0xbe, 0xbf];
    encode::literal(&mut large, Literal::Indexed, b"large", &[b'x'; 5000]);
    let stream = peer.block(&large, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    peer.block(&again, true);
    peer.expect_away(code::COMPRESSION_ERROR);
}

#[test]
fn a_smaller_table_for_answers_is_obeyed() {
    // The client's decoder starts at what it allows, so it notices an encoder that goes beyond.
    for size in [0, 1, 64, 4096, 1 << 20] {
        let target = Target::plain(&[]);
        let mut peer = target.connect_with(&[(setting::HEADER_TABLE_SIZE, size)]);
        for _ in 0..5 {
            assert_eq!(peer.get("/hello.txt").body, HELLO);
        }
        peer.set(&[(setting::HEADER_TABLE_SIZE, 0), (setting::HEADER_TABLE_SIZE, 4096)]);
        peer.until(|peer| peer.acknowledged == 2);
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
}

/// Sends a block, however long, in as many frames as it takes.
fn long(peer: &mut Peer, block: &[u8]) -> u32 {
    let stream = peer.number();
    peer.expect(stream, "GET");
    let mut pieces = block.chunks(16_384).peekable();
    let (mut out, mut kind, mut flags) = (Vec::new(), kind::HEADERS, flag::END_STREAM);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        put(&mut out, kind, flags, stream, piece);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
    peer.send(&out);
    stream
}

/// Asserts that a block is refused by 431 and that all else goes on, the table included.
fn refused(peer: &mut Peer, block: &[u8]) -> Answer {
    let stream = long(peer, block);
    let answer = peer.answer(stream);
    assert_eq!(answer.status, 431);
    peer.expect_alive();
    answer
}

#[test]
fn heads_that_are_too_much_are_refused_and_the_table_stays_right() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    // One entry of 4,000 bytes, referred to again and again: a bomb of one byte each.
    let mut bomb = literals(&[]);
    encode::literal(&mut bomb, Literal::Indexed, b"bomb", &[b'x'; 3900]);
    (0..16_000).for_each(|_| encode::indexed(&mut bomb, 62));
    refused(&mut peer, &bomb);
    // The entry is there although the block was refused: 4 x 3,904 bytes are within the bound.
    let mut within = literals(&[]);
    (0..4).for_each(|_| encode::indexed(&mut within, 62));
    let stream = peer.block(&within, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    // Many fields.
    let many = |count: usize, name: &str, value: &str| {
        let mut block = literals(&[]);
        for _ in 0..count {
            encode::literal(&mut block, Literal::Plain, name.as_bytes(), value.as_bytes());
        }
        block
    };
    refused(&mut peer, &many(101, "x-field", "y"));
    refused(&mut peer, &many(257, "cookie", "c=d"));
    refused(&mut peer, &many(6000, "x", ""));
    // Long ones.
    refused(&mut peer, &literals(&[("x-long", &"v".repeat(16 << 10))]));
    refused(&mut peer, &literals(&[(&"n".repeat(16 << 10), "v")]));
    // A path alone that is too long is refused as such, unless the head is.
    let path = format!("/{}", "p".repeat(12 << 10));
    let stream = long(&mut peer, &encode::block(get(&path)));
    assert!([414, 404].contains(&peer.answer(stream).status));
    peer.expect_alive();
}

#[test]
fn heads_of_a_browser_are_served() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    // Ninety crumbs of a cookie, as Chromium sends them.
    let mut block = literals(&[]);
    for crumb in 0..90 {
        let value = format!("crumb{crumb}=0123456789abcdef");
        encode::literal_at(&mut block, Literal::Indexed, 32, value.as_bytes());
    }
    let stream = peer.block(&block, true);
    assert_eq!(peer.answer(stream).body, HELLO);
    // 256 of them, and 90 fields beside them.
    let mut block = literals(&[]);
    for _ in 0..256 {
        encode::literal_at(&mut block, Literal::Plain, 32, b"a=b");
    }
    for _ in 0..90 {
        encode::literal(&mut block, Literal::Never, b"x-field", b"value");
    }
    let stream = peer.block(&block, true);
    assert_eq!(peer.answer(stream).body, HELLO);
}
