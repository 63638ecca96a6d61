//! Headers, alerts and post-handshake messages.

use super::*;

#[test]
fn headers() {
    let parse = |bytes: &[u8]| RecordHeader::parse(bytes).map(|header| header.map(|h| h.length));
    assert_eq!(parse(&[]), Ok(None));
    assert_eq!(parse(&[23, 3, 3, 0]), Ok(None));
    assert_eq!(parse(&[23, 3, 3, 0x41, 0]), Ok(Some(16640)));
    assert_eq!(MAX_RECORD, HEADER + 16640);
    assert_eq!(parse(&[23, 3, 3, 0x41, 1]), Err(RecordError::Overflow));
    assert_eq!(parse(&[23, 3, 3, 0, 0]), Err(RecordError::Empty));
    assert_eq!(parse(&[22, 3, 1, 0, 1]), Err(RecordError::Version(3, 1)));
    assert_eq!(parse(&[22, 3, 4, 0, 1]), Err(RecordError::Version(3, 4)));
    assert_eq!(parse(&[24, 3, 3, 0, 1]), Err(RecordError::UnknownType(24)));
    assert_eq!(parse(b"GET / HTTP/1.1"), Err(RecordError::UnknownType(b'G')));

    let initial = |bytes| RecordHeader::parse_initial(bytes).map(|header| header.map(|h| h.length));
    assert_eq!(initial(&[22, 3, 1, 0, 1]), Ok(Some(1)));
    assert_eq!(initial(&[22, 3, 1, 0, 0]), Ok(Some(0)));
    assert_eq!(initial(&[22, 2, 0, 0, 1]), Err(RecordError::Version(2, 0)));
    assert_eq!(initial(&[22, 3, 1, 0x41, 1]), Err(RecordError::Overflow));
}

#[test]
fn control_records() {
    use ContentType::{Alert, ApplicationData, ChangeCipherSpec, Handshake};
    use TlsVersion::{Tls12, Tls13};
    type Case<'a> = (TlsVersion, ContentType, &'a [u8], Result<Control, RecordError>);
    let cases: [Case<'_>; 25] = [
        (Tls13, Alert, &[1, 0], Ok(Control::CloseNotify)),
        (Tls13, Alert, &[2, 0], Ok(Control::CloseNotify)),
        (Tls12, Alert, &[1, 0], Ok(Control::CloseNotify)),
        (Tls13, Alert, &[1, 90], Ok(Control::Ignored)),
        (Tls13, Alert, &[1, 20], Ok(Control::Failed(20))),
        (Tls13, Alert, &[77, 20], Ok(Control::Failed(20))),
        (Tls12, Alert, &[2, 20], Ok(Control::Failed(20))),
        (Tls12, Alert, &[1, 100], Ok(Control::Ignored)),
        (Tls12, Alert, &[3, 20], Err(RecordError::AlertLevel(3))),
        (Tls13, Alert, &[], Err(RecordError::MalformedAlert)),
        (Tls13, Alert, &[1], Err(RecordError::MalformedAlert)),
        (Tls13, Alert, &[1, 0, 1, 0], Err(RecordError::MalformedAlert)),
        (Tls13, Handshake, &KEY_UPDATE, Ok(Control::KeyUpdate { requested: false })),
        (Tls13, Handshake, &[24, 0, 0, 1, 1], Ok(Control::KeyUpdate { requested: true })),
        (Tls13, Handshake, &[24, 0, 0, 1, 2], Err(RecordError::KeyUpdateRequest(2))),
        (Tls13, Handshake, &[24, 0, 0, 1], Err(RecordError::MalformedKeyUpdate)),
        (Tls13, Handshake, &[24, 0, 0, 1, 0, 24], Err(RecordError::MalformedKeyUpdate)),
        (Tls13, Handshake, &[24, 0, 0, 2, 0, 0], Err(RecordError::MalformedKeyUpdate)),
        (Tls13, Handshake, &[1, 0, 0, 1, 0], Err(RecordError::UnexpectedHandshake(1))),
        (Tls13, Handshake, &[], Err(RecordError::Empty)),
        (Tls12, Handshake, &[1, 0, 0, 0], Err(RecordError::Renegotiation)),
        (Tls12, Handshake, &KEY_UPDATE, Err(RecordError::UnexpectedHandshake(24))),
        (Tls12, Handshake, &[0, 0, 0, 0], Err(RecordError::UnexpectedHandshake(0))),
        (
            Tls12,
            ChangeCipherSpec,
            &[1],
            Err(RecordError::UnexpectedType(ContentType::ChangeCipherSpec)),
        ),
        (
            Tls13,
            ApplicationData,
            b"data",
            Err(RecordError::UnexpectedType(ContentType::ApplicationData)),
        ),
    ];
    for (version, kind, payload, expected) in cases {
        assert_eq!(parse_control(version, kind, payload), expected, "{version} {payload:?}");
    }
}

#[test]
fn alerts_for_errors() {
    assert_eq!(RecordError::Overflow.alert(), AlertDescription::RecordOverflow);
    assert_eq!(RecordError::NoInnerType.alert(), AlertDescription::UnexpectedMessage);
    assert_eq!(RecordError::MalformedKeyUpdate.alert(), AlertDescription::DecodeError);
    assert_eq!(RecordError::KeyUpdateRequest(2).alert(), AlertDescription::IllegalParameter);
    assert_eq!(encode_alert(AlertDescription::CloseNotify), [1, 0]);
    assert_eq!(encode_alert(AlertDescription::BadRecordMac), [2, 20]);
}
