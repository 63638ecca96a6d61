//! Pages of Ringway's own, compressed whole before they are sent: listings, and fixed answers once.

use std::{
    cell::{Cell, OnceCell},
    io,
};

use super::{compressed::INPUT_A_TURN, recoded::SHORTEST};
use crate::{
    conn::{
        Context,
        encoders::Place,
        sites::{CodedForms, Served},
    },
    encode::{Encoder, Progress},
    observe::{Stage, Work},
    process::negotiate::Coding,
};

/// Bytes by which the coded form of a page grows at a time.
const STEP: usize = 16 << 10;

/// Whether a page of so many bytes, as it is, goes to some clients of the route compressed.
pub(super) fn varies(served: &Served, length: usize) -> bool {
    length as u64 >= SHORTEST && !served.codings.is_empty()
}

/// Compresses a page; between two pieces other tasks have their turn. None: the plain page is sent. The
/// nanoseconds that the encoder takes are added to `spent`.
pub(super) async fn encode(
    context: &Context,
    coding: Coding,
    page: &[u8],
    spent: &Cell<u64>,
) -> Option<Vec<u8>> {
    let mut encoding = PageEncoding::begin(context, coding, spent)?;
    for piece in page.chunks(INPUT_A_TURN) {
        encoding.read(context, piece)?;
        context.ring.yield_now().await;
    }
    encoding.end(context)
}

/// The coded form of a page that never changes and is not longer than what is encoded in a turn. It is made
/// for the first client that takes it, and kept. None: the plain page is sent. The nanoseconds that the
/// encoder takes are added to `spent`.
pub(super) fn kept<'f>(
    context: &Context,
    coding: Coding,
    page: &[u8],
    forms: &'f CodedForms,
    spent: &Cell<u64>,
) -> Option<&'f [u8]> {
    let form: &OnceCell<_> = forms.of(coding)?;
    if let Some(coded) = form.get() {
        context.count_compressed(coding, 1, page.len() as u64, coded.len() as u64);
        return Some(coded);
    }
    let mut encoding = PageEncoding::begin(context, coding, spent)?;
    encoding.read(context, page)?;
    let coded = encoding.end(context)?.into_boxed_slice();
    Some(form.get_or_init(|| coded))
}

/// A page on its way through an encoder.
struct PageEncoding<'s> {
    encoder: Encoder,
    coding: Coding,
    coded: Vec<u8>,
    spent: &'s Cell<u64>,
    _place: Place,
}

impl<'s> PageEncoding<'s> {
    fn begin(context: &Context, coding: Coding, spent: &'s Cell<u64>) -> Option<Self> {
        let (encoder, place) = context.begin_encoding(coding)?;
        Some(Self { encoder, coding, coded: Vec::new(), spent, _place: place })
    }

    fn read(&mut self, context: &Context, mut piece: &[u8]) -> Option<()> {
        while !piece.is_empty() {
            let progress = self.step(context, |encoder, room| encoder.write(piece, room))?;
            piece = piece.get(progress.read..)?;
        }
        Some(())
    }

    fn end(mut self, context: &Context) -> Option<Vec<u8>> {
        while !self.step(context, Encoder::finish)?.complete {}
        Some(self.coded)
    }

    /// Has the encoder do a step. None if it failed.
    fn step(
        &mut self,
        context: &Context,
        step: impl FnOnce(&mut Encoder, &mut [u8]) -> io::Result<Progress>,
    ) -> Option<Progress> {
        let written = self.coded.len();
        self.coded.resize(written + STEP, 0);
        let began = context.observer.now();
        let progress = step(&mut self.encoder, self.coded.get_mut(written..)?);
        let took = context.observer.spend(Work::Stage(Stage::Compress), began);
        self.spent.set(self.spent.get() + took);
        let progress = progress.inspect_err(|error| context.defect(error)).ok()?;
        self.coded.truncate(written + progress.written);
        context.count_encoded(self.coding, progress);
        Some(progress)
    }
}
