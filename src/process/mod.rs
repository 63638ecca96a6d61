//! Process: from a request to its answer.
//!
//! These modules decide over facts and do no I/O: the same request, the same
//! facts about the files and the same second give the same answer. `crate::files` finds the facts.
//! [`site`] ties the rest together:
//!
//! | step | module | source |
//! |---|---|---|
//! | which site and route it takes | [`routes`] | RFC 9110 section 7.2 |
//! | where a redirect leads | [`redirect`] | RFC 9110 section 15.4 |
//! | which file is named | [`path`], [`percent`] | RFC 3986 sections 2 and 3.3 |
//! | what the request asks for | [`interest`] | RFC 9110 section 5.3 |
//! | what kind of thing it is | [`media_type`] | RFC 9110 section 8.3 |
//! | which of its codings to send | [`negotiate`] | RFC 9110 section 12.5.3 |
//! | how long it may be cached | `caching` | RFC 9111 section 5.2 |
//! | which version it is | [`validator`] | RFC 9110 section 8.8 |
//! | whether the client needs it | [`conditional`] | RFC 9110 section 13 |
//! | which bytes of it | [`range`], [`multipart`] | RFC 9110 section 14 |
//! | what stands where there is no file | [`listing`], [`page`] | RFC 9110 section 15 |
//! | the decision, and the answer | [`site`], [`facts`], [`answer`] | |

#![forbid(unsafe_code)]

pub mod answer;
pub(crate) mod caching;
pub mod conditional;
pub mod facts;
pub mod interest;
pub(crate) mod listing;
pub(crate) mod media_type;
pub mod multipart;
pub mod negotiate;
pub(crate) mod page;
pub mod path;
pub(crate) mod percent;
pub mod range;
pub(crate) mod redirect;
pub(crate) mod routes;
pub mod site;
pub mod validator;
