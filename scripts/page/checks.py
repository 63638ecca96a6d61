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
    assert browser.run("document.querySelectorAll('#road circle').length") >= 10
    assert browser.run("document.querySelectorAll('#tiles dd').length") == 8
    assert browser.run("document.querySelectorAll('#workers tbody tr').length") > 0
    assert browser.run("document.querySelectorAll('#listeners tbody tr').length") > 0


def says_only_figures(browser):
    """Nothing that was no number is shown as one."""
    said = text(browser)
    for wrong in ("NaN", "undefined", "null", "Infinity", "[object"):
        assert wrong not in said, wrong


#: Pixels between the names of the axis of times, where they are nearest.
HIDDEN = "(() => { const box = document.querySelector('#workers').parentElement; return box.scrollWidth - box.clientWidth; })()"
AXIS = """(() => {
    const places = [...document.querySelectorAll('#axis-names span')].map((name) => name.getBoundingClientRect())
        .filter((place) => place.width > 0);
    return Math.min(99, ...places.slice(1).map((place, at) => place.left - places[at].right));
})()"""


def fits(browser):
    """No size needs sideways scrolling, no names of an axis touch, and no text is too pale in either scheme."""
    for scheme in ("light", "dark"):
        for width in SIZES:
            browser.look(width, scheme=scheme)
            time.sleep(0.2)
            wide = browser.run("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{width} pixels, {scheme}: {wide} too wide"
            hidden = browser.run(HIDDEN)
            assert hidden <= 0, f"{width} pixels: {hidden} of the workers' table are out of sight"
            # A phone shows no axis.
            apart = browser.run(AXIS) if width >= 820 else 99
            assert apart >= 4, f"{width} pixels: names of the axis are {apart:.1f} apart"
        ratio, words = browser.run(CONTRAST)
        assert ratio >= 4.5, f"{scheme}: {words!r} has a contrast of {ratio:.2f}"
    browser.look(1280)


def time_can_be_chosen(browser):
    """By mouse and by key; what is shown follows."""
    def chosen():
        return browser.run("document.querySelector('input[name=window]:checked').value")

    def shown(words):
        browser.until(f"document.querySelector('#shown').innerText.includes({words!r})", f"it shows {words}")

    browser.click("#window label:nth-of-type(4)")
    assert chosen() == "0"
    shown("since the start")
    browser.press("ArrowLeft", 37)
    assert chosen() == "3600"
    shown("the last")
    # A minute of the hour, by key; then back.
    browser.run("document.querySelector('#hour-picture').focus()")
    browser.press("ArrowLeft", 37)
    browser.until("query().includes('until=') && !document.querySelector('#whole').hidden", "a minute is chosen")
    browser.press("Escape", 27)
    browser.until("!query().includes('until=') && document.querySelector('#whole').hidden", "it comes back to now")
    # And by a click into the figure, unless that is a time before the server's start.
    browser.click("#hour-picture")
    if browser.run("points.length > 60"):
        browser.until("chosen && chosen.to - chosen.from >= 30", "the time around a click is chosen")
        browser.click("#whole")
    browser.click("#window label:nth-of-type(1)")
    assert chosen() == "60"
    shown("the last")


def causes_can_be_chosen(browser):
    """The slowest of one cause, each of which says where the log has it."""
    browser.until("document.querySelectorAll('#causes label').length > 1", "causes are listed")
    browser.click("#causes label:nth-of-type(2)")
    browser.until("new Set(answer.slowest.filter((r) => cause === causeOf(r)).map(causeOf)).size === 1 && cause !== 'all'", "one cause is chosen")
    assert browser.run("document.querySelectorAll('#slowest details').length") <= 8
    browser.click("#causes label:nth-of-type(1)")


def says_what_is_wrong(browser):
    said = browser.run("document.querySelector('#attention').innerText")
    assert "p99 of requests is 41.0 ms, before it was 3.2 ms" in said, said
    assert browser.run("document.querySelectorAll('#attention .bad').length") == 1


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
    assert rows == browser.run("answer.slowest[0].stages.filter((stage) => stage.ns > 0).length"), f"{rows} stages in a waterfall"
    beside = browser.run("document.querySelector('#slowest details[open] .beside').innerText")
    for words in ("worker", "turns of the loop", "connection=", "number="):
        assert words in beside, beside


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
