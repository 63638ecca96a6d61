//! The reason phrases of the status codes that are registered (RFC 9110 section 15 and the registry of
//! IANA), for answers that are not ours: ours are in [`Status`](super::Status).

/// The reason phrase of a status code; empty for one that is not registered, which RFC 9112 section 4
/// allows.
pub(super) const fn reason(code: u16) -> &'static str {
    match code {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::Status;

    /// The registry of IANA, but for the interim responses that no response ends with, 305 and 306, which are
    /// deprecated, and 418 and 510, which nobody answers with.
    #[test]
    fn every_registered_code_has_a_phrase() {
        let registered: Vec<u16> = (0..1000).filter(|code| !reason(*code).is_empty()).collect();
        let ranges =
            [101..102, 200..209, 226..227, 300..305, 307..309, 400..418, 421..427, 428..430];
        let ranges = ranges.into_iter().chain([431..432, 451..452, 500..509, 511..512]);
        assert_eq!(registered, ranges.flatten().collect::<Vec<u16>>());
    }

    #[test]
    fn our_own_phrases_are_the_registered_ones() {
        for status in Status::ALL {
            if status.code() >= 200 {
                assert_eq!(reason(status.code()), status.reason(), "{status}");
            }
        }
    }
}
