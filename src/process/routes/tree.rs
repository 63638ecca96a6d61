//! From a path to its route: the longest that fits, by whole segments.

use std::cmp::Ordering;

use crate::{config::Route, process::percent::decode_pair};

/// The routes of a site, by segments.
#[derive(Debug)]
pub(super) struct Tree {
    /// The first is that of `/`.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// The route for this path and all below.
    below: Option<usize>,
    /// The route for this path alone.
    exact: Option<usize>,
    /// Nodes by the segment that leads there, in the order of [`compare`].
    children: Vec<(Box<[u8]>, usize)>,
}

impl Tree {
    /// A tree of routes that are numbered from `first` on.
    pub(super) fn new(routes: &[Route], first: usize) -> Self {
        let mut tree = Self { nodes: vec![Node::default()] };
        for (number, route) in routes.iter().enumerate() {
            let mut at = 0;
            for segment in route.path.segments() {
                at = tree.child(at, segment.as_bytes());
            }
            if let Some(node) = tree.nodes.get_mut(at) {
                let place = if route.exact { &mut node.exact } else { &mut node.below };
                *place = Some(first + number);
            }
        }
        tree
    }

    /// The child of a node by this segment, made if there is none.
    fn child(&mut self, at: usize, segment: &[u8]) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        match node.children.binary_search_by(|(own, _)| compare(own, segment)) {
            Ok(found) => node.children.get(found).map_or(at, |(_, child)| *child),
            Err(place) => {
                node.children.insert(place, (segment.into(), new));
                self.nodes.push(Node::default());
                new
            }
        }
    }

    /// The route for the path of a target, as it was sent, among those that are `wanted`.
    pub(super) fn find(&self, path: &[u8], wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let wanted = |route: &usize| wanted(*route);
        let mut node = self.nodes.first()?;
        let mut best = node.below.filter(wanted);
        if node.children.is_empty() && node.exact.is_none() {
            return best;
        }
        let mut rest = path;
        while !rest.is_empty() {
            let mut encoded = false;
            let end = rest.iter().position(|&byte| {
                encoded |= byte == b'%';
                byte == b'/'
            });
            let (segment, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind.strip_prefix(b"/").unwrap_or(behind);
            if segment.is_empty() {
                continue;
            }
            let next = if encoded { node.decoded_child(segment) } else { node.child(segment) };
            let Some(next) = next.and_then(|next| self.nodes.get(next)) else {
                return best;
            };
            node = next;
            best = node.below.filter(wanted).or(best);
        }
        node.exact.filter(wanted).or(best)
    }
}

impl Node {
    /// The child by a segment that is not encoded.
    fn child(&self, segment: &[u8]) -> Option<usize> {
        self.child_by(|own| compare(own, segment))
    }

    /// The child by a segment as it was sent. What it means is compared, percent-decoded.
    #[cold]
    fn decoded_child(&self, sent: &[u8]) -> Option<usize> {
        let length = Decoded(sent).count();
        self.child_by(|own| {
            own.len().cmp(&length).then_with(|| own.iter().copied().cmp(Decoded(sent)))
        })
    }

    fn child_by(&self, compare: impl Fn(&[u8]) -> Ordering) -> Option<usize> {
        let found = self.children.binary_search_by(|(own, _)| compare(own)).ok()?;
        self.children.get(found).map(|(_, child)| *child)
    }
}

/// The order of segments: by length, since that mostly spares a look at the bytes.
fn compare(own: &[u8], other: &[u8]) -> Ordering {
    own.len().cmp(&other.len()).then_with(|| own.cmp(other))
}

/// The bytes of a segment, percent-decoded. A `%` without digits stands for itself.
struct Decoded<'s>(&'s [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if let (b'%', [high, low, behind @ ..]) = (first, rest)
            && let Some(byte) = decode_pair(*high, *low)
        {
            self.0 = behind;
            return Some(byte);
        }
        self.0 = rest;
        Some(first)
    }
}
