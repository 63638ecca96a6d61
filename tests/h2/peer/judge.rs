//! What a client of frames demands of each frame of the server: sizes, windows, the order of a stream's
//! frames, Content-Length.

use ringway_bench_h2::frame::{self, FrameHead, flag, kind};

use super::{Away, Peer};

impl Peer {
    pub(super) fn judge(&mut self, head: FrameHead, payload: &[u8]) {
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        if self.settings.is_empty() && self.acknowledged == 0 {
            assert!(head.kind == kind::SETTINGS || head.kind == kind::GOAWAY, "first {head:?}");
        }
        if let Some((first, block)) = &mut self.block {
            assert_eq!((head.kind, head.stream), (kind::CONTINUATION, first.stream));
            block.extend_from_slice(payload);
            if head.has(flag::END_HEADERS) {
                let (first, block) = self.block.take().unwrap();
                self.head(first, &block);
            }
            return;
        }
        match head.kind {
            kind::DATA => self.judge_data(head, payload),
            kind::HEADERS => {
                let block = frame::unpadded(head, payload).expect("padding that fits");
                if head.has(flag::END_HEADERS) {
                    self.head(head, block);
                } else {
                    self.block = Some((head, block.to_vec()));
                }
            }
            kind::RST_STREAM => {
                assert_eq!(payload.len(), 4);
                let stream = head.stream;
                let answer = self.answers.get_mut(&stream).expect("a stream that was opened");
                assert!(answer.reset.is_none(), "{stream} was reset before");
                answer.reset = Some(word(0));
                if !answer.whole {
                    self.order.push(stream);
                }
            }
            kind::SETTINGS if head.has(flag::ACK) => {
                assert!(payload.is_empty() && head.stream == 0);
                self.acknowledged += 1;
                self.slack = 0;
            }
            kind::SETTINGS => {
                assert_eq!(head.stream, 0);
                self.settings.extend(frame::settings(payload).expect("whole settings"));
                if self.settings.is_empty() {
                    // Defaults, said by nothing: noted so that other frames may follow.
                    self.settings.push((0, 0));
                }
                if self.polite {
                    self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
                }
            }
            kind::PING => {
                let payload = payload.try_into().expect("eight bytes");
                if head.has(flag::ACK) {
                    self.pongs.push(payload);
                } else {
                    self.pings.push(payload);
                    if self.polite {
                        self.frame(kind::PING, flag::ACK, 0, &payload);
                    }
                }
            }
            kind::GOAWAY => {
                let (last, code) = (word(0), word(4));
                let debug = String::from_utf8(payload[8..].to_vec()).expect("a readable reason");
                if let Some(before) = self.aways.last() {
                    assert!(last <= before.last, "GOAWAY {last} behind {}", before.last);
                }
                self.aways.push(Away { last, code, debug });
            }
            kind::WINDOW_UPDATE => {
                assert!(payload.len() == 4 && word(0) > 0);
                self.updates.push((head.stream, word(0)));
            }
            other => panic!("a server never sends frames of type {other}"),
        }
    }

    fn judge_data(&mut self, head: FrameHead, payload: &[u8]) {
        let stream = head.stream;
        let answer = self.answers.get_mut(&stream).expect("DATA on a stream that was opened");
        assert!(answer.status >= 200, "DATA before a head");
        assert!(!answer.whole && answer.reset.is_none(), "DATA on stream {stream} after its end");
        assert!(!answer.bodiless || payload.is_empty(), "a body for HEAD");
        let (len, slack) = (payload.len() as i64, self.slack);
        answer.window -= len;
        self.window -= len;
        assert!(len == 0 || answer.window + slack >= 0, "stream {stream}: {} over", -answer.window);
        assert!(len == 0 || self.window >= 0, "connection: {} over", -self.window);
        answer.body.extend_from_slice(frame::unpadded(head, payload).expect("padding that fits"));
        self.data.push((stream, payload.len()));
        if head.has(flag::END_STREAM) {
            self.finish(stream);
        }
        if self.generous && !payload.is_empty() {
            self.open_window(0, payload.len() as u32);
            if !head.has(flag::END_STREAM) {
                self.open_window(stream, payload.len() as u32);
            }
        }
    }

    fn head(&mut self, head: FrameHead, block: &[u8]) {
        let mut fields = Vec::new();
        let decoded = self.decoder.decode(block, |name, value| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.push((text(name), text(value)));
        });
        decoded.expect("a block that can be decoded");
        let answer = self.answers.get_mut(&head.stream).expect("a head on an open stream");
        assert!(answer.reset.is_none() && !answer.whole && answer.status < 200);
        let (name, status) = fields.first().expect("fields");
        assert_eq!(name, ":status");
        answer.status = status.parse().unwrap();
        for (name, value) in &fields[1..] {
            assert!(!name.starts_with(':') && *name == name.to_ascii_lowercase(), "{name}");
            let hop = ["connection", "keep-alive", "transfer-encoding", "upgrade"];
            assert!(!hop.contains(&name.as_str()), "{name}: {value}");
        }
        let rest = fields.split_off(1);
        if answer.status < 200 {
            assert!(!head.has(flag::END_STREAM), "an interim head ends no stream");
            answer.interim.push((answer.status, rest));
            return;
        }
        answer.fields = rest;
        if head.has(flag::END_STREAM) {
            self.finish(head.stream);
        }
    }

    fn finish(&mut self, stream: u32) {
        let answer = self.answers.get_mut(&stream).unwrap();
        answer.whole = true;
        let none = answer.bodiless || answer.status == 304;
        if let Some(length) = answer.field("content-length")
            && !none
        {
            assert_eq!(length, answer.body.len().to_string(), "stream {stream}");
        }
        self.order.push(stream);
    }
}
