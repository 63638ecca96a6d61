//! What each error says of who ended something, and why ([`Why`]).

use super::establish::EstablishError;
use crate::{
    decode::BodyError,
    handshake::HandshakeError,
    observe::Why,
    parse::{HeadError, ProxyHeaderError},
    read::ReadError,
    write::WriteError,
};

pub(super) fn of_establish(error: &EstablishError) -> Why {
    match error {
        EstablishError::TimedOut => Why::ServerTimeout,
        EstablishError::Evicted => Why::ServerEvicted,
        EstablishError::Draining => Why::ServerDrain,
        EstablishError::Socket(None) | EstablishError::Handshake(HandshakeError::Closed) => {
            Why::ClientClose
        }
        EstablishError::Socket(Some(_)) => Why::ClientReset,
        EstablishError::Announcement(ProxyHeaderError::Missing) => Why::BalancerNoHeader,
        EstablishError::Announcement(_) => Why::BalancerHeader,
        EstablishError::Untrusted => Why::BalancerUntrusted,
        EstablishError::Handshake(error) => of_handshake(error),
    }
}

fn of_handshake(error: &HandshakeError) -> Why {
    match error {
        HandshakeError::PlainHttp => Why::TlsPlainHttp,
        HandshakeError::NotTls => Why::TlsNotTls,
        HandshakeError::TooLong => Why::TlsTooLong,
        HandshakeError::Closed => Why::ClientClose,
        HandshakeError::EarlyData | HandshakeError::Unaligned => Why::TlsMessage,
        HandshakeError::InappropriateFallback => Why::TlsNoSharedVersion,
        HandshakeError::Unfinished
        | HandshakeError::Defect(_)
        | HandshakeError::Keys
        | HandshakeError::Protocol => Why::ServerDefect,
        HandshakeError::Tls(error) => of_rustls(error),
    }
}

fn of_rustls(error: &rustls::Error) -> Why {
    use rustls::{Error, InvalidMessage, PeerIncompatible};
    match error {
        Error::InvalidCertificate(_) => Why::TlsClientCertificate,
        Error::NoCertificatesPresented => Why::TlsNoClientCertificate,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Why::TlsNotTls,
        Error::NoApplicationProtocol => Why::TlsNoSharedProtocol,
        Error::AlertReceived(_) => Why::TlsClientRefused,
        Error::DecryptError | Error::PeerSentOversizedRecord => Why::TlsRecord,
        Error::PeerIncompatible(reason) => match reason {
            PeerIncompatible::NoCipherSuitesInCommon => Why::TlsNoSharedCipher,
            PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired
            | PeerIncompatible::KeyShareExtensionRequired => Why::TlsNoSharedGroup,
            PeerIncompatible::NoSignatureSchemesInCommon => Why::TlsNoSharedSignature,
            // Clients of TLS 1.1 and older must not send that extension (RFC 5246 section 7.4.1.4.1), and
            // rustls looks for it first.
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired => Why::TlsNoSharedVersion,
            _ => Why::TlsMessage,
        },
        _ => Why::TlsMessage,
    }
}

pub(super) fn of_read(error: &ReadError) -> Why {
    match error {
        ReadError::Socket(_) => Why::ClientReset,
        ReadError::Record(_) | ReadError::Kernel(_) => Why::TlsRecord,
        ReadError::Truncated => Why::ClientTruncated,
        ReadError::PeerFailed(_) => Why::ClientAlert,
        ReadError::Flood => Why::ClientFlood,
        ReadError::Defect(_) => Why::ServerDefect,
    }
}

pub(super) fn of_write(error: &WriteError) -> Why {
    match error {
        WriteError::Socket(_) => Why::ClientReset,
        WriteError::File(_) | WriteError::FileShrank | WriteError::FileStalled => Why::ServerFile,
        WriteError::Stalled => Why::ServerTimeout,
        WriteError::TooSlow => Why::ServerTooSlow,
        WriteError::Overrun => Why::ClientFlood,
        WriteError::KeyUsedUp => Why::ServerKey,
        WriteError::GivenUp | WriteError::Defect(_) | WriteError::Seal(_) => Why::ServerDefect,
    }
}

pub(super) fn of_head(error: HeadError) -> Why {
    match error {
        HeadError::EmptyLines | HeadError::RequestLine | HeadError::LineEnd => Why::RequestLine,
        HeadError::MethodTooLong => Why::RequestMethod,
        HeadError::TargetTooLong => Why::RequestTargetTooLong,
        HeadError::TargetByte | HeadError::TargetForm => Why::RequestTarget,
        HeadError::VersionUnsupported => Why::RequestVersion,
        HeadError::FieldName | HeadError::FieldValue => Why::RequestField,
        HeadError::TooManyFields => Why::RequestTooManyFields,
        HeadError::HeadTooLarge => Why::RequestHeadTooLarge,
        HeadError::HostMissing | HeadError::HostRepeated | HeadError::HostInvalid => {
            Why::RequestHost
        }
        HeadError::ContentLengthInvalid
        | HeadError::ContentLengthRepeated
        | HeadError::LengthBesideCoding
        | HeadError::CodingInHttp10
        | HeadError::CodingInvalid
        | HeadError::CodingUnsupported => Why::RequestFraming,
        HeadError::ExpectationUnknown => Why::RequestExpectation,
    }
}

pub(super) fn of_body(error: BodyError) -> Why {
    match error {
        BodyError::TooLarge => Why::RequestBodyTooLarge,
        BodyError::ChunkSize
        | BodyError::ChunkExtension
        | BodyError::ChunkExtensionTooLong
        | BodyError::LineEnd
        | BodyError::Trailer
        | BodyError::TrailerTooLong => Why::RequestBody,
    }
}

#[cfg(test)]
mod tests {
    use rustls::{Error, PeerIncompatible};

    use super::*;

    #[test]
    fn clients_of_old_versions_are_no_matter_of_signatures() {
        for (reason, why) in [
            (PeerIncompatible::SignatureAlgorithmsExtensionRequired, Why::TlsNoSharedVersion),
            (PeerIncompatible::Tls12NotOffered, Why::TlsNoSharedVersion),
            (PeerIncompatible::NoSignatureSchemesInCommon, Why::TlsNoSharedSignature),
        ] {
            assert_eq!(of_rustls(&Error::PeerIncompatible(reason)), why);
        }
    }
}
