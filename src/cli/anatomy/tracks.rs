//! Requests that ran at once on one connection, drawn below each other, and a sentence about them.

use std::fmt::Write as _;
use std::time::Duration;

use super::http2::{Outcome, Stream};
use super::stages::{Stage, median};
use super::unexplained::parent;
use super::waterfall::{Canvas, Track, time};

/// The tracks of at least one stream.
pub(super) fn draw(canvas: &Canvas, streams: &[Stream]) -> String {
    let total = streams.iter().filter_map(|stream| stream.last).max().unwrap_or(Duration::ZERO);
    let mut text = canvas.note(&format!(
        "{} requests at once on this connection, from when they were sent: ░ until the first byte \
         of the answer, █ until its last",
        streams.len()
    ));
    let tracks: Vec<Track> = streams.iter().map(track).collect();
    text += &canvas.tracks(&tracks, total);
    text += &canvas.note(&sentence(streams));
    text
}

fn track(stream: &Stream) -> Track {
    let ended = match (stream.outcome, stream.outcome.code(), &stream.head) {
        (Outcome::Complete, _, Some(head)) => head.status.to_string(),
        (_, Some(code), _) => code.to_owned(),
        (outcome, None, _) => outcome.name().to_owned(),
    };
    let last = stream.last.unwrap_or(Duration::ZERO);
    let label = format!("{:>3} {ended}", stream.id);
    Track { label, first: stream.first.unwrap_or(last), last }
}

/// How many completed, the spread of their times, and what the server says that it did meanwhile.
fn sentence(streams: &[Stream]) -> String {
    let complete = streams.iter().filter(|stream| stream.outcome == Outcome::Complete);
    let firsts: Vec<_> = complete.clone().filter_map(|stream| stream.first).collect();
    let lasts: Vec<_> = complete.clone().filter_map(|stream| stream.last).collect();
    let spread = |mut times: Vec<Duration>| {
        times.sort_unstable();
        match (times.first(), times.last(), median(times.clone())) {
            (Some(least), Some(most), Some(middle)) => {
                format!("{} to {}, the median {}", time(*least), time(*most), time(middle))
            }
            _ => "never".to_owned(),
        }
    };
    let mut text = format!(
        "{} of {} complete; first byte after {}; last byte after {}",
        complete.count(),
        streams.len(),
        spread(firsts),
        spread(lasts),
    );
    if let Some((name, sum)) = most_time(streams) {
        let _ = write!(text, "; the server spent most on {name}, {} in all", time(sum));
    }
    text
}

/// The stage of the server on which all these requests together spent most.
fn most_time(streams: &[Stream]) -> Option<(String, Duration)> {
    let mut sums: Vec<(&str, Duration)> = Vec::new();
    let metrics = streams.iter().filter_map(|stream| stream.head.as_ref());
    let metrics = metrics.flat_map(|head| &head.metrics);
    for metric in metrics.filter(|metric| parent(&metric.name) == Some(Stage::Wait)) {
        let Some(took) = metric.duration else { continue };
        match sums.iter_mut().find(|(name, _)| *name == metric.name) {
            Some((_, sum)) => *sum += took,
            None => sums.push((&metric.name, took)),
        }
    }
    let most = sums.into_iter().max_by_key(|(_, sum)| *sum)?;
    Some((most.0.replace('_', " "), most.1))
}
