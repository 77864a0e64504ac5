"""A report: one file, from any recording, that needs nothing else and does what no recording can make it do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from performances import ALICE, HOSTILE, hostile, moments, opening, told

from lab.errors import InvalidArgument
from scenarios.audiences.look import Look
from scenarios.audiences.report import report
from scenarios.cli import main
from scenarios.performance import recording
from scenarios.performance.beats import Command, Moment, Output, Say, Verdict
from scenarios.performance.text import Text

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LARGEST = 1_000_000  # bytes


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The story of performances, as a recording."""
    return written(tmp_path / "run.jsonl", moments())


def written(path: Path, played: Sequence[Moment]) -> Path:
    """A recording of these moments."""
    with path.open("w", encoding="utf-8") as file:
        recorder = recording.Recorder(file)
        for moment in played:
            recorder.take(moment)
    return path


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab whose every request and complaint is kept in tab.seen."""
    page = browser.new_page()
    page.set_default_timeout(10_000)
    yield page
    page.close()


def test_lab_report_writes_a_file(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lab report FILE` writes FILE's name with .html here, and never over another; -o may write anew."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(recorded)]) == 0
    assert capsys.readouterr().out == "run.html\n"
    assert main(["report", str(recorded)]) == 125
    assert "run.html is there already" in capsys.readouterr().err
    for _ in range(2):
        assert main(["report", str(recorded), "-o", "other.html"]) == 0
    assert (tmp_path / "other.html").read_text() == (tmp_path / "run.html").read_text()
    assert main(["report", str(recorded), "-o", "no/such/place.html"]) == 125
    assert "cannot write no/such/place.html" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["report", "page"])
def test_what_is_no_recording_is_refused(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, empty or something else gets one sentence, and nothing is written."""
    for name, text in (("missing", None), ("empty", ""), ("page.html", "<!doctype html>\n")):
        if text is not None:
            (tmp_path / name).write_text(text)
        assert main([verb, str(tmp_path / name)]) == 125
        error = capsys.readouterr().err
        assert error.startswith("lab: ") and name in error and "Traceback" not in error
    assert not [*tmp_path.glob("*.html.html")]


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_a_file_and_asks_for_nothing(
    recorded: Path, tmp_path: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """From file:// all is drawn, without a request, without a complaint, and as axe-core wants it."""
    from axe_playwright_python.sync_playwright import Axe

    tab = browser.new_page(color_scheme=scheme, bypass_csp=True)
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: requests.append(message.text))
    path = tmp_path / "r.html"
    path.write_text(report(recording.read(recorded), Look()))
    tab.goto(path.as_uri())
    assert requests == [path.as_uri()]
    assert tab.locator(".socket:visible").count() == 2  # before the first story, and in it
    assert tab.locator(".stamp").count() == 4 + 1
    assert tab.locator("h2").all_inner_texts() == [
        "Before the first story",
        "1 · shadow · Who touched it?",
        "What the kernel said",
    ]
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.keyboard.press("e")
    assert tab.locator("details:not([open])").count() == 0
    results = Axe().run(tab, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    assert results.violations_count == 0, results.generate_report()
    tab.close()


@pytest.mark.needs("chromium")
def test_its_script_runs_and_no_other_may(recorded: Path, tmp_path: Path, tab: Page) -> None:
    """The policy in the file admits its own script by its digest; a link to evidence unfolds that evidence."""
    path = tmp_path / "r.html"
    path.write_text(
        report(recording.read(recorded), Look()).replace("</main>", "<script>document.title = 1</script></main>")
    )
    tab.goto(path.as_uri())
    assert tab.title() != "1"
    tab.locator(".stamps a").last.click()
    assert tab.locator(".evidence details[open]").count() == 1
    tab.keyboard.press("e")
    assert tab.locator("details:not([open])").count() == 0


def test_it_names_no_address(recorded: Path) -> None:
    """Nothing in a report is fetched from anywhere: no address of another place stands in it."""
    text = report(recording.read(recorded), Look())
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,)|@import|url\(|https?://|//[a-z]""", text)


def test_it_says_what_was_told(recorded: Path) -> None:
    """Claims, verdicts, raw records and the names of engines are in it, each step once."""
    text = report(recording.read(recorded), Look())
    for moment in moments():
        if isinstance(moment.beat, Verdict):
            assert str(moment.beat.claim).replace("'", "&#39;") in text
    assert text.count("<p>By podmanish.</p>") == 1
    assert f"auid={ALICE} uid=0" in text


@pytest.mark.needs("chromium")
def test_no_text_of_a_recording_is_markup(tmp_path: Path, tab: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """<script> in comm, output, claims, names and everywhere else is shown, and does nothing."""
    path = written(tmp_path / "evil.jsonl", told(*hostile(HOSTILE)))
    assert main(["report", str(path), "-o", str(tmp_path / "evil.html")]) == 0
    capsys.readouterr()
    seen: list[str] = []
    tab.on("dialog", lambda dialog: seen.append(dialog.message))
    tab.on("request", lambda request: seen.append(request.url))
    tab.goto((tmp_path / "evil.html").as_uri())
    assert seen == [(tmp_path / "evil.html").as_uri()]
    assert tab.title().startswith("loginuid lab: <script>")
    assert tab.locator("script").count() == 1 and tab.locator("img").count() == 0
    text = tab.locator("main").inner_text()
    assert text.count("<script>") > 15 and "\u202e" not in text


@pytest.mark.parametrize(
    "text", ["</style>", "</script>", "{{ 7 * 7 }}", "{% raw %}", "{x:>99999999999}", "\ud800", "\0", "a" * 3_000_000]
)
def test_any_text_is_only_text(text: str) -> None:
    """Neither an end of an element, nor a template's or a format's words, nor half a character means anything."""
    played = [
        Moment(0, 0, opening()),
        Moment(1, 0, Say(Text(text))),
        Moment(2, 0, Command(text)),
        Moment(3, 0, Output(text)),
    ]
    html = report(played, Look())
    html.encode()
    assert len(html) < 100_000 and html.count("</style>") == html.count("</script>") == 1 and " 49 " not in html


def test_it_is_smaller_than_a_megabyte() -> None:
    """Of a recording without end the report has as much as fits, and says how much it lacks."""
    beats = [
        beat
        for _ in range(3000)
        for beat in (Say(Text("x" * 500)), Command("true"), Output("y" * 500), Verdict(Text("z"), "held", Text("")))
    ]
    html = report(told(opening(), *beats), Look())
    assert 900_000 < len(html.encode()) < LARGEST
    found = re.search(r"(\d+) more steps are left out", html)
    assert found and int(found[1]) > 1000


@pytest.mark.needs("chromium")
def test_it_prints_on_a4(recorded: Path, tmp_path: Path) -> None:
    """Chromium prints it as a PDF of a few A4 pages."""
    path = tmp_path / "r.html"
    path.write_text(report(recording.read(recorded), Look()))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
               f"--print-to-pdf={tmp_path}/r.pdf", path.as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pdf = (tmp_path / "r.pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert 1 <= len(boxes) <= 4
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(595, 842)}


def test_a_directory_is_no_recording(tmp_path: Path) -> None:
    """A directory is refused as a file that cannot be read."""
    with pytest.raises(InvalidArgument, match="cannot read"):
        report(recording.read(tmp_path), Look())
