//! Which content coding to send (RFC 9110 section 12.5.3).
//!
//! The invariant: a coding is chosen only if its file is there and the client named it, or named
//! `*`, with a weight above zero. At equal weights the smaller file is likelier: `br` before `zstd`
//! before `gzip`, and any of them before the plain file.
//!
//! A client that refuses the plain file (`identity;q=0`) where nothing else can be sent gets it all
//! the same: section 12.1 lets a server disregard a preference rather than answer 406, and a file
//! that is there serves people better than its absence.

use super::interest::Lines;
use crate::config::Compression;

/// A content coding (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// The file itself.
    #[default]
    Identity,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstandard,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// The codings that a sibling file may carry, the preferred first.
    pub const SIBLINGS: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// The token of `Content-Encoding`; none for the plain file.
    pub fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Brotli => Some("br"),
            Self::Zstandard => Some("zstd"),
            Self::Gzip => Some("gzip"),
        }
    }

    /// What the sibling file's name has after the name of the plain file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// The coding that a token of `Accept-Encoding` names. `x-gzip` is `gzip` by another name
    /// (RFC 9110 section 8.4.1.3).
    fn named(token: &[u8]) -> Option<Self> {
        let is = |wanted: &str| token.eq_ignore_ascii_case(wanted.as_bytes());
        match token.len() {
            2 if is("br") => Some(Self::Brotli),
            4 if is("zstd") => Some(Self::Zstandard),
            4 if is("gzip") => Some(Self::Gzip),
            6 if is("x-gzip") => Some(Self::Gzip),
            8 if is("identity") => Some(Self::Identity),
            _ => None,
        }
    }
}

/// Which sibling files are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Siblings(u8);

impl Siblings {
    /// These and one more; the plain file is always there and does not count.
    #[must_use]
    pub fn with(self, coding: Coding) -> Self {
        match coding {
            Coding::Identity => self,
            _ => Self(self.0 | 1 << coding as u8),
        }
    }

    /// Whether this sibling is there.
    pub fn has(self, coding: Coding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }

    /// Those of these that others are not among.
    #[must_use]
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none, so that nothing is negotiated and the answer does not vary.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Compression> for Siblings {
    fn from(codings: Compression) -> Self {
        let Compression { zstd, brotli, gzip } = codings;
        let all = [(zstd, Coding::Zstandard), (brotli, Coding::Brotli), (gzip, Coding::Gzip)];
        let wanted = all.into_iter().filter(|(wanted, _)| *wanted);
        wanted.fold(Self::default(), |all, (_, coding)| all.with(coding))
    }
}

/// The weight of what the client did not mention but may be sent: below any that it did.
const UNMENTIONED: u16 = 1;

/// Chooses the coding to send. Without an `Accept-Encoding` field any coding would be acceptable,
/// and the plain file is the one that surely is understood.
pub fn choose(accept_encoding: &Lines<'_>, siblings: Siblings) -> Coding {
    if siblings.is_empty() || accept_encoding.is_empty() {
        return Coding::Identity;
    }
    Weights::read(accept_encoding).best(siblings)
}

/// Chooses among the codings of files that are there, those that were made of the file, and those that
/// can be: the coding to send, and another one that is worth making for such clients. A file that is there
/// comes before what can be made.
pub(crate) fn choose_or_make(
    accept_encoding: &Lines<'_>,
    there: Siblings,
    made: Siblings,
    offered: Siblings,
) -> (Coding, Option<Coding>) {
    if accept_encoding.is_empty() {
        return (Coding::Identity, None);
    }
    let weights = Weights::read(accept_encoding);
    let best = weights.best(there);
    if best != Coding::Identity {
        return (best, None);
    }
    let wanted = weights.best(offered);
    let is_missing = wanted != Coding::Identity && !made.has(wanted);
    (weights.best(made), is_missing.then_some(wanted))
}

/// Chooses the coding that content is compressed with while it is sent: at equal weights the one that
/// costs least for what it saves, `zstd` before `br` before `gzip`.
pub(crate) fn choose_to_stream(accept_encoding: &Lines<'_>, offered: Siblings) -> Coding {
    if offered.is_empty() || accept_encoding.is_empty() {
        return Coding::Identity;
    }
    let cheapest_first = [Coding::Zstandard, Coding::Brotli, Coding::Gzip];
    Weights::read(accept_encoding).best_in(cheapest_first, offered)
}

/// The weights of an `Accept-Encoding` field, in thousandths. Of a coding that is mentioned twice
/// the last mention counts; a weight that cannot be read is zero.
#[derive(Default)]
struct Weights {
    named: [Option<u16>; 4],
    any: Option<u16>,
}

impl Weights {
    fn read(lines: &Lines<'_>) -> Self {
        let mut weights = Self::default();
        for member in lines.iter().flat_map(|line| line.split(|&byte| byte == b',')) {
            let (token, parameter) = match member.iter().position(|&byte| byte == b';') {
                Some(at) => (&member[..at], Some(&member[at + 1..])),
                None => (member, None),
            };
            let token = token.trim_ascii();
            // A weight that is none refuses the coding, which is safe: identity remains.
            let weight = parameter.map_or(Some(1_000), weight).unwrap_or(0);
            if token == b"*" {
                weights.any = Some(weight);
            } else if let Some(coding) = Coding::named(token) {
                weights.named[coding as usize] = Some(weight);
            }
        }
        weights
    }

    /// The coding of the highest weight; of several the first in the order of [`Coding::SIBLINGS`].
    fn best(&self, siblings: Siblings) -> Coding {
        self.best_in(Coding::SIBLINGS, siblings)
    }

    /// The coding of the highest weight; of several the first in this order.
    fn best_in(&self, order: [Coding; 3], siblings: Siblings) -> Coding {
        let mut best = Coding::Identity;
        let mut best_weight = 0;
        for coding in order {
            // A coding that is not mentioned is not wanted.
            let weight = self.of(coding).unwrap_or(0);
            if siblings.has(coding) && weight > best_weight {
                (best, best_weight) = (coding, weight);
            }
        }
        let identity = self.of(Coding::Identity).unwrap_or(UNMENTIONED);
        if identity > best_weight { Coding::Identity } else { best }
    }

    fn of(&self, coding: Coding) -> Option<u16> {
        self.named[coding as usize].or(self.any)
    }
}

/// Reads `q=` and a qvalue (RFC 9110 section 12.4.2) into thousandths.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b"q" | b"Q", value) = parameter.trim_ascii().split_at_checked(1)? else { return None };
    let (whole, fraction) = match value.strip_prefix(b"=")? {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.get(place).unwrap_or(&b'0');
        thousandths = thousandths * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Coding, Lines, Siblings, choose, choose_or_make, choose_to_stream, weight};

    fn siblings(codings: &[Coding]) -> Siblings {
        codings.iter().fold(Siblings::default(), |all, &coding| all.with(coding))
    }

    fn chosen(lines: &[&str], codings: &[Coding]) -> Coding {
        let mut all = Lines::default();
        for line in lines {
            all.push(line.as_bytes());
        }
        choose(&all, siblings(codings))
    }

    #[test]
    fn siblings_are_a_set() {
        let twice = Siblings::default().with(Coding::Gzip).with(Coding::Gzip);
        assert!(twice.has(Coding::Gzip) && !twice.has(Coding::Brotli) && !twice.is_empty());
        let both = twice.with(Coding::Brotli).with(Coding::Identity);
        assert_eq!(both.without(twice), siblings(&[Coding::Brotli]));
        assert!(twice.without(both).is_empty());
    }

    #[test]
    fn the_servers_preference_decides_at_equal_weights() {
        use Coding::{Brotli, Gzip, Identity, Zstandard};
        let all = [Gzip, Zstandard, Brotli];
        assert_eq!(chosen(&["gzip, deflate, br, zstd"], &all), Brotli);
        assert_eq!(chosen(&["gzip, zstd"], &all), Zstandard);
        assert_eq!(chosen(&["gzip, deflate, br, zstd"], &[Gzip]), Gzip);
        assert_eq!(chosen(&["gzip, identity"], &all), Gzip);
        assert_eq!(chosen(&["*"], &all), Brotli);
        assert_eq!(chosen(&["gzip", "br"], &all), Brotli);
        assert_eq!(chosen(&["deflate"], &all), Identity);
        assert_eq!(chosen(&["gzip"], &[]), Identity);
    }

    #[test]
    fn weights_decide_first() {
        use Coding::{Brotli, Gzip, Identity, Zstandard};
        let all = [Gzip, Zstandard, Brotli];
        assert_eq!(chosen(&["br;q=0.5, gzip;q=0.8"], &all), Gzip);
        assert_eq!(chosen(&["br;q=0, *"], &all), Zstandard);
        assert_eq!(chosen(&["*;q=0, gzip"], &all), Gzip);
        assert_eq!(chosen(&["gzip;q=0"], &all), Identity);
        assert_eq!(chosen(&["identity, gzip;q=0.9"], &all), Identity);
        assert_eq!(chosen(&["identity;q=0.2, gzip;q=0.9"], &all), Gzip);
        assert_eq!(chosen(&["gzip;q=0.001"], &all), Gzip);
        assert_eq!(chosen(&["gzip;q=0.5, *;q=0.8"], &[Gzip]), Identity);
        assert_eq!(chosen(&["GZIP ; Q=1.000"], &all), Gzip);
        assert_eq!(chosen(&["x-gzip"], &all), Gzip);
    }

    #[test]
    fn absence_emptiness_and_refusal() {
        use Coding::{Brotli, Gzip, Identity};
        assert_eq!(chosen(&[], &[Gzip]), Identity);
        assert_eq!(chosen(&[""], &[Gzip]), Identity);
        assert_eq!(chosen(&["identity;q=0, gzip"], &[Gzip]), Gzip);
        assert_eq!(chosen(&["identity;q=0"], &[Gzip]), Identity);
        assert_eq!(chosen(&["*;q=0"], &[Gzip]), Identity);
        assert_eq!(chosen(&["gzip;q=2, br;q=x, ,,"], &[Gzip, Brotli]), Identity);
    }

    #[test]
    fn a_file_that_is_there_comes_before_what_can_be_made() {
        use Coding::{Brotli, Gzip, Identity, Zstandard};
        let chosen = |accept: &str, there: &[Coding], made: &[Coding]| {
            let mut lines = Lines::default();
            lines.push(accept.as_bytes());
            let offered = siblings(&[Brotli, Zstandard]);
            choose_or_make(&lines, siblings(there), siblings(made), offered)
        };
        assert_eq!(chosen("gzip, br", &[Gzip], &[Brotli]), (Gzip, None));
        assert_eq!(chosen("br", &[Gzip], &[]), (Identity, Some(Brotli)));
        assert_eq!(chosen("br, zstd", &[], &[Zstandard]), (Zstandard, Some(Brotli)));
        assert_eq!(chosen("br, zstd", &[], &[Zstandard, Brotli]), (Brotli, None));
        assert_eq!(chosen("gzip", &[], &[Brotli]), (Identity, None));
        assert_eq!(chosen("br;q=0.5, identity", &[], &[Brotli]), (Identity, None));
        assert_eq!(
            choose_or_make(&Lines::default(), siblings(&[Gzip]), siblings(&[]), siblings(&[Gzip])),
            (Identity, None)
        );
        let all = siblings(&Coding::SIBLINGS);
        for (value, offered, expected) in [
            (&b"gzip, br, zstd"[..], all, Zstandard),
            (b"gzip, br", all, Brotli),
            (b"gzip, br, zstd", siblings(&[Gzip, Brotli]), Brotli),
            (b"gzip;q=1, br;q=0.9, zstd;q=0", all, Gzip),
            (b"*", all, Zstandard),
            (b"*, zstd;q=0", all, Brotli),
            (b"identity", all, Identity),
            (b"identity;q=1, gzip;q=0.5", all, Identity),
            (b"deflate", all, Identity),
            (b"gzip", siblings(&[]), Identity),
        ] {
            let mut lines = Lines::default();
            lines.push(value);
            assert_eq!(choose_to_stream(&lines, offered), expected, "{}", value.escape_ascii());
        }
        assert_eq!(choose_to_stream(&Lines::default(), all), Identity);
    }

    #[test]
    fn qvalues_by_the_grammar() {
        for (text, thousandths) in
            [("q=0", 0), ("q=1", 1_000), ("q=0.", 0), ("q=1.0", 1_000), (" Q=0.25 ", 250)]
        {
            assert_eq!(weight(text.as_bytes()), Some(thousandths), "{text}");
        }
        for text in ["", "q", "q=", "q=1.001", "q=0.1234", "q=.5", "q=-0", "q =1", "level=1", "q=2"]
        {
            assert_eq!(weight(text.as_bytes()), None, "{text}");
        }
    }

    /// Members with a weight, and a naive reading of section 12.5.3 over them.
    fn members() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
        let token = prop::sample::select(vec!["br", "zstd", "gzip", "identity", "*", "deflate"]);
        prop::collection::vec((token, 0_u16..=1_000), 0..7).prop_map(|mut members| {
            members.sort_by_key(|member| member.0);
            members.dedup_by_key(|member| member.0);
            members
        })
    }

    proptest! {
        #[test]
        fn the_naive_model_agrees(members in members(), mask in 0_u8..8, split in any::<bool>()) {
            let there: Vec<Coding> = Coding::SIBLINGS.into_iter().enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, coding)| coding).collect();
            let texts: Vec<String> = members.iter()
                .map(|(token, q)| format!("{token};q={}.{:03}", q / 1_000, q % 1_000)).collect();
            let joined = texts.join(", ");
            let (front, back) = texts.split_at(texts.len() / 2);
            let (front, back) = (front.join(","), back.join(" , "));
            let lines = if split { vec![front.as_str(), back.as_str()] } else { vec![joined.as_str()] };

            let weight = |token: &str| members.iter().find(|m| m.0 == token)
                .or_else(|| members.iter().find(|m| m.0 == "*")).map(|m| f64::from(m.1));
            let mut candidates: Vec<(f64, Coding)> = there.iter()
                .map(|&coding| (weight(coding.token().unwrap()).unwrap_or(0.0), coding))
                .filter(|(q, _)| *q > 0.0).collect();
            candidates.push((weight("identity").unwrap_or(0.5), Coding::Identity));
            let top = candidates.iter().map(|c| c.0).fold(0.0, f64::max);
            let expected = candidates.iter().find(|c| c.0 >= top).unwrap().1;
            prop_assert_eq!(chosen(&lines, &there), expected);
        }

        #[test]
        fn only_what_is_there_is_chosen(line in any::<Vec<u8>>(), mask in 0_u8..8) {
            let siblings = Coding::SIBLINGS.into_iter().enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0)
                .fold(Siblings::default(), |all, (_, coding)| all.with(coding));
            let mut lines = Lines::default();
            lines.push(&line);
            let coding = choose(&lines, siblings);
            prop_assert!(coding == Coding::Identity || siblings.has(coding));
        }
    }
}
