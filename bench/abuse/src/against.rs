//! What is attacked.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Against {
    /// A server of files, by HTTP/1.1 and by what lies below.
    #[default]
    Files,
    /// A server of files, by HTTP/2.
    Http2,
    /// A server that passes requests on as well.
    Proxy,
    /// A program with handlers as well.
    Application,
}

impl Against {
    /// How a text calls the results behind the word "results".
    pub(crate) fn of(self) -> &'static str {
        match self {
            Self::Files => "",
            Self::Http2 => " of HTTP/2",
            Self::Proxy => " of the proxy",
            Self::Application => " of applications",
        }
    }
}
