//! An answer with its content, ready for whatever protocol carries it.

use std::{io, ops::Range, rc::Rc};

use crate::{
    conn::{Context, sites::Served},
    files::{FileContent, FileEntry, FileObject},
    process::{
        answer::{Answer, AnswerHead, Content, FieldSink},
        multipart::Multipart,
        page::Page,
        range::ByteRange,
    },
    respond::Status,
    ring::Pages,
    write::{Division, Parts, Source, Whole, WriteError},
};

/// Pages up to this length are copied behind their head; longer ones are shared with the ring.
const COPIED_PAGE: usize = 1024;

/// Status, fields and content.
#[derive(Debug)]
pub(in crate::conn) struct Reply<'l> {
    head: AnswerHead<'l>,
    /// The route, whose fields it has.
    served: Rc<Served>,
    source: Source,
    shared_page: usize,
}

impl<'l> Reply<'l> {
    /// # Errors
    /// [`WriteError::Defect`] if the answer promises content that is not there.
    pub(super) fn new(
        context: &Context,
        served: &Rc<Served>,
        answer: Answer<'l, FileEntry>,
    ) -> Result<Self, WriteError> {
        let served = Rc::clone(served);
        let Answer { head, content } = answer;
        let length = head.content_length();
        let mut shared_page = 0;
        let source = match content {
            Content::Nothing => {
                return Ok(Self { head, served, source: Source::Nothing, shared_page });
            }
            Content::Page(page) => {
                let source = page_source(context, page);
                shared_page = if let Source::Pages(_, range) = &source { range.len() } else { 0 };
                source
            }
            Content::Whole(file, coding) => {
                let object = file.object(coding);
                slice(object, 0..object.stat.length)
            }
            Content::Slice(file, coding, ByteRange { first, last }) => {
                slice(file.object(coding), first..last + 1)
            }
            Content::Parts(file, coding, parts) => {
                let whole = whole(file.object(coding));
                let length = length.ok_or(WriteError::Defect("parts without a length"))?;
                Source::Parts(Parts::new(parts, whole, length)?)
            }
        };
        if length != Some(source.remaining()) {
            return Err(WriteError::Defect("content is not as long as its head promises"));
        }
        Ok(Self { head, served, source, shared_page })
    }

    /// The answer to what cannot be understood or is not wanted.
    pub(in crate::conn) fn refusal(context: &Context, status: Status) -> Self {
        let Answer { head, content }: Answer<'_, FileEntry> = Answer::error(status);
        let source = match content {
            Content::Page(page) => page_source(context, page),
            _ => Source::Nothing,
        };
        Self { head, served: context.refusing(), source, shared_page: 0 }
    }

    /// The same without content, as a HEAD gets it.
    #[must_use]
    pub(in crate::conn) fn head_only(mut self) -> Self {
        self.source = Source::Nothing;
        self
    }

    /// The status.
    pub(in crate::conn) fn status(&self) -> Status {
        self.head.status
    }

    /// What follows the head.
    pub(in crate::conn) fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes of a page that were copied into memory of their own.
    pub(in crate::conn) fn shared_page(&self) -> usize {
        self.shared_page
    }

    /// Bytes that the fields take as lines of HTTP/1.1, at most.
    pub(in crate::conn) fn fields_bound(&self) -> usize {
        self.head.fields_bound() + self.served.own_fields_len
    }

    /// Writes the fields, but for those that every response has (`Date`, `Server`) and those of the
    /// connection.
    pub(in crate::conn) fn write_fields(&self, sink: &mut impl FieldSink) {
        self.head.write_fields(&self.served.site, sink);
    }

    /// What follows the head, to be taken. It owns what it is made of, and may outlive the reply.
    pub(in crate::conn) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }
}

/// A short page as it is; a long one in memory that the ring can share, counted among the listings.
fn page_source(context: &Context, page: Page) -> Source {
    if page.len() <= COPIED_PAGE {
        return Source::page(page);
    }
    let mut copy = Pages::counted(page.len(), context.stores.listings());
    copy.copy_from_slice(&page);
    Source::Pages(Rc::new(copy), 0..page.len())
}

fn whole(object: &FileObject) -> Whole {
    match &object.content {
        FileContent::Cached(pages) => Whole::Pages(Rc::clone(pages)),
        FileContent::Open(file) => Whole::File(Rc::clone(file)),
    }
}

fn slice(object: &FileObject, range: Range<u64>) -> Source {
    match whole(object) {
        Whole::Pages(pages) => Source::Pages(pages, range.start as usize..range.end as usize),
        Whole::File(file) => Source::File(file, range),
    }
}

impl Division for Multipart {
    fn range(&self, part: usize) -> Option<Range<u64>> {
        self.ranges().get(part).map(|range| range.first..range.last + 1)
    }

    fn frame(&self, part: usize, out: &mut [u8]) -> io::Result<usize> {
        match self.ranges().get(part) {
            Some(range) => self.part_head(*range, out),
            None => self.end(out),
        }
    }
}
