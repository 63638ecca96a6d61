//! Each record takes the next number, by whichever way it is sealed (RFC 8446 section 5.3, RFC 5246 section
//! 6.1): a number that is used twice gives the key away.

use super::*;

#[test]
fn every_way_of_sealing_takes_the_next_number() {
    const PLAINTEXT: &[u8] = b"twelve bytes";
    let kind = ContentType::ApplicationData;
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let mut opener = Opener::new(&keys(suite, version));
        // Each way follows each way, itself included.
        for way in [0, 0, 1, 1, 2, 2, 3, 3, 0, 2, 0, 3, 1, 3, 2, 1, 0] {
            let mut record = vec![0; PLAINTEXT.len() + sealer.overhead()];
            let (first, second) = PLAINTEXT.split_at(5);
            let length = match way {
                0 => sealer.seal(kind, PLAINTEXT, &mut record),
                1 => sealer.seal_with_tail(kind, first, second, &mut record),
                2 => sealer.seal_parts(kind, first, second, &mut record),
                _ => {
                    let prefix = sealer.prefix();
                    record[prefix..][..PLAINTEXT.len()].copy_from_slice(PLAINTEXT);
                    sealer.seal_in_place(kind, &mut record, PLAINTEXT.len())
                }
            };
            assert_eq!(length, Ok(record.len()));
            let opened = opener.open(&mut record).unwrap();
            assert_eq!(&record[opened.plaintext], PLAINTEXT, "{suite:?} {version:?} way {way}");
        }
    }
}
