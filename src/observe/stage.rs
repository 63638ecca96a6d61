//! The stages of a journey, by name.

/// Where time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// From the end of the TCP handshake to the accept.
    AcceptQueue,
    /// From the accept to the end of a TLS handshake without a ticket.
    HandshakeFull,
    /// The same with a ticket.
    HandshakeResumed,
    /// Time inside the TLS library in either handshake.
    HandshakeCpu,
    /// Keys taken out and installed.
    HandOver,
    /// From the handshake or the last answer to the request's first byte.
    FirstByte,
    /// From the completion that brought the request to its task's turn.
    RunQueue,
    /// Waiting behind other requests of its connection.
    Turn,
    /// Waiting for the rest of a head.
    Head,
    /// Opening the records that brought the request.
    Decrypt,
    /// Parsing the head.
    Parse,
    /// Deciding on the answer.
    Decode,
    /// Waiting for a file to be looked up or read.
    Process,
    /// Waiting for content that the client sends.
    Body,
    /// Waiting for the peer to open a window of flow control.
    Window,
    /// Waiting for send memory.
    Buffer,
    /// Writing the head, sealing, and waiting for what leaves together with it.
    Respond,
    /// From the first submission to its completion.
    FirstWrite,
    /// From there until the kernel took the last byte.
    LastWrite,
    /// The sum of the stages from [`Self::RunQueue`] on.
    Total,
    /// The kernel's estimate when a connection ends.
    RoundTrip,
    /// From the decision to close until the descriptor is closed.
    Close,
}

/// How a figure came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Where it happened.
    Counted,
    /// Asked of the kernel now and then.
    Sampled,
    /// From a counted number of bytes and what the kernel is known to do with bytes on that path.
    Derived,
}

impl Basis {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Sampled => "sampled",
            Self::Derived => "derived",
        }
    }
}

/// The stages that a request's total consists of, in order: nothing between them, nothing twice.
pub const REQUEST_STAGES: [Stage; 13] = [
    Stage::RunQueue,
    Stage::Turn,
    Stage::Head,
    Stage::Decrypt,
    Stage::Parse,
    Stage::Decode,
    Stage::Process,
    Stage::Body,
    Stage::Window,
    Stage::Buffer,
    Stage::Respond,
    Stage::FirstWrite,
    Stage::LastWrite,
];

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 22;

    /// All of them, in the order of the journey.
    pub const ALL: [Self; Self::COUNT] = [
        Self::AcceptQueue,
        Self::HandshakeFull,
        Self::HandshakeResumed,
        Self::HandshakeCpu,
        Self::HandOver,
        Self::FirstByte,
        Self::RunQueue,
        Self::Turn,
        Self::Head,
        Self::Decrypt,
        Self::Parse,
        Self::Decode,
        Self::Process,
        Self::Body,
        Self::Window,
        Self::Buffer,
        Self::Respond,
        Self::FirstWrite,
        Self::LastWrite,
        Self::Total,
        Self::RoundTrip,
        Self::Close,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its place in [`REQUEST_STAGES`]; None for what is no part of a request's total.
    pub fn part(self) -> Option<usize> {
        let part = self.index().checked_sub(Self::RunQueue.index())?;
        (part < REQUEST_STAGES.len()).then_some(part)
    }

    /// Whether there is one for each connection, and not for each request.
    pub fn is_of_connection(self) -> bool {
        !(self == Self::FirstByte || self == Self::Total || self.part().is_some())
    }

    /// How it is measured.
    pub fn basis(self) -> Basis {
        match self {
            Self::AcceptQueue | Self::RoundTrip => Basis::Sampled,
            _ => Basis::Counted,
        }
    }

    /// Its name in reports and metrics.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.words().1
    }

    /// What it measures, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.words().2
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::AcceptQueue => (
                "accept_queue",
                "accept queue",
                "from the end of the TCP handshake to the accept; the kernel reports it in clock \
                 ticks of 1 to 10 ms",
            ),
            Self::HandshakeFull => (
                "handshake_full",
                "full handshake",
                "from the accept to the end of a TLS handshake without a ticket",
            ),
            Self::HandshakeResumed => {
                ("handshake_resumed", "resumed handshake", "the same with a ticket")
            }
            Self::HandshakeCpu => (
                "handshake_cpu",
                "handshake CPU",
                "part of either handshake: time inside the TLS library",
            ),
            Self::HandOver => (
                "hand_over",
                "hand-over",
                "keys taken out, and given to kernel TLS where that is used",
            ),
            Self::FirstByte => (
                "first_byte",
                "first byte",
                "from the handshake or the last answer to the request's first byte: the client's \
                 time, no part of the total",
            ),
            Self::RunQueue => {
                ("run_queue", "run queue", "from its first byte to its turn on the worker")
            }
            Self::Head => {
                ("head", "head complete", "waiting for the rest of a head that came in pieces")
            }
            Self::Turn => (
                "turn",
                "turn",
                "waiting behind other requests of its connection: earlier ones of HTTP/1, other \
                 streams of HTTP/2",
            ),
            Self::Decrypt => {
                ("decrypt", "decrypt", "opening the TLS records that brought the request")
            }
            Self::Parse => ("parse", "parse", "parsing the head"),
            Self::Decode => ("decode", "decode", "deciding on the answer"),
            Self::Window => (
                "window",
                "window",
                "waiting for the client to open a window of flow control (HTTP/2)",
            ),
            Self::Process => ("process", "process", "waiting for a file to be looked up or read"),
            Self::Body => ("body", "request body", "waiting for content that the client sends"),
            Self::Buffer => ("buffer", "send buffer", "waiting for send memory"),
            Self::Respond => (
                "respond",
                "respond",
                "writing the head, sealing, and waiting for what leaves together with it",
            ),
            Self::FirstWrite => (
                "first_write",
                "first write",
                "from the first submission to its completion: the socket took bytes",
            ),
            Self::LastWrite => {
                ("last_write", "last write", "from there until the kernel took the last byte")
            }
            Self::Total => (
                "total",
                "total",
                "from the request's first byte until the kernel took the last byte of its answer: \
                 the sum of run_queue to last_write",
            ),
            Self::RoundTrip => (
                "round_trip",
                "round trip",
                "the kernel's smoothed estimate when a connection ends: about how long after \
                 last_write the last byte is acknowledged",
            ),
            Self::Close => {
                ("close", "close", "from the decision to close until the descriptor is closed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_stage_stands_at_its_index_under_a_name_of_its_own() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage.index(), index);
        }
        let names: BTreeSet<_> = Stage::ALL.map(Stage::name).into_iter().collect();
        assert_eq!(names.len(), Stage::COUNT);
    }

    #[test]
    fn parts_are_the_request_stages() {
        for (part, stage) in REQUEST_STAGES.into_iter().enumerate() {
            assert_eq!(stage.part(), Some(part));
        }
        let parts = Stage::ALL.into_iter().filter(|stage| stage.part().is_some()).count();
        assert_eq!(parts, REQUEST_STAGES.len());
        assert!(Stage::Close.is_of_connection() && !Stage::Head.is_of_connection());
    }
}
