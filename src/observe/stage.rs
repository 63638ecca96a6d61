//! The stages of a journey: one row of one table for each.

/// How a figure came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

/// What happens in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something is waited for.
    Wait,
    /// Ringway computes.
    Compute,
    /// The kernel works.
    Kernel,
    /// It is the sum of others.
    Sum,
}

impl Kind {
    /// As reports spell it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Compute => "compute",
            Self::Kernel => "kernel",
            Self::Sum => "sum",
        }
    }
}

/// Whose time a part of a request is, as far as the stage says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The client's.
    Client,
    /// The server's.
    Server,
    /// The server's behind this one.
    Upstream,
    /// The kernel divides it among client, network and server ([`Delivery`](super::Delivery)).
    Delivery,
}

/// What a stage belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// There is one for each connection.
    Connection,
    /// There is one for each request, but it is no part of the request's total.
    Request,
    /// A part of a request's total.
    Part(Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    whose: Whose,
    always: bool,
}

/// A part that each request passes.
const fn always(whose: Whose) -> Of {
    Of::Part(Part { whose, always: true })
}

/// A part that few requests pass. Recording it costs others nothing.
const fn seldom(whose: Whose) -> Of {
    Of::Part(Part { whose, always: false })
}

/// What is known of a stage.
struct Row {
    name: &'static str,
    title: &'static str,
    of: Of,
    basis: Basis,
    kind: Kind,
    meaning: &'static str,
}

/// Declares [`Stage`]: its variants in the order of the journey, each with its row.
macro_rules! stages {
    ($($variant:ident $name:literal, $title:literal, $of:expr, $basis:ident, $kind:ident, $meaning:literal;)*) => {
        /// Where time goes, in the order of the journey.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Stage {
            $(#[doc = $meaning] $variant,)*
        }

        impl Stage {
            /// All of them, in the order of the journey.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)*];

            /// How many there are.
            pub const COUNT: usize = [$($name,)*].len();
        }

        const ROWS: [Row; Stage::COUNT] = [$(Row {
            name: $name,
            title: $title,
            of: $of,
            basis: Basis::$basis,
            kind: Kind::$kind,
            meaning: $meaning,
        },)*];
    };
}

// Parts of a request's total follow each other. A new stage is a row here; `docs/anatomy.md` and
// `docs/anatomy-json.md` explain each.
stages! {
    AcceptQueue "accept_queue", "accept queue", Of::Connection, Sampled, Wait,
        "from the end of the TCP handshake to the accept; the kernel reports it in clock ticks of 1 to 10 ms";
    HandshakeFull "handshake_full", "full handshake", Of::Connection, Counted, Compute,
        "from the accept to the end of a TLS handshake without a ticket";
    HandshakeResumed "handshake_resumed", "resumed handshake", Of::Connection, Counted, Compute,
        "the same with a ticket";
    HandshakeCpu "handshake_cpu", "handshake CPU", Of::Connection, Counted, Compute,
        "part of either handshake: time inside the TLS library";
    HandOver "hand_over", "hand-over", Of::Connection, Counted, Kernel,
        "keys taken out, and given to kernel TLS where that is used";
    FirstByte "first_byte", "first byte", Of::Request, Counted, Wait,
        "from the handshake or the last answer to the request's first byte: the client's time, no part of the total";
    RunQueue "run_queue", "run queue", always(Whose::Server), Counted, Wait,
        "from its first byte to its turn on the worker";
    Turn "turn", "turn", seldom(Whose::Server), Counted, Wait,
        "waiting behind other requests of its connection: earlier ones of HTTP/1, other streams of HTTP/2";
    Head "head", "rest of the head", seldom(Whose::Client), Counted, Wait,
        "waiting for the rest of a head that came in pieces";
    Decrypt "decrypt", "decrypt", always(Whose::Server), Counted, Compute,
        "opening the TLS records that brought the request";
    Parse "parse", "parse", always(Whose::Server), Counted, Compute,
        "parsing the head";
    Decode "decode", "decode", always(Whose::Server), Counted, Compute,
        "deciding on the answer";
    Process "process", "process", seldom(Whose::Server), Counted, Kernel,
        "waiting for a file to be looked up or read";
    Body "body", "request body", seldom(Whose::Client), Counted, Wait,
        "waiting for content that the client sends";
    Handler "handler", "handler", seldom(Whose::Server), Counted, Compute,
        "in code of an application: the sum of its polls";
    Waiting "waiting", "waiting", seldom(Whose::Server), Counted, Wait,
        "waiting for what an application waits for: a timer, a task, a socket of its own";
    Queue "queue", "queue", seldom(Whose::Server), Counted, Wait,
        "waiting in the line of a pool for a place at one of its servers";
    Connect "connect", "connect", seldom(Whose::Upstream), Counted, Wait,
        "waiting for a connection to a server of a pool";
    Upstream "upstream", "upstream", seldom(Whose::Upstream), Counted, Wait,
        "waiting for a server of a pool to take the request and to begin its response";
    UpstreamBody "upstream_body", "upstream body", seldom(Whose::Upstream), Counted, Wait,
        "waiting for more of a response that a server of a pool has begun";
    Compress "compress", "compress", seldom(Whose::Server), Counted, Compute,
        "compressing content of the answer while it is sent: the sum of the pieces";
    Window "window", "window", seldom(Whose::Client), Counted, Wait,
        "waiting for the client to open a window of flow control (HTTP/2)";
    Buffer "buffer", "send buffer", seldom(Whose::Server), Counted, Wait,
        "waiting for send memory";
    Respond "respond", "respond", always(Whose::Server), Counted, Compute,
        "writing the head, sealing, and waiting for what leaves together with it";
    FirstWrite "first_write", "first write", always(Whose::Server), Counted, Kernel,
        "from the first submission to its completion: the socket took bytes";
    LastWrite "last_write", "rest of the answer", seldom(Whose::Delivery), Counted, Wait,
        "from there until the kernel took the last byte";
    Total "total", "total", Of::Request, Counted, Sum,
        "from the request's first byte until the kernel took the last byte of its answer: the sum of run_queue to last_write";
    RoundTrip "round_trip", "round trip", Of::Connection, Sampled, Wait,
        "the kernel's smoothed estimate when a connection ends: about how long after last_write the last byte is acknowledged";
    Close "close", "close", Of::Connection, Counted, Kernel,
        "from the decision to close until the descriptor is closed";
}

/// The first part of a request's total.
const FIRST_PART: usize = Stage::RunQueue as usize;

/// How many parts a request's total has.
const PARTS: usize = {
    let (mut parts, mut at) = (0, 0);
    while at < Stage::COUNT {
        if let Of::Part(_) = ROWS[at].of {
            assert!(at == FIRST_PART + parts, "parts follow each other");
            parts += 1;
        }
        at += 1;
    }
    parts
};

/// The stages that a request's total consists of, in order: nothing between them, nothing twice.
pub const REQUEST_STAGES: [Stage; PARTS] = {
    let (mut parts, mut at) = ([Stage::Total; PARTS], 0);
    while at < PARTS {
        parts[at] = Stage::ALL[FIRST_PART + at];
        at += 1;
    }
    parts
};

/// Whose time each of them is.
pub(super) const WHOSE: [Whose; PARTS] = {
    let (mut whose, mut at) = ([Whose::Server; PARTS], 0);
    while at < PARTS {
        if let Of::Part(part) = ROWS[FIRST_PART + at].of {
            whose[at] = part.whose;
        }
        at += 1;
    }
    whose
};

const fn count(always: bool) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < PARTS {
        if is_passed(REQUEST_STAGES[at], always) {
            count += 1;
        }
        at += 1;
    }
    count
}

const fn is_passed(stage: Stage, always: bool) -> bool {
    matches!(ROWS[stage as usize].of, Of::Part(part) if part.always == always)
}

const fn select<const COUNT: usize>(always: bool) -> [Stage; COUNT] {
    let (mut selected, mut into, mut at) = ([Stage::Total; COUNT], 0, 0);
    while at < PARTS {
        if is_passed(REQUEST_STAGES[at], always) {
            selected[into] = REQUEST_STAGES[at];
            into += 1;
        }
        at += 1;
    }
    selected
}

/// The parts that each request passes.
pub(super) const ALWAYS: [Stage; count(true)] = select(true);

/// The other parts.
pub(super) const SELDOM: [Stage; count(false)] = select(false);

impl Stage {
    fn row(self) -> &'static Row {
        &ROWS[self.index()]
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its place in [`REQUEST_STAGES`]; None for what is no part of a request's total.
    #[inline]
    pub const fn part(self) -> Option<usize> {
        match self.index().checked_sub(FIRST_PART) {
            Some(part) if part < PARTS => Some(part),
            _ => None,
        }
    }

    /// Whether a request in it waits for something that is not the worker's, so that it loses nothing
    /// while the worker does not run, but at the end of the wait.
    pub(super) const fn is_apart(self) -> bool {
        matches!(
            self,
            Self::Head
                | Self::Process
                | Self::Waiting
                | Self::Body
                | Self::Queue
                | Self::Connect
                | Self::Upstream
                | Self::UpstreamBody
                | Self::Window
        )
    }

    /// Whether there is one for each connection, and not for each request.
    pub fn is_of_connection(self) -> bool {
        self.row().of == Of::Connection
    }

    /// How it is measured.
    pub fn basis(self) -> Basis {
        self.row().basis
    }

    /// What happens in it.
    pub(super) fn kind(self) -> Kind {
        self.row().kind
    }

    /// Its name in reports and metrics.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What it measures, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
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
            assert!(!stage.is_of_connection());
        }
        let parts = Stage::ALL.into_iter().filter(|stage| stage.part().is_some()).count();
        assert_eq!(parts, REQUEST_STAGES.len());
        assert!(Stage::Close.is_of_connection());
        assert_eq!(
            WHOSE.map(|whose| whose == Whose::Delivery).iter().position(|is| *is),
            Stage::LastWrite.part()
        );
    }

    #[test]
    fn parts_that_are_always_and_seldom_passed_are_all() {
        let mut all: Vec<_> = ALWAYS.into_iter().chain(SELDOM).map(Stage::index).collect();
        all.sort_unstable();
        assert_eq!(all, REQUEST_STAGES.map(Stage::index));
        assert!(ALWAYS.contains(&Stage::Respond) && SELDOM.contains(&Stage::LastWrite));
    }

    #[test]
    fn the_documents_have_every_stage() {
        let text = include_str!("../../docs/anatomy.md");
        for stage in Stage::ALL {
            assert!(text.contains(&format!("`{}`", stage.name())), "{stage:?}");
        }
    }
}
