"""The table and the page."""

import json
import os
import re
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bunraku.errors import BunrakuError
from bunraku.evaluation.extremes import Extremes
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report import column, score_table, write_html
from bunraku.evaluation.report.html import VOID
from bunraku.evaluation.results import BASELINES, Results, SystemScores

CHROMIUM = Path("/usr/bin/chromium")

METRICS = {
    "psnr": Metric("PSNR", "peak signal-to-noise ratio", "10 log10(255^2 / MSE).", "dB"),
    "l1_disco": Metric("L1 (DisCo)", better="lower"),
    "length": Metric("Length", better="neither", group="motion"),
    "lpips_vgg": Metric("LPIPS", better="lower", group="perceptual"),
    "fid": Metric("FID", better="lower", group="distribution"),
}


class Page(HTMLParser):
    """What a page consists of; refuses tags that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID | {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


def make(clips: int = 6, **systems: float) -> Results:
    """Systems whose PSNR is about what is given."""
    results = Results("theatre-1/solo", (128, 96), {"source": "first frame"}, dict(METRICS), command="bunraku evaluate")
    rng = np.random.default_rng(0)
    for name, level in (systems or {"mini": 22.0, "copy": 18.0, "codec": 30.0}).items():
        for clip in range(clips):
            value = level + rng.normal()
            scores = {"psnr": value, "l1_disco": 1e-4 * value, "length": 2.0}
            results.add(name, f"solo/{clip:03d}", scores)
        entry = results.systems.setdefault(name, SystemScores(role=BASELINES.get(name, "model")))
        entry.unavailable |= {
            "lpips_vgg": "unavailable: weights lpips, run `bunraku models pull lpips`",
            "fid": "one clip only: a distribution needs more",
        }
    return results


def shown(results: Results) -> str:
    console = Console(width=120, file=StringIO(), force_terminal=True, color_system=None)
    console.print(score_table(results))
    return console.file.getvalue()  # type: ignore[attr-defined]


def with_clips(results: Results, count: int = 2) -> Extremes:
    extremes = Extremes("psnr", count=count)
    for number, (clip, value) in enumerate(results.values("mini", "psnr").items()):
        frames = np.full((6, 64, 64, 3), 40 * number, np.uint8)
        frames[:, 20:40, 20:40] = np.arange(0, 240, 40)[:, None, None, None]
        extremes.offer(clip, value, lambda f=frames: {"reference": f[0], "truth": f, "mini": f}, Fraction(6))  # type: ignore[misc]
    return extremes


def test_the_table_has_every_metric_and_why_some_are_blank() -> None:
    text = shown(make())
    assert "theatre-1/solo, 96x128, 6 clips" in text
    assert re.search(r"PSNR ↑ dB +│ +\S*22\.\d\d", text)
    assert "L1 (DisCo) ↓ ×10⁻³" in text
    assert "–¹" in text
    assert "¹ unavailable: weights lpips, run `bunraku models pull lpips`" in text
    assert "² one clip only" in text


def test_the_best_is_marked_among_those_that_compete() -> None:
    results = make(mini=22, copy=18, codec=30)
    assert column(results, "psnr").best == {"mini"}
    assert column(results, "l1_disco").best == {"copy"}
    assert column(results, "length").best == set()
    assert column(make(mini=22, codec=30), "psnr").best == set(), "nobody competes alone"


def test_intervals() -> None:
    found = column(make(), "psnr")
    assert re.fullmatch(r"2\d\.\d\d–2\d\.\d\d", found.interval("mini"))
    assert column(make(), "length").interval("mini") == "", "it says no more than the mean"
    assert column(make(clips=1), "psnr").interval("mini") == ""
    below = make()
    for clip in below.clips:
        below.add("mini", clip, {"psnr": -1.0 - int(clip[-1])})
    assert " to −" in column(below, "psnr").interval("mini")


def test_the_page_is_whole_and_complete_in_itself(tmp_path: Path) -> None:
    results = make()
    path = write_html(results, tmp_path / "report.html", with_clips(results))
    page = Page(path)
    content = path.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|poster)=["'](?!data:)""", content)
    assert "http" not in re.sub(r"http-equiv", "", content)
    assert page.find("meta", http_equiv="Content-Security-Policy")[0]["content"].startswith("default-src 'none'")
    assert page.find("html", lang="en")
    assert len(page.find("video")) == 4
    assert all(video["aria-label"] and video["poster"] for video in page.find("video"))
    assert all(plot["aria-label"] for plot in page.find("svg"))
    assert all(head.get("scope") for head in page.find("th"))
    assert len(page.find("svg", data_metric="psnr")) == 1
    assert "mini reaches 22." in page.text
    assert "the best baseline, copy, 1" in page.text
    assert re.search("the limit set by the autoencoder, codec, (30|29)", page.text)
    assert "10 log10(255^2 / MSE)." in page.text
    assert "bunraku models pull lpips" in page.text
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    results = make()
    pages = [write_html(results, tmp_path / f"{n}.html", with_clips(results)).read_bytes() for n in range(2)]
    assert pages[0] == pages[1]


def test_nothing_that_comes_from_outside_becomes_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert('&')</script>[bold]$body"
    results = make()
    results.benchmark = results.command = evil
    results.add(evil, evil, {"psnr": 20.0})
    results.systems[evil].unavailable["fid"] = evil
    results.tags = {evil: {evil: "1"}, results.clips[0]: {evil: "2"}}
    results.failed[evil] = evil
    results.settings[evil], results.weights[evil] = [evil], evil
    page = Page(write_html(results, tmp_path / "report.html"))
    assert len(page.find("script")) == 2
    assert page.text.count("alert('&')") > 8
    assert evil in shown(results).replace("\n", "").replace(" ", "")


def test_clips_that_failed_are_named(tmp_path: Path) -> None:
    results = make()
    results.failed = {"solo/009": "solo/009.mp4 is truncated"}
    text = Page(write_html(results, tmp_path / "report.html")).text
    assert "1 clip could not be scored" in text
    assert "solo/009: solo/009.mp4 is truncated" in text


def test_tags_make_tables(tmp_path: Path) -> None:
    results = make()
    results.tags = {clip: {"level": str(number % 3 + 1)} for number, clip in enumerate(results.clips)}
    page = Page(write_html(results, tmp_path / "report.html"))
    assert "By level" in page.text
    assert "level 2, 2 clips" in page.text
    assert page.find("th", scope="rowgroup")[0]["colspan"] == "2"
    results.tags = {clip: {"name": clip} for clip in results.clips}
    results.tags |= {f"more {n}": {"name": f"more {n}"} for n in range(20)}
    for n in range(20):
        results.add("mini", f"more {n}", {"psnr": 1.0})
    assert "By name" not in Page(write_html(results, tmp_path / "report.html")).text


def test_a_metric_that_some_systems_lack_has_a_note(tmp_path: Path) -> None:
    results = make()
    results.systems["mini"].set["fid"], results.systems["copy"].set["fid"] = 30.0, 90.0
    text = Page(write_html(results, tmp_path / "report.html")).text
    assert "90.00" in text
    assert "1 one clip only: a distribution needs more" in text or "2 one clip only" in text
    results.systems["mini"].notes["fid"] = "500 frames of 6 clips; too high"
    assert "FID 500 frames of 6 clips; too high" in Page(write_html(results, tmp_path / "report.html")).text
    assert Results.from_json(results.to_json()).systems["mini"].notes == results.systems["mini"].notes


@pytest.mark.parametrize("clips", [0, 1])
def test_few_clips(tmp_path: Path, clips: int) -> None:
    results = make(clips)
    page = Page(write_html(results, tmp_path / "report.html", Extremes("psnr")))
    assert not page.find("svg")
    assert not page.find("video")
    assert f"{clips} clip" in shown(results)


def test_unwritable(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="create it first"):
        write_html(make(), tmp_path / "none" / "report.html")
    results = make()
    extremes = Extremes("psnr")

    def gone() -> dict[str, np.ndarray]:
        raise BunrakuError("gone.mp4 does not exist")

    for clip in results.clips:
        extremes.offer(clip, 1.0, gone)
    (tmp_path / "report.html").write_text("the old one")
    with pytest.raises(BunrakuError, match=r"gone\.mp4"):
        write_html(results, tmp_path / "report.html", extremes)
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.fixture
def browse(tmp_path: Path):
    """browse(width, actions) opens a report in Chromium without a network and hands its page to `actions`."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent")
    playwright = pytest.importorskip("playwright.sync_api")
    results = make(mini=22, other=21, copy=18, codec=30)
    path = write_html(results, tmp_path / "report.html", with_clips(results))

    def run(width: int, actions: Callable) -> None:
        with playwright.sync_playwright() as runner:
            browser = runner.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": width, "height": 800})
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: pytest.fail(str(error)))
            page.on("console", lambda message: pytest.fail(message.text))
            page.context.set_offline(True)
            page.goto(path.as_uri())
            actions(page)
            assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
            browser.close()

    return run


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(browse, width: int) -> None:
    def check(page) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") == width, "only tables scroll sideways"
        loaded = "video => video.readyState >= 2 || new Promise(done => video.onloadeddata = video.onerror = done)"
        page.evaluate(f"Promise.all([...document.querySelectorAll('video')].map({loaded}))")
        sizes = page.evaluate("[...document.querySelectorAll('video')].map(video => [video.videoWidth, video.error])")
        # some builds of Chromium count the macroblocks that a decoder pads with
        assert len(sizes) == 4
        assert all(196 <= size <= 208 and error is None for size, error in sizes)
        dot = page.locator("svg[data-metric=psnr] circle").first
        dot.scroll_into_view_if_needed()
        dot.hover(force=True)
        told = page.locator("#tip").inner_text()
        assert "solo/00" in told
        assert re.search(r"mini\s+2\d\.\d\d dB", told)
        assert page.locator("circle.picked").count() == 4 * 3, "four systems in three plots"
        page.mouse.move(0, 0)
        assert page.locator("#tip").is_hidden()
        video = page.locator("video").first
        video.scroll_into_view_if_needed()
        button = page.get_by_role("button").first
        button.get_by_text("Pause").wait_for()
        button.click()
        button.get_by_text("Play").wait_for()

    browse(width, check)


def test_the_script_gets_all_scores(tmp_path: Path) -> None:
    results = make()
    content = write_html(results, tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', content)[1])
    assert data["clips"] == results.clips
    assert data["scores"]["psnr"]["mini"][0] == f"{results.values('mini', 'psnr')['solo/000']:.2f} dB"
    assert set(data["scores"]) == {"psnr", "l1_disco", "length"}
