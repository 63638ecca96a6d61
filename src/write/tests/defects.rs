//! What cannot be ends the connection as a defect: nothing is sent in its place.

use std::{future::poll_fn, io::Write, rc::Rc};

use super::{Bench, block_on};
use crate::{
    config::Timeouts,
    ring::{OpenFile, Pages},
    write::WriteError,
};

#[test]
fn a_range_beyond_its_content_is_a_defect() {
    let Bench { ring, socket, mut writer, peer: _peer } = Bench::new(&Timeouts::default());
    let pages = Rc::new(Pages::zeroed(5_000));
    let lent = block_on(&ring, async {
        poll_fn(|_| writer.poll_reserve_to_lend(&socket, 1 << 16)).await?;
        writer.lend(&pages, 4_000..6_000)
    });
    assert!(matches!(lent, Err(WriteError::Defect(_))), "{lent:?}");
}

/// Neither more than was read is sent of a file, nor anything before what waits.
#[test]
fn a_read_that_does_not_fit_what_is_sent_is_a_defect() {
    const LENGTH: usize = 4_000;
    for (more, gathered, fits) in [(0, 0, true), (1, 0, false), (0, 100, false)] {
        let Bench { ring, socket, mut writer, peer: _peer } = Bench::new(&Timeouts::default());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; LENGTH]).unwrap();
        let file = Rc::new(OpenFile::local(file.into()));
        let departed = block_on(&ring, async {
            let all = 0..LENGTH as u64;
            let mut read =
                poll_fn(|_| writer.poll_framed_read(&socket, &file, all.clone(), 16_384)).await?;
            poll_fn(|_| read.poll(&ring)).await;
            assert_eq!(read.outcome().unwrap(), LENGTH);
            if gathered > 0 {
                writer.reserve(&socket, gathered, 0, false).await?;
                writer.commit(gathered)?;
            }
            writer.depart_framed(&socket, read, LENGTH + more, &mut |_| [0; 9])
        });
        let defect = matches!(departed, Err(WriteError::Defect(_)));
        assert_eq!((departed.is_ok(), defect), (fits, !fits), "{departed:?}");
    }
}
