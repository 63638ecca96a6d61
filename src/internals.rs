//! What `fuzz/` and `bench/micro` reach of the parts that the crate keeps to itself. Nothing here is
//! a promise: it changes with the parts.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

#[cfg(all(feature = "cli", feature = "fuzzing"))]
pub mod config {
    pub use crate::config::file_hold;
}

#[cfg(feature = "fuzzing")]
pub mod conn {
    pub use crate::conn::sites_hold;
}

pub mod decode {
    pub use crate::decode::{BodyDecoder, BodyError};
}

#[cfg(any(test, feature = "fuzzing"))]
pub mod encode {
    pub use crate::encode::hold;
}

pub mod hpack {
    pub use crate::hpack::{BlockWriter, Decoder, Field, FieldVisitor};
}

pub mod parse {
    #[cfg(feature = "fuzzing")]
    pub use crate::parse::proxy_protocol_hold;
    pub use crate::parse::{
        BodyLength, FieldStorage, HeadLimits, HeadScan, MAX_FIELDS, Method, Target, is_token_byte,
        request_head,
    };
    pub mod h2 {
        pub use crate::parse::h2::{Draft, HeadOutcome};
    }
}

pub mod process {
    pub use crate::process::{
        answer, conditional, facts, interest, multipart, negotiate, path, range, site, validator,
    };
}

pub mod record {
    pub use crate::record::{
        ContentType, MAX_OVERHEAD, MAX_PLAINTEXT, Opener, RecordHeader, Sealer, Suite, TlsVersion,
        TrafficKeys, parse_control,
    };
}

pub mod respond {
    #[cfg(any(test, feature = "fuzzing"))]
    pub use crate::respond::hold;
    pub use crate::respond::{DateCache, HeadWriter, Status};
}

pub mod ring {
    pub use crate::ring::SendClass;
    #[cfg(any(test, feature = "fuzzing"))]
    pub use crate::ring::parts;
}

#[cfg(any(test, feature = "fuzzing"))]
pub mod worker {
    pub use crate::worker::sim::{play, play_polling};
}
