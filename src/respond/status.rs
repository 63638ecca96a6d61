//! The status codes that Ringway sends (RFC 9110 section 15), each with its ready-made status
//! line and, for refusals, its page. One table, so that none of the three can be forgotten.

use std::fmt;

/// The page of a refusal, complete at compile time.
macro_rules! page {
    ($code:literal, $reason:literal, $sentence:literal) => {
        concat!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
            $code,
            " ",
            $reason,
            "</title>\n<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,",
            "sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}h1{font-size:1.4rem}",
            "</style>\n<h1>",
            $code,
            " ",
            $reason,
            "</h1>\n<p>",
            $sentence,
            "</p>\n"
        )
    };
}

macro_rules! statuses {
    (
        plain { $($plain:ident = $plain_code:literal, $plain_reason:literal;)* }
        refusals { $($refused:ident = $code:literal, $reason:literal, $sentence:literal;)* }
    ) => {
        /// A status code that Ringway sends, named after its reason phrase.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Status {
            $(#[doc = concat!($plain_code, " ", $plain_reason)] $plain = $plain_code,)*
            $(#[doc = concat!($code, " ", $reason)] $refused = $code,)*
        }

        impl Status {
            /// Every status of the table, in ascending order of code.
            pub const ALL: &'static [Self] = &[$(Self::$plain,)* $(Self::$refused,)*];

            /// The status with this code, if it is one of the table.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($plain_code => Some(Self::$plain),)*
                    $($code => Some(Self::$refused),)*
                    _ => None,
                }
            }

            /// The reason phrase (RFC 9112 section 4), for people only.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$plain => $plain_reason,)*
                    $(Self::$refused => $reason,)*
                }
            }

            /// The whole status line with its CRLF.
            pub(super) const fn line(self) -> &'static [u8] {
                match self {
                    $(Self::$plain => concat!(
                        "HTTP/1.1 ", $plain_code, " ", $plain_reason, "\r\n"
                    ).as_bytes(),)*
                    $(Self::$refused => concat!(
                        "HTTP/1.1 ", $code, " ", $reason, "\r\n"
                    ).as_bytes(),)*
                }
            }

            /// The page that explains a 4xx or 5xx to a person: `text/html; charset=utf-8`, well
            /// under a kilobyte. Empty for every other status.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$plain => "",)*
                    $(Self::$refused => page!($code, $reason, $sentence),)*
                }
            }
        }
    };
}

statuses! {
    plain {
        Continue = 100, "Continue";
        Ok = 200, "OK";
        NoContent = 204, "No Content";
        PartialContent = 206, "Partial Content";
        MovedPermanently = 301, "Moved Permanently";
        Found = 302, "Found";
        SeeOther = 303, "See Other";
        NotModified = 304, "Not Modified";
        TemporaryRedirect = 307, "Temporary Redirect";
        PermanentRedirect = 308, "Permanent Redirect";
    }
    refusals {
        BadRequest = 400, "Bad Request",
            "The request does not follow the rules of HTTP, so its meaning is not certain.";
        Unauthorized = 401, "Unauthorized", "What was asked for needs a name and a password.";
        Forbidden = 403, "Forbidden", "This server may not hand out what was asked for.";
        NotFound = 404, "Not Found", "Nothing is stored under this address.";
        MethodNotAllowed = 405, "Method Not Allowed",
            "What is stored here cannot be used with this method.";
        NotAcceptable = 406, "Not Acceptable",
            "What is stored here exists in no form that the request accepts.";
        RequestTimeout = 408, "Request Timeout", "The request did not arrive in time.";
        Gone = 410, "Gone", "What was stored here is gone, and no new address is known.";
        PreconditionFailed = 412, "Precondition Failed",
            "What is stored here is not in the state that the request demands.";
        ContentTooLarge = 413, "Content Too Large",
            "The content of the request is larger than this server accepts.";
        UriTooLong = 414, "URI Too Long",
            "The address in the request is longer than this server accepts.";
        RangeNotSatisfiable = 416, "Range Not Satisfiable",
            "What is stored here has none of the bytes that were asked for.";
        ExpectationFailed = 417, "Expectation Failed",
            "The request expects something that this server does not know.";
        MisdirectedRequest = 421, "Misdirected Request",
            "This connection does not serve the host that was asked for.";
        TooManyRequests = 429, "Too Many Requests",
            "This client sends more requests than this server accepts. Try again later.";
        RequestHeaderFieldsTooLarge = 431, "Request Header Fields Too Large",
            "The head of the request is larger, or has more fields, than this server accepts.";
        UnavailableForLegalReasons = 451, "Unavailable For Legal Reasons",
            "What was asked for may not be handed out, for reasons of law.";
        InternalServerError = 500, "Internal Server Error",
            "The server failed while it answered. Its log says more.";
        NotImplemented = 501, "Not Implemented",
            "The request uses a method or a transfer coding that this server does not implement.";
        BadGateway = 502, "Bad Gateway",
            "The server behind this one gave no valid answer.";
        ServiceUnavailable = 503, "Service Unavailable",
            "The server has more to do than it can. Try again in a moment.";
        GatewayTimeout = 504, "Gateway Timeout",
            "The server behind this one did not answer in time.";
        HttpVersionNotSupported = 505, "HTTP Version Not Supported",
            "This server speaks HTTP/1.1 and HTTP/1.0.";
    }
}

impl Status {
    /// The three-digit code.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}
