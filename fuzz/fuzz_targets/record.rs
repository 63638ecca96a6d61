//! The record layer and control records: arbitrary bytes never panic and never authenticate;
//! what is sealed opens to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::record::{
    ContentType, MAX_PLAINTEXT, Opener, RecordHeader, Sealer, Suite, TlsVersion, TrafficKeys,
    parse_control,
};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
    let version = if choice & 0x40 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    let keys = || {
        TrafficKeys::new(suite, version, &[choice; 32][..suite.key_length()], [choice; 12], 5)
            .expect("the key has the suite's length")
    };

    let _ = RecordHeader::parse_initial(bytes);
    let mut record = bytes.to_vec();
    assert!(Opener::new(&keys()).open(&mut record).is_err(), "a forgery authenticated");

    for content_type in (20..24).filter_map(ContentType::from_byte) {
        let _ = parse_control(version, content_type, bytes);
    }

    let plaintext = &bytes[..bytes.len().min(MAX_PLAINTEXT)];
    let mut sealer = Sealer::new(&keys());
    let mut record = vec![0; plaintext.len() + sealer.overhead()];
    let (head, body) = plaintext.split_at(plaintext.len() / 3);
    let length = sealer
        .seal_parts(ContentType::ApplicationData, head, body, &mut record)
        .expect("there is room");
    assert_eq!(length, record.len());
    let opened = Opener::new(&keys()).open(&mut record).expect("our own record authenticates");
    assert_eq!(&record[opened.plaintext], plaintext);
});
