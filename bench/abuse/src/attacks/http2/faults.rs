//! Frames that no connection may send: each costs the server a handshake, a GOAWAY and a close.

use ringway_bench_h2::frame::{MAX_FRAME, MAX_WINDOW, flag, kind, put, put_window_update, setting};

use super::{Http2, get};
use crate::pacer::{Pacer, Signals};
use crate::site::PAGE;
use crate::target::Target;

/// One after the other.
pub(super) fn faults(target: &Target, signals: &Signals) {
    signals.ready();
    let mut pacer = Pacer::new(200.0);
    for fault in of_each_kind().iter().cycle() {
        if !pacer.wait(signals) {
            return;
        }
        let sent = Http2::open(target, &[]).and_then(|mut http2| {
            http2.tls.send(fault)?;
            // Until the server has ended it.
            while http2.tls.read(&mut [0; 4096])? > 0 {}
            Ok(())
        });
        if sent.is_ok() { signals.did(1) } else { signals.turned_away() }
    }
}

fn of_each_kind() -> [Vec<u8>; 9] {
    let block = get(PAGE.0);
    let mut faults: [Vec<u8>; 9] = Default::default();
    let [within, coding, integer, overflow, windows, beyond, long, again, preface] = &mut faults;
    // A frame within a field block.
    put(within, kind::HEADERS, flag::END_STREAM, 1, &block);
    put(within, kind::PING, 0, 0, &[0; 8]);
    // An index beyond the tables, and an integer without an end.
    put(coding, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &[0xbe]);
    let endless = [0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
    put(integer, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &endless);
    // Windows beyond what they may be, by increment and by setting.
    put_window_update(overflow, 0, MAX_WINDOW);
    let [high, low] = setting::INITIAL_WINDOW_SIZE.to_be_bytes();
    put(windows, kind::SETTINGS, 0, 0, &[high, low, 0xff, 0xff, 0xff, 0xff]);
    // Content beyond the windows, a frame that is too long, a number that was used.
    put(beyond, kind::HEADERS, flag::END_HEADERS, 1, &block);
    (0..5).for_each(|_| put(beyond, kind::DATA, 0, 1, &[0; MAX_FRAME]));
    put(long, kind::SETTINGS, 0, 0, &vec![0; MAX_FRAME + 2]);
    for stream in [3, 1] {
        put(again, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
    }
    // What HTTP/1.1 would send, where SETTINGS must come.
    preface.extend_from_slice(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    faults
}
