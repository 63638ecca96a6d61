//! The page of the admin listener: what `/anatomy.json` says, drawn.
//!
//! The invariant: one document that asks for nothing but `/anatomy.json` and `/history.json` of the same origin. Its
//! own policy forbids it anything else, and what comes from clients (paths, methods) is only ever
//! set as text.

/// The document, `text/html; charset=utf-8`.
pub(super) const PAGE: &str = concat!(
    include_str!("head.html"),
    "<style>\n",
    include_str!("page.css"),
    "</style>\n",
    include_str!("body.html"),
    "<script>\n",
    include_str!("figures.js"),
    include_str!("hour.js"),
    include_str!("journey.js"),
    include_str!("ledger.js"),
    include_str!("workers.js"),
    include_str!("pools.js"),
    include_str!("endpoints.js"),
    include_str!("streams.js"),
    include_str!("slowest.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use super::PAGE;

    #[test]
    fn is_one_document() {
        assert!(PAGE.starts_with("<!doctype html>"));
        for part in ["<style>", "</style>", "<script>", "</script>", "<body>", "</body>", "</html>"]
        {
            assert_eq!(PAGE.matches(part).count(), 1, "{part}");
        }
    }

    #[test]
    fn asks_nobody_else() {
        // Names of namespaces are no addresses.
        let page = PAGE.replace("http://www.w3.org/2000/svg", "").replace("url(#", "");
        for outside in ["http:", "https:", "@import", "url(", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("fetch(").count(), 1);
    }

    #[test]
    fn what_clients_sent_is_only_text() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!PAGE.contains(way), "{way}");
        }
    }
}
