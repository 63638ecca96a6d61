use proptest::prelude::*;

use super::*;

fn part(parts: &[u64], stage: Stage) -> u64 {
    parts[stage.part().unwrap()]
}

#[test]
fn a_small_request_is_divided_among_its_stages() {
    let mut request = OpenRequest::default();
    request.begin(1_000, 1_200);
    request.enter(Stage::Respond, 1_500);
    let mut sending = Sending::default();
    sending.submitted(2_500);
    sending.completed(6_500);
    let total = request.settle(&sending);
    let parts = request.parts;
    assert_eq!(part(&parts, Stage::RunQueue), 200);
    assert_eq!(part(&parts, Stage::Parse), 300);
    assert_eq!(part(&parts, Stage::Respond), 1_000);
    assert_eq!(part(&parts, Stage::FirstWrite), 4_000);
    assert_eq!((part(&parts, Stage::LastWrite), total), (0, 5_500));
}

#[test]
fn waits_are_taken_from_the_stage_in_which_they_happened() {
    let mut request = OpenRequest::default();
    request.begin(0, 0);
    request.enter(Stage::Respond, 0);
    let mut sending = Sending::default();
    sending.waited_for_buffer(10);
    sending.waited_for_file(20);
    sending.submitted(100);
    sending.completed(150);
    sending.waited_for_file(30);
    sending.completed(250);
    let total = request.settle(&sending);
    let parts = request.parts;
    assert_eq!(part(&parts, Stage::Buffer), 10);
    assert_eq!(part(&parts, Stage::Process), 50);
    assert_eq!(part(&parts, Stage::Respond), 70);
    assert_eq!(part(&parts, Stage::FirstWrite), 50);
    assert_eq!((part(&parts, Stage::LastWrite), total), (70, 250));
}

proptest! {
    #[test]
    fn parts_add_up_whatever_the_order_of_times(
        arrived in 1_u64..1_000, marks in proptest::collection::vec((0_usize..13, 0_u64..3_000), 0..6),
        times in [0_u64..3_000, 0_u64..3_000, 0_u64..3_000],
        waits in any::<[u16; 4]>(),
    ) {
        let mut request = OpenRequest::default();
        request.begin(arrived, arrived + 5);
        for (stage, at) in marks {
            request.enter(REQUEST_STAGES[stage], at);
        }
        let [buffer, more_buffer, file, more_file] = waits.map(u64::from);
        let sending = Sending::of(times, [buffer, more_buffer], [file, more_file]);
        let total = request.settle(&sending);
        prop_assert_eq!(request.parts.iter().sum::<u64>(), total);
        let passed = |(_, time): &(Stage, u64)| *time > 0;
        let seldom = SELDOM.map(|stage| (stage, part(&request.parts, stage)));
        let mut noted: Vec<_> = request.seldom_parts().filter(passed).collect();
        noted.sort_by_key(|(stage, _)| stage.index());
        prop_assert_eq!(noted, seldom.into_iter().filter(passed).collect::<Vec<_>>());
        // Nothing of it is left in the next.
        request.begin(arrived, arrived);
        prop_assert_eq!(request.parts, [0; REQUEST_STAGES.len()]);
        prop_assert!(!request.has_seldom_parts());
    }
}

#[test]
fn the_wait_behind_another_request_is_its_turn() {
    let mut request = OpenRequest::default();
    for (reached, run_queue, turn) in [(1_000, 0, 3_000), (3_200, 2_200, 800), (9_000, 3_000, 0)] {
        request.begin_behind(1_000, reached, 4_000);
        assert_eq!(part(&request.parts, Stage::Turn), turn);
        assert_eq!(part(&request.parts, Stage::RunQueue), run_queue);
        assert_eq!(request.entered, 4_000);
    }
}

#[test]
fn opening_records_is_taken_from_the_run_queue() {
    for (opening, run_queue, decrypt) in [(0, 200, 0), (50, 150, 50), (900, 0, 200)] {
        let mut request = OpenRequest::default();
        request.begin(1_000, 1_200);
        request.opened(opening);
        assert_eq!(part(&request.parts, Stage::RunQueue), run_queue);
        assert_eq!(part(&request.parts, Stage::Decrypt), decrypt);
    }
}

#[test]
fn compressing_is_taken_from_the_stage_in_which_it_happened() {
    let mut request = OpenRequest::default();
    request.begin(1_000, 1_000);
    request.enter(Stage::UpstreamBody, 1_100);
    request.compressed(300, 2_000);
    assert_eq!(part(&request.parts, Stage::UpstreamBody), 600);
    request.enter(Stage::Respond, 2_000);
    request.compressed(300, 2_100);
    assert_eq!(part(&request.parts, Stage::Respond), 100, "nothing is new");
    request.compressed(450, 2_200);
    assert_eq!(
        (part(&request.parts, Stage::Respond), part(&request.parts, Stage::Compress)),
        (50, 450)
    );
    assert_eq!(request.parts.iter().sum::<u64>(), 1_200);
    let seldom = [Stage::UpstreamBody, Stage::Compress];
    assert!(request.seldom_parts().all(|(stage, time)| seldom.contains(&stage) && time > 0));
    assert_eq!(request.seldom_parts().count(), 2);
}

#[test]
fn empty_lines_are_no_head() {
    let mut request = OpenRequest::default();
    request.begin(0, 0);
    request.keep_head(b"\r\n", 2, 100);
    assert!(request.head().is_empty());
    request.keep_head(b"\r\nGET / HTTP/1.1\r\n\r\n", 20, 100);
    assert_eq!(
        (request.head(), request.logged_head()),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], request.head())
    );
}

#[test]
fn what_a_stream_asks_for_reads_as_a_head() {
    let mut request = OpenRequest::default();
    request.begin(0, 0);
    request.keep_asked([b"GET", b"/a"], 100);
    request.keep_fields(&[(b"Referer: ", b""), (b"User-Agent: ", b"me")], 100);
    assert_eq!(request.head(), b"GET /a HTTP/1.1\r\n");
    assert_eq!(request.logged_head(), b"GET /a HTTP/1.1\r\nUser-Agent: me\r\n\r\n");
    let long = [b'x'; 300];
    let mut request = OpenRequest::default();
    request.keep_asked([b"GET", &long], 350);
    request.keep_fields(&[(b"Referer: ", &long), (b"User-Agent: ", &long)], 350);
    assert_eq!((request.head().len(), request.logged_head().len()), (HEAD_KEPT, 350));
}

#[test]
fn heads_are_kept_as_far_as_they_are_wanted() {
    let long = [b'x'; 500];
    for (bytes, length, logged, kept) in [
        (&long[..], 300, 200, (HEAD_KEPT, 200)),
        (&long[..], 30, 200, (30, 30)),
        (&long[..60], 40, 0, (40, 0)),
        (&long[..60], usize::MAX, 50, (60, 50)),
    ] {
        let mut request = OpenRequest::default();
        request.begin(0, 0);
        request.keep_head(bytes, length, logged);
        request.keep_head(b"what follows", 4, logged);
        assert_eq!((request.head().len(), request.logged_head().len()), kept);
        assert!(request.head().iter().chain(request.logged_head()).all(|byte| *byte == b'x'));
        request.forget_head();
        request.begin(0, 0);
        assert!(request.head().is_empty() && request.logged_head().is_empty());
    }
}
