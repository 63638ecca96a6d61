mod stories;

use super::*;

/// Collects what is lent.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) fields: Vec<(String, String)>,
    pub(super) never_indexed: Vec<usize>,
    pub(super) checked: Vec<bool>,
    pub(super) oversized: Vec<usize>,
}

impl FieldVisitor for Collected {
    fn field(&mut self, field: Field<'_>) -> bool {
        assert_eq!(field.token, FieldName::of(field.name));
        if field.never_indexed {
            self.never_indexed.push(self.fields.len());
        }
        self.checked.push(field.checked);
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        self.fields.push((text(field.name), text(field.value)));
        true
    }

    fn oversized(&mut self, bytes: usize) {
        self.oversized.push(bytes);
    }
}

pub(super) fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Collected, HpackError> {
    let mut collected = Collected::default();
    let mut scratch = [0; Decoder::MIN_SCRATCH];
    decoder.decode(block, &mut scratch, &mut collected).map(|()| collected)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn fields(decoder: &mut Decoder, block: &str) -> String {
    let collected = decode(decoder, &hex(block)).unwrap();
    let lines = collected.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
    lines.collect()
}

#[test]
fn literals_of_appendix_c_2() {
    let mut decoder = Decoder::default();
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    assert_eq!(fields(&mut decoder, block), "custom-key: custom-header\n");
    assert_eq!(fields(&mut decoder, "be"), "custom-key: custom-header\n", "it was inserted");
    let block = "040c 2f73 616d 706c 652f 7061 7468";
    assert_eq!(fields(&mut decoder, block), ":path: /sample/path\n");
    assert_eq!(decode(&mut decoder, &hex("bf")).unwrap_err(), HpackError::Index);
    let block = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
    let collected = decode(&mut decoder, &block).unwrap();
    assert_eq!(collected.fields, [("password".into(), "secret".into())]);
    assert_eq!(collected.never_indexed, [0]);
    assert_eq!(fields(&mut decoder, "82"), ":method: GET\n");
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n\
     cache-control: no-cache\n",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
     custom-key: custom-value\n",
];

#[test]
fn requests_of_appendix_c_3_and_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        for (block, expected) in blocks.iter().zip(REQUESTS) {
            assert_eq!(fields(&mut decoder, block), expected);
        }
    }
}

/// The examples have a table of 256 bytes, so that entries are evicted.
#[test]
fn responses_of_appendix_c_5_and_6() {
    let expected = [
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         location: https://www.example.com\n",
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         location: https://www.example.com\n",
        ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
         location: https://www.example.com\ncontent-encoding: gzip\n\
         set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
    ];
    let plain = [
        "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 \
         2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 \
         5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 \
         5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
         94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
         65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        for (block, expected) in blocks.iter().zip(expected) {
            assert_eq!(fields(&mut decoder, block), expected);
        }
        assert_eq!(decode(&mut decoder, &[0xc1]).unwrap_err(), HpackError::Index, "three entries");
    }
}

#[test]
fn every_coding_error_is_one() {
    let cases: [(&str, HpackError); 14] = [
        ("80", HpackError::Index),
        ("be", HpackError::Index),
        ("7f00 00", HpackError::Index),
        ("0f30 00", HpackError::Index),
        ("ff80 8080 8000", HpackError::Integer),
        ("ff", HpackError::Integer),
        ("41", HpackError::Integer),
        ("4103 6161", HpackError::StringLength),
        ("0081 1800 00", HpackError::Huffman),
        ("0081 ff00", HpackError::Huffman),
        ("3fe2 1f", HpackError::SizeUpdate),
        ("8220", HpackError::SizeUpdate),
        ("2020 20", HpackError::SizeUpdate),
        ("4020", HpackError::StringLength),
    ];
    for (block, error) in cases {
        assert_eq!(decode(&mut Decoder::default(), &hex(block)).unwrap_err(), error, "{block}");
    }
    // The largest size, twice; an empty block; an empty name, which is for others to judge.
    assert_eq!(fields(&mut Decoder::default(), "3fe1 1f20 82"), ":method: GET\n");
    assert_eq!(fields(&mut Decoder::default(), ""), "");
    assert_eq!(fields(&mut Decoder::default(), "0000 00"), ": \n");
}

/// A field too long for the scratch memory is counted, and what follows is read rightly.
#[test]
fn oversized_fields_are_counted_and_empty_the_table() {
    let mut decoder = Decoder::default();
    let mut block = vec![0x40, 0x01, b'a', 0x01, b'b', 0xbe];
    // Eight characters `0` of five bits are five octets of zeros.
    block.extend([0x40, 0x01, b'c', 0xff, 0x8b, 0x13]);
    block.extend([0; 2570]);
    block.push(0x82);
    let collected = decode(&mut decoder, &block).unwrap();
    let names: Vec<_> = collected.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "a", ":method"]);
    assert_eq!(collected.checked, [false, true, true]);
    assert_eq!(collected.oversized, [4113]);
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap_err(), HpackError::Index);
}

/// Section 4.4: such a field, if it is to be inserted, leaves nothing in the table. Its name is that of an
/// entry or stands before it.
#[test]
fn an_oversized_field_empties_the_table_only_if_it_is_inserted() {
    let value = [&[0xff, 0x8b, 0x13][..], &[0; 2570]].concat();
    for (head, stays) in [
        (&[0x0f, 0x2f][..], true),
        (&[0x1f, 0x2f], true),
        (&[0x7e], false),
        (&[0, 3, b'x', b'y', b'z'], true),
        (&[0x40, 3, b'x', b'y', b'z'], false),
    ] {
        let mut decoder = Decoder::default();
        decode(&mut decoder, &[0x40, 3, b'a', b'b', b'c', 1, b'd']).unwrap();
        let collected = decode(&mut decoder, &[head, &value].concat()).unwrap();
        assert_eq!((collected.oversized, collected.fields.len()), (vec![3 + 4112], 0), "{head:?}");
        assert_eq!(decode(&mut decoder, &[0xbe]).is_ok(), stays, "{head:?}");
    }
}

/// Section 2.3.3: the 61 entries of the static table come first.
#[test]
fn the_dynamic_table_begins_behind_the_static_one() {
    let mut decoder = Decoder::default();
    assert_eq!(fields(&mut decoder, "7d01 61"), "www-authenticate: a\n");
    assert_eq!(fields(&mut decoder, "7e01 62"), "www-authenticate: b\n");
    assert_eq!(
        fields(&mut decoder, "bdbe bf"),
        "www-authenticate: \nwww-authenticate: b\nwww-authenticate: a\n"
    );
}

/// A GOAWAY carries the text.
#[test]
fn every_error_has_a_text_of_its_own() {
    let all = [
        HpackError::Integer,
        HpackError::StringLength,
        HpackError::Huffman,
        HpackError::Index,
        HpackError::SizeUpdate,
        HpackError::Defect,
    ];
    let texts = all.map(|error| error.to_string());
    for (at, text) in texts.iter().enumerate() {
        assert!(text.contains("HPACK") && !texts[..at].contains(text), "{text}");
    }
}

#[test]
fn five_octets_stand_as_they_are_and_six_may_be_huffman_text() {
    for (value, length) in [(&b"00000"[..], 5), (b"000000", 4), (b"!!!!!!", 6)] {
        let mut buffer = [0; 64];
        let mut block = BlockWriter::new(&mut buffer);
        block.field("x", value);
        assert_eq!(block.finish(), Some(4 + length), "{value:?}");
    }
}

#[test]
fn what_is_written_is_short_and_what_was_meant() {
    let mut buffer = [0; 256];
    let mut block = BlockWriter::new(&mut buffer);
    block.empty_table();
    block.status(200);
    block.status(301);
    block.field("Content-Length", b"17");
    block.field("X-Own-Field", b"Some value");
    block.field("Set-Cookie", b"a=b");
    block.never_indexed("authorization", b"secret of some length");
    // A block is a part of another.
    block.fields(&[0x82, 0x87]);
    let length = block.finish().unwrap();
    let collected = decode(&mut Decoder::default(), &buffer[..length]).unwrap();
    let expected = [
        (":status", "200"),
        (":status", "301"),
        ("content-length", "17"),
        ("x-own-field", "Some value"),
        ("set-cookie", "a=b"),
        ("authorization", "secret of some length"),
        (":method", "GET"),
        (":scheme", "https"),
    ];
    assert_eq!(collected.fields, expected.map(|(name, value)| (name.into(), value.into())));
    assert_eq!(collected.never_indexed, [4, 5]);
    assert_eq!(length, 1 + 1 + 5 + 5 + (1 + 1 + 11 + 1 + 8) + 6 + (1 + 1 + 13 + 1 + 15) + 2);

    for room in 0..length {
        let mut block = BlockWriter::new(&mut buffer[..room]);
        block.status(404);
        block.field("Content-Encoding", &[b'a'; 50]);
        block.field("X", &[b'b'; 50]);
        assert_eq!(block.finish().is_some(), room >= 1 + 2 + 1 + 32 + 3 + 1 + 38, "{room}");
    }
}
