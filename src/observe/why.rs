//! Why something ended other than by its answer: by whom, and for what reason. With the phase in
//! which it happened that is the *end code* of a request or a connection.

use std::fmt;

use super::{Stage, stage::REQUEST_STAGES};

/// Declares [`Why`] with the name and the meaning of each reason.
macro_rules! reasons {
    ($($variant:ident $name:literal $meaning:literal,)*) => {
        /// Who ended a request or a connection, and why: `party.reason` in reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Why {
            $(#[doc = $meaning] $variant,)*
        }

        impl Why {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn words(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$variant => ($name, $meaning),)*
                }
            }
        }
    };
}

reasons! {
    ClientClose "client.close" "The client closed the connection: with close_notify, or by FIN behind bytes that were not wanted yet.",
    ClientTruncated "client.truncated" "The client sent FIN without close_notify.",
    ClientReset "client.reset" "The connection failed: a reset by the client, or by the network.",
    ClientAlert "client.alert" "The client sent a fatal alert.",
    ClientLast "client.last" "The client asked for the connection to end with this answer.",
    ClientCancel "client.cancel" "The client cancelled the request (RST_STREAM in HTTP/2).",
    ClientFlood "client.flood" "The client sent more control messages, or more requests without reading answers, than are tolerated.",
    ClientRate "client.rate" "The client asked more often than a rate of the route allows.",
    ClientCredentials "client.credentials" "The client gave no name and password that the route accepts.",
    ServerTimeout "server.timeout" "A deadline passed.",
    ServerTooSlow "server.too_slow" "The client sent or took less than the minimum rate.",
    ServerIdle "server.idle" "No request came within the idle timeout.",
    ServerTunnelIdle "server.tunnel_idle" "Neither side of a tunnel sent anything within its idle timeout.",
    ServerRequests "server.requests" "The connection had as many requests as it may have.",
    ServerDrain "server.drain" "The server is stopping.",
    ServerEvicted "server.evicted" "The connection was idle and made room for another.",
    ServerBusy "server.busy" "Too many handshakes or look-ups were in flight.",
    ServerFile "server.file" "The file could not be read in time, or became shorter while it was sent.",
    ServerKey "server.key" "The key has sealed as many records as it may, and there is no other.",
    ServerAbandoned "server.abandoned" "The task of the connection ended without a reason: a defect of Ringway.",
    ServerDefect "server.defect" "An invariant was broken: a defect of Ringway.",
    ServerError "server.error" "The answer could not be made (5xx).",
    UpstreamConnect "upstream.connect" "No server of the pool could be connected.",
    UpstreamTimeout "upstream.timeout" "The server behind this one took, or sent, nothing within its time.",
    UpstreamCut "upstream.cut" "The server behind this one ended its connection before the end of its response.",
    UpstreamProtocol "upstream.protocol" "The server behind this one sent a malformed response.",
    UpstreamBusy "upstream.busy" "The line for the pool was full, or took too long.",
    BalancerNoHeader "balancer.no_header" "A trusted balancer sent no PROXY header.",
    BalancerHeader "balancer.header" "The PROXY header of a trusted balancer is malformed.",
    BalancerUntrusted "balancer.untrusted" "A PROXY header came from a peer that is no trusted balancer.",
    TlsPlainHttp "tls.plain_http" "The client sent HTTP without TLS.",
    TlsNotTls "tls.not_tls" "The first bytes are no TLS record.",
    TlsNoSharedVersion "tls.no_shared_version" "Client and server have no version of TLS in common.",
    TlsNoSharedCipher "tls.no_shared_cipher" "Client and server have no cipher suite in common.",
    TlsNoSharedGroup "tls.no_shared_group" "Client and server have no key exchange group in common.",
    TlsNoSharedSignature "tls.no_shared_signature" "The server has no certificate whose signature the client can check.",
    TlsNoSharedProtocol "tls.no_shared_protocol" "Client and server have no application protocol (ALPN) in common.",
    TlsClientCertificate "tls.client_certificate" "The client's certificate was refused.",
    TlsNoClientCertificate "tls.no_client_certificate" "The client showed no certificate, and one is required.",
    TlsClientRefused "tls.client_refused" "The client refused with an alert: often it does not trust the certificate.",
    TlsTooLong "tls.too_long" "The client sent more handshake bytes or records than are accepted.",
    TlsMessage "tls.message" "A handshake message was malformed or came out of turn.",
    TlsRecord "tls.record" "A record was refused: it failed its check, or had a wrong type or length.",
    RequestLine "request.line" "The request line is malformed.",
    RequestTarget "request.target" "The target is malformed, or has a form that its method does not allow.",
    RequestTargetTooLong "request.target_too_long" "The target is longer than --max-target.",
    RequestVersion "request.version" "The version of HTTP is not supported.",
    RequestMethod "request.method" "The method is unknown.",
    RequestField "request.field" "A field line is malformed.",
    RequestTooManyFields "request.too_many_fields" "The head has more field lines than --max-fields.",
    RequestHeadTooLarge "request.head_too_large" "The head is larger than --max-head.",
    RequestHost "request.host" "Host is missing, repeated or malformed.",
    RequestFraming "request.framing" "Content-Length or Transfer-Encoding is malformed or ambiguous.",
    RequestExpectation "request.expectation" "The expectation is not 100-continue.",
    RequestBodyTooLarge "request.body_too_large" "The content is longer than --max-body.",
    RequestBody "request.body" "The chunks of the content, or its trailers, are malformed.",
    Http2Protocol "http2.protocol" "The client broke the rules of HTTP/2 (PROTOCOL_ERROR, FRAME_SIZE_ERROR).",
    Http2FlowControl "http2.flow_control" "The client broke flow control (FLOW_CONTROL_ERROR).",
    Http2Compression "http2.compression" "A field block could not be decoded (COMPRESSION_ERROR).",
    Http2Flood "http2.flood" "The client sent too many frames that only cost (ENHANCE_YOUR_CALM).",
    Http2Refused "http2.refused" "The stream was refused before it was served (REFUSED_STREAM).",
}

impl Why {
    /// `party.reason`.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.words().1
    }

    /// Whether a deadline, or the minimum rate, ended it. An idle connection is no such end.
    pub fn is_deadline(self) -> bool {
        matches!(self, Self::ServerTimeout | Self::ServerTooSlow)
    }

    /// Whether it says by itself where in a journey it happened.
    fn implies_phase(self) -> bool {
        !(self.name().starts_with("client.") || self.name().starts_with("server."))
    }
}

/// Where a connection or request was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// In the TLS handshake.
    Handshake,
    /// Between requests.
    Idle,
    /// In this stage of a request.
    Request(Stage),
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = 2 + REQUEST_STAGES.len();

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Handshake, Self::Idle].into_iter().chain(REQUEST_STAGES.map(Self::Request))
    }

    /// Its name in reports: that of the stage, or one of its own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Request(stage) => stage.name(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Handshake => 0,
            Self::Request(stage) => stage.part().map_or(1, |part| 2 + part),
            Self::Idle => 1,
        }
    }
}

/// Why and where something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// By whom, and for what reason.
    pub why: Why,
    /// Where it was.
    pub phase: Phase,
}

/// The end code: `party.reason.phase`, or `party.reason` where that says the phase.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why.name())?;
        if !self.why.implies_phase() {
            write!(f, ".{}", self.phase.name())?;
        }
        Ok(())
    }
}

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// A connection.
    Connection,
    /// A request that was answered with a refusal.
    Refused,
    /// A request whose answer did not leave completely.
    Aborted,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Connection, Self::Refused, Self::Aborted];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }
}

/// How often each end came.
#[derive(Clone, Debug)]
pub struct Ends(Box<[u64]>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0; Self::LEN].into_boxed_slice())
    }
}

impl Ends {
    pub(super) const LEN: usize = Ended::ALL.len() * Why::ALL.len() * Phase::COUNT;

    /// Memory of one worker's.
    pub(super) const BYTES: usize = Self::LEN * size_of::<u64>();

    /// Of such counts.
    pub(super) fn of(counts: &[u64]) -> Self {
        Self(counts.into())
    }

    /// All counts.
    pub(super) fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Counts one.
    pub(super) fn count(&mut self, what: Ended, end: End) {
        let of = what as usize * Why::ALL.len() + end.why as usize;
        if let Some(count) = self.0.get_mut(of * Phase::COUNT + end.phase.index()) {
            *count += 1;
        }
    }

    /// Those that came at least once.
    pub fn iter(&self) -> impl Iterator<Item = (Ended, End, u64)> {
        let reasons =
            Ended::ALL.into_iter().flat_map(|what| Why::ALL.iter().map(move |w| (what, *w)));
        let each = reasons
            .flat_map(|(what, why)| Phase::all().map(move |phase| (what, End { why, phase })));
        let counted = each.zip(&self.0).map(|((what, end), count)| (what, end, *count));
        counted.filter(|(_, _, count)| *count > 0)
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_name_of_its_own_that_begins_with_a_party() {
        let names: BTreeSet<_> = Why::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), Why::ALL.len());
        for why in Why::ALL {
            let party = why.name().split_once('.').map(|(party, _)| party);
            assert!(
                ["client", "server", "upstream", "balancer", "tls", "request", "http2"]
                    .map(Some)
                    .contains(&party),
                "{why:?}"
            );
            assert!(why.meaning().ends_with('.'), "{why:?}");
        }
    }

    #[test]
    fn each_end_has_a_place() {
        let mut ends = Ends::default();
        let all =
            Ended::ALL.into_iter().flat_map(|what| Why::ALL.iter().map(move |why| (what, *why)));
        for (what, why) in all {
            Phase::all().for_each(|phase| ends.count(what, End { why, phase }));
        }
        assert_eq!(ends.iter().count(), Ends::LEN);
        assert!(ends.iter().all(|(_, _, count)| count == 1));
    }

    #[test]
    fn a_code_names_party_reason_and_phase() {
        let code = |why, phase| End { why, phase }.to_string();
        let phase = Phase::Request(Stage::LastWrite);
        assert_eq!(code(Why::ClientReset, phase), "client.reset.last_write");
        assert_eq!(code(Why::ServerTimeout, Phase::Handshake), "server.timeout.handshake");
        assert_eq!(code(Why::TlsNotTls, Phase::Handshake), "tls.not_tls");
    }

    #[test]
    fn the_documents_have_every_reason() {
        let text = include_str!("../../docs/anatomy.md");
        for why in Why::ALL {
            let row = format!("| `{}` | {} |", why.name(), why.meaning());
            assert!(text.contains(&row), "docs/anatomy.md lacks: {row}");
        }
    }
}
