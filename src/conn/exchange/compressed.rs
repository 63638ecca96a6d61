//! A responder whose content is compressed while it is sent.
//!
//! What the responder gives is encoded as it comes, into memory that the content is sealed from: nothing
//! is copied behind the encoder. *Never late*: as soon as the responder has to be waited for, the client
//! gets all that came before, so a stream of events stays one. *Never unfair*: a poll encodes
//! [`INPUT_A_TURN`] at most, then other tasks have their turn. *Bounded*: the encoder, one piece of input
//! and [`OUTPUT`] bytes, in one of so many places
//! ([`Encoders`](crate::conn::encoders::Encoders)); the responder is not asked for more
//! before the client has taken what was made of the last.

use std::{
    io,
    rc::Rc,
    task::{self, Poll},
};

use super::{
    recoded::{self, Fit},
    streamed::{
        Answered, Failure, Fields, Intake, Relay, Report, Responder, ResponseContent, Stages,
        StreamedHead,
    },
};
use crate::{
    conn::{Context, encoders::Place},
    encode::{Encoder, LEAST_ROOM, Progress},
    observe::{Stage, Why, Work},
    process::negotiate::Coding,
    respond::Status,
    ring::Chunk,
};

/// Bytes of content that are encoded before other tasks have their turn.
pub(super) const INPUT_A_TURN: usize = 64 << 10;

/// Bytes of coded content that are given out at a time, at most.
const OUTPUT: usize = 16 << 10;

/// A responder whose answers may be compressed.
pub(super) struct Compressed {
    context: Rc<Context>,
    /// What the client takes; [`Coding::Identity`]: nothing that there is.
    coding: Coding,
    to_head: bool,
    /// Once the head says so.
    encoding: Option<StreamEncoding>,
    /// Nanoseconds that went into encoding.
    spent: u64,
    inner: Box<dyn Responder>,
}

impl Compressed {
    /// Compresses what `inner` answers by this coding, if it may be compressed. A HEAD gets the head that a
    /// GET gets.
    pub(super) fn new(
        context: &Rc<Context>,
        coding: Coding,
        to_head: bool,
        inner: Box<dyn Responder>,
    ) -> Self {
        Self { context: Rc::clone(context), coding, to_head, encoding: None, spent: 0, inner }
    }

    /// The head that the client gets. From here on content is encoded, if any is.
    fn head(&mut self, mut head: StreamedHead) -> StreamedHead {
        let fit = recoded::fit(&head);
        if fit == Fit::Unchanged {
            return head;
        }
        recoded::vary(&mut head.fields);
        if self.coding == Coding::Identity {
            return head;
        }
        if fit == Fit::Content {
            if !self.to_head && !self.begins(head.length) {
                return head;
            }
            recoded::name_coding(&mut head, self.coding);
        }
        recoded::recode(&mut head.fields);
        head
    }

    /// Begins to encode content of so many bytes. False if the worker has no place or no time for that.
    fn begins(&mut self, length: Option<u64>) -> bool {
        let begun = self.context.begin_encoding(self.coding);
        self.encoding = begun.map(|(encoder, place)| StreamEncoding::new(encoder, length, place));
        self.encoding.is_some()
    }
}

impl Responder for Compressed {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        self.inner.poll_head(cx, intake).map(|head| match head {
            Ok(Answered::Streamed(head)) => Ok(Answered::Streamed(self.head(head))),
            // A file of a folder, or an error: what it may be was chosen.
            whole => whole,
        })
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        if self.encoding.is_some() { Some(self) } else { self.inner.content() }
    }

    fn stages(&self) -> Stages {
        let inner = self.inner.stages();
        let Some(encoding) = &self.encoding else { return inner };
        // A turn that is given to others is no wait for the responder.
        let waits = if encoding.yielded.is_some() { Some(Stage::RunQueue) } else { inner.waits };
        Stages { waits, compressing: self.spent, ..inner }
    }

    fn report(&self) -> Report {
        let inner = self.inner.report();
        let Some(encoding) = &self.encoding else { return inner };
        let mut passed = inner.passed;
        (passed.content.encoded, passed.content.coded) = encoding.total;
        Report { passed, ..inner }
    }
}

impl ResponseContent for Compressed {
    fn poll_chunk(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        let Self { context, coding, encoding: Some(encoding), spent, inner, .. } = self else {
            return Poll::Ready(Some(Err(Failure::NO_CONTENT)));
        };
        if encoding.waits_for_turn(context) {
            return Poll::Pending;
        }
        loop {
            let wanted = match encoding.next() {
                Step::Give => return Poll::Ready(Some(Ok(encoding.give()))),
                Step::Yield => {
                    encoding.yields(context);
                    return Poll::Pending;
                }
                Step::Encode => {
                    let began = context.observer.now();
                    let encoded = encoding.encode();
                    *spent += context.observer.spend(Work::Stage(Stage::Compress), began);
                    match encoded {
                        Ok(progress) => {
                            context.count_encoded(*coding, progress);
                            encoding.add(progress);
                            continue;
                        }
                        Err(error) => {
                            context.defect(&error);
                            let status = Status::InternalServerError;
                            Err(Failure { status, why: Why::ServerDefect })
                        }
                    }
                }
                Step::Ended => return Poll::Ready(None),
                Step::Read => match inner.poll_chunk(cx, intake) {
                    Poll::Pending if encoding.holds_back() => {
                        encoding.ask(Asked::Flush);
                        continue;
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(chunk)) => chunk.and_then(|chunk| {
                        encoding.take(chunk).map_err(|TooLong| {
                            failed(context, &"more content was given than had been promised")
                        })
                    }),
                    Poll::Ready(None) => encoding.end().map_err(|TooShort| {
                        failed(context, &"less content was given than had been promised")
                    }),
                },
            };
            if let Err(failure) = wanted {
                return Poll::Ready(Some(Err(failure)));
            }
        }
    }

    fn take_trailers(&mut self) -> Fields {
        let content = self.inner.content();
        content.map_or(Fields::None, |content| recoded::without_digests(content.take_trailers()))
    }

    fn take_ahead(&mut self) {
        if let Some(content) = self.inner.content() {
            content.take_ahead();
        }
    }

    fn relay(&mut self) -> Option<&mut dyn Relay> {
        None
    }
}

/// The answer breaks off: what has left of it cannot be continued.
fn failed(context: &Context, what: &dyn std::fmt::Display) -> Failure {
    context.warn(what);
    Failure { status: Status::InternalServerError, why: Why::ServerError }
}

fn no_room() -> io::Error {
    io::Error::other("more was written than an encoder had room for")
}

/// Content on its way through an encoder.
struct StreamEncoding {
    encoder: Encoder,
    /// What was not read of the last piece.
    input: Option<Chunk>,
    /// What is given out next is the front of it.
    output: Vec<u8>,
    written: usize,
    /// Bytes that were promised and have not come.
    left: Option<u64>,
    /// Bytes that were read since others had their turn.
    read: usize,
    /// Bytes that were read and written in all.
    total: (u64, u64),
    /// The turn of the loop in which others were to have theirs.
    yielded: Option<u64>,
    /// Something was read since the client had all.
    dirty: bool,
    /// The last piece of output goes out before anything else is done.
    complete: bool,
    asked: Asked,
    _place: Place,
}

/// What the encoder is asked for, besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Flush,
    Finish,
    /// The end was written.
    Ended,
}

/// What is to be done next.
enum Step {
    /// Ask for content.
    Read,
    Encode,
    /// Give out what was written.
    Give,
    /// Let others have their turn.
    Yield,
    Ended,
}

/// More content came than was promised.
struct TooLong;

/// Less content came than was promised.
struct TooShort;

impl StreamEncoding {
    fn new(encoder: Encoder, left: Option<u64>, place: Place) -> Self {
        Self {
            encoder,
            input: None,
            output: Vec::new(),
            written: 0,
            left,
            read: 0,
            total: (0, 0),
            yielded: None,
            dirty: false,
            complete: false,
            asked: Asked::Nothing,
            _place: place,
        }
    }

    fn next(&self) -> Step {
        let room = self.output.len() - self.written;
        if self.written > 0 && (self.complete || room < LEAST_ROOM) {
            return Step::Give;
        }
        match (&self.input, self.asked) {
            (Some(_), _) if self.read >= INPUT_A_TURN => Step::Yield,
            (Some(_), _) | (None, Asked::Flush | Asked::Finish) => Step::Encode,
            (None, Asked::Nothing) => Step::Read,
            (None, Asked::Ended) => Step::Ended,
        }
    }

    /// Whether the client has not got all that was read.
    fn holds_back(&self) -> bool {
        self.dirty
    }

    fn ask(&mut self, asked: Asked) {
        self.asked = asked;
    }

    /// The encoder has got further.
    fn add(&mut self, Progress { read, written, .. }: Progress) {
        self.total.0 += read as u64;
        self.total.1 += written as u64;
    }

    /// A piece of content has come.
    fn take(&mut self, chunk: Chunk) -> Result<(), TooLong> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(chunk.len() as u64).ok_or(TooLong)?;
        }
        self.input = Some(chunk);
        Ok(())
    }

    /// No content is left to come.
    fn end(&mut self) -> Result<(), TooShort> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(TooShort);
        }
        self.asked = Asked::Finish;
        Ok(())
    }

    /// Has the encoder go on, as far as the turn and the output allow.
    fn encode(&mut self) -> io::Result<Progress> {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
        let Some(input) = &mut self.input else { return self.drain() };
        let room = self.output.get_mut(self.written..).ok_or_else(no_room)?;
        let turn = INPUT_A_TURN - self.read.min(INPUT_A_TURN);
        let progress = self.encoder.write(input.get(..turn).unwrap_or(input), room)?;
        input.advance(progress.read);
        if input.is_empty() {
            self.input = None;
        }
        self.read += progress.read;
        self.written += progress.written;
        (self.dirty, self.complete) = (true, false);
        Ok(progress)
    }

    /// Has the encoder write what it was asked for.
    fn drain(&mut self) -> io::Result<Progress> {
        let room = self.output.get_mut(self.written..).ok_or_else(no_room)?;
        let ends = self.asked == Asked::Finish;
        let progress = if ends { self.encoder.finish(room) } else { self.encoder.flush(room) }?;
        self.written += progress.written;
        if progress.complete {
            self.asked = if ends { Asked::Ended } else { Asked::Nothing };
            (self.dirty, self.complete) = (false, true);
        }
        Ok(progress)
    }

    /// What was written, never nothing.
    fn give(&mut self) -> Chunk {
        let mut output = std::mem::take(&mut self.output);
        output.truncate(std::mem::take(&mut self.written));
        Chunk::from(output)
    }

    /// Others have their turn; the current task is woken behind them.
    fn yields(&mut self, context: &Context) {
        self.yielded = Some(context.ring.turn_began());
        context.ring.wake(context.ring.current());
    }

    /// Whether others have not had their turn yet: the protocol polls more than once in a turn.
    fn waits_for_turn(&mut self, context: &Context) -> bool {
        if self.yielded == Some(context.ring.turn_began()) {
            self.yields(context);
            return true;
        }
        if self.yielded.take().is_some() {
            self.read = 0;
        }
        false
    }
}
