//! Media types by file name extension (RFC 9110 section 8.3, RFC 6838).
//!
//! The invariant: the table is sorted and lower-case, so that a look-up is a binary search; text
//! says that it is UTF-8, which a static site in this century is.

/// The type of a file whose extension is unknown: any bytes.
pub(crate) const DEFAULT: &str = "application/octet-stream";

/// The type of the pages that Ringway writes itself.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// The type of texts that the operator wrote.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// The longest extension of the table, in bytes.
const MAX_EXTENSION: usize = 11;

/// The longest media type of the table, in bytes.
pub(crate) const MAX_MEDIA_TYPE: usize = 73;

/// The media type of a file, by what stands after the last dot of its name, whatever its case. A
/// name that begins with its only dot has no extension.
pub(crate) fn of(file_name: &[u8]) -> &'static str {
    known(file_name).unwrap_or(DEFAULT)
}

/// The media type of a file whose extension the table knows.
pub(crate) fn known(file_name: &[u8]) -> Option<&'static str> {
    let dot = file_name.iter().rposition(|&byte| byte == b'.')?;
    let extension = &file_name[dot + 1..];
    let mut lower = [0; MAX_EXTENSION];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let found = TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    (dot > 0).then(|| TABLE[found].1)
}

/// Types that are compressible, beside `text/…` and those that end in `+json` or `+xml`: text by another
/// name, and data that has not been compressed.
const COMPRESSIBLE: [&str; 21] = [
    "application/javascript",
    "application/json",
    "application/jsonl",
    "application/postscript",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-subrip",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
];

/// Whether content of this media type gets shorter by compressing it, as a rule. Its parameters do not
/// matter.
pub(crate) fn is_compressible(media_type: &[u8]) -> bool {
    let end = memchr::memchr(b';', media_type).unwrap_or(media_type.len());
    let Some(essence) = media_type.get(..end).map(<[u8]>::trim_ascii) else { return false };
    let is_text = essence.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/"));
    let suffix = memchr::memrchr(b'+', essence).and_then(|at| essence.get(at..));
    let is_structured = suffix.is_some_and(|suffix| {
        suffix.eq_ignore_ascii_case(b"+json") || suffix.eq_ignore_ascii_case(b"+xml")
    });
    let is_known =
        || COMPRESSIBLE.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(essence));
    is_text || is_structured || is_known()
}

/// Extensions and their types, sorted by extension.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("appcache", "text/cache-manifest; charset=utf-8"),
    ("asc", "text/plain; charset=utf-8"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/x-c; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpp", "text/x-c; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dtd", "application/xml-dtd"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("h", "text/x-c; charset=utf-8"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("iso", "application/octet-stream"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("json5", "application/json5"),
    ("jsonl", "application/jsonl"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opml", "text/x-opml; charset=utf-8"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("php", "application/octet-stream"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ps", "application/postscript"),
    ("py", "text/x-python; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/x-rust; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "application/x-sh"),
    ("sig", "application/pgp-signature"),
    ("sql", "application/sql"),
    ("srt", "application/x-subrip"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("svgz", "application/octet-stream"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xsl", "application/xslt+xml"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::{DEFAULT, HTML, MAX_EXTENSION, MAX_MEDIA_TYPE, TABLE, is_compressible, known, of};

    #[test]
    fn the_table_keeps_its_invariant() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for (extension, media_type) in TABLE {
            assert!(!extension.is_empty() && extension.len() <= MAX_EXTENSION);
            assert!(extension.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            assert!(media_type.len() <= MAX_MEDIA_TYPE, "{media_type}");
            assert!(media_type.is_ascii() && media_type.contains('/'));
            assert_eq!(media_type.starts_with("text/"), media_type.ends_with("; charset=utf-8"));
            assert_eq!(of(format!("x.{extension}").as_bytes()), *media_type);
        }
        assert_eq!(TABLE.iter().map(|(name, _)| name.len()).max(), Some(MAX_EXTENSION));
        assert_eq!(TABLE.iter().map(|(_, media)| media.len()).max(), Some(MAX_MEDIA_TYPE));
    }

    #[test]
    fn text_is_compressible_and_what_was_compressed_is_not() {
        for name in
            ["a.html", "a.css", "a.js", "a.json", "a.svg", "a.webmanifest", "a.wasm", "a.xml"]
        {
            assert!(is_compressible(of(name.as_bytes()).as_bytes()), "{name}");
        }
        for name in ["a.png", "a.zip", "a.woff2", "a.mp4", "a.gz", "a", "a.pdf", "a.tar"] {
            assert!(!is_compressible(of(name.as_bytes()).as_bytes()), "{name}");
        }
        for (media_type, expected) in [
            ("TEXT/HTML;charset=x", true),
            ("text/event-stream", true),
            ("application/problem+JSON ; a=b", true),
            ("application/x+zip", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(is_compressible(media_type.as_bytes()), expected, "{media_type}");
        }
    }

    #[test]
    fn extensions_are_looked_up() {
        assert_eq!(of(b"index.html"), HTML);
        assert_eq!(of(b"INDEX.HTML"), HTML);
        assert_eq!(of(b"a.tar.gz"), "application/gzip");
        assert_eq!(of(b"app.min.js"), "text/javascript; charset=utf-8");
        assert_eq!(of(b"site.WebManifest"), "application/manifest+json");
        for name in [&b""[..], b"html", b".html", b"a.", b"a.unknown", b"a.webmanifestx", b"a.\xff"]
        {
            assert_eq!(of(name), DEFAULT, "{}", name.escape_ascii());
            assert_eq!(known(name), None);
        }
    }
}
