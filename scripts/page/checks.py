"""What the page must do with any server behind it."""

import time

SIZES = (320, 390, 820, 1280, 1800)
STAGES = 18
CONTRAST = """(() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(channel)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let worst = [21, ""];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("svg, script, noscript")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, walker.currentNode.textContent.trim()];
  }
  return worst;
})()"""


def text(browser):
    return browser.run("document.body.innerText")


def is_live(browser):
    browser.until("document.body.dataset.state === 'live'", "the page is live")


def is_drawn(browser):
    """Every figure is there, with figures in it."""
    is_live(browser)
    rows = browser.run("document.querySelectorAll('#stages tbody tr').length")
    assert rows >= STAGES, f"{rows} stages"
    assert browser.run("document.querySelectorAll('#road circle').length") >= STAGES - 2
    assert browser.run("document.querySelectorAll('#tiles dd').length") == 7
    assert browser.run("document.querySelectorAll('#workers tbody tr').length") > 0
    assert browser.run("document.querySelectorAll('#listeners tbody tr').length") > 0


def says_only_figures(browser):
    """Nothing that was no number is shown as one."""
    said = text(browser)
    for wrong in ("NaN", "undefined", "null", "Infinity", "[object"):
        assert wrong not in said, wrong


def fits(browser):
    """No size needs sideways scrolling, and no text is too pale in either scheme."""
    for scheme in ("light", "dark"):
        for width in SIZES:
            browser.look(width, scheme=scheme)
            time.sleep(0.2)
            wide = browser.run("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{width} pixels, {scheme}: {wide} too wide"
        ratio, words = browser.run(CONTRAST)
        assert ratio >= 4.5, f"{scheme}: {words!r} has a contrast of {ratio:.2f}"
    browser.look(1280)


def quantiles_agree(browser):
    """Those made from buckets are the server's own, but for the width of a bucket and, where two
    of them lie far apart, for a sample or two."""
    wrong = browser.run("""answers[answers.length - 1].answer.stages.flatMap((stage) =>
      [[0.5, stage.p50_ns], [0.99, stage.p99_ns], [0.999, stage.p999_ns]].flatMap(([q, said]) => {
        if (stage.count === 0) return [];
        const all = between(stage, { ...stage, count: 0, sum_ns: 0, buckets: [] });
        const few = 2 / stage.count + 0.0002;
        const [low, high] = [quantile(all, Math.max(q - few, 0)), quantile(all, Math.min(q + few, 1))];
        return 0.74 * low - 1 <= said && said <= 1.34 * high + 1 ? [] : [`${stage.name} ${q}: ${low} to ${high} for ${said}`];
      }))""")
    assert not wrong, wrong


def time_can_be_chosen(browser):
    """By mouse and by key; what is shown follows."""
    def chosen():
        return browser.run("document.querySelector('input[name=window]:checked').value")

    def requests():
        return browser.run("Number(document.querySelector('#workers td.requests').innerText.replaceAll(',', ''))")

    # The page shows a window once it has seen half of it, and all since the start before.
    browser.until("answers.length > 2 && answers[answers.length - 1].at - answers[0].at > 11",
                  "the page has seen the window")
    browser.click("#window label:nth-of-type(1)")
    assert chosen() == "10"
    few = requests()
    browser.click("#window label:nth-of-type(3)")
    assert chosen() == "0"
    assert requests() > few, f"{few} in the last ten seconds, {requests()} since the start"
    browser.press("ArrowLeft", 37)
    assert chosen() == "60"


def paths_can_be_chosen(browser):
    names = browser.run("[...document.querySelectorAll('.path:not(.empty) b')].map((b) => b.innerText)")
    assert len(names) >= 2, names
    for place, name in enumerate(names):
        browser.run(f"document.querySelectorAll('.path:not(.empty)')[{place}].id = 'path-{place}'")
        browser.click(f"#path-{place}")
        caption = browser.run("document.querySelector('#flow-says').innerText")
        assert caption.startswith(name), f"{name}: {caption}"
        assert browser.run("document.querySelectorAll('#flow .flow').length") > 0, name
    browser.click(".behind summary")
    assert browser.run("document.querySelectorAll('#flows tbody tr').length") > 0
    assert browser.run("document.querySelector('#flows').checkVisibility()")
    browser.click("#path-0")


def slow_requests_open(browser):
    browser.until("document.querySelector('#slowest details')", "slow requests are listed")
    browser.click("#slowest details summary")
    browser.until("document.querySelector('#slowest details[open] .waterfall tbody tr')", "it opens")
    rows = browser.run("document.querySelectorAll('#slowest details[open] .waterfall tbody tr').length")
    assert rows == 13, f"{rows} stages in a waterfall"
    beside = browser.run("document.querySelector('#slowest details[open] .beside').innerText")
    assert "worker" in beside and "turns of the loop" in beside, beside


def can_be_read_aloud(browser):
    """Names and roles as a screen reader gets them."""
    headings = browser.accessible_names("heading")
    for name in ("Anatomy", "The journey", "The bytes", "The slowest requests"):
        assert name in headings, headings
    rows = " ".join(browser.accessible_names("rowheader"))
    assert "decode" in rows and "Ringway computes" in rows, rows
    columns = browser.accessible_names("columnheader")
    assert "p99.9" in columns, columns
    assert any("passes over each byte" in name for name in browser.accessible_names("image"))
    assert "Pause" in browser.accessible_names("button")
    assert len(browser.accessible_names("radio")) >= 4


def asks_only_its_server(browser, url):
    strangers = [asked for asked in browser.asked_for
                 if not asked.startswith((url, "about:", "data:"))]
    assert not strangers, strangers
