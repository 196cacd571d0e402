"""The documentation site: built strictly, and nothing in it is fetched from a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="mkdocs-material is not installed (extra docs)")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env={"NO_MKDOCS_2_WARNING": "1", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "WARNING" not in done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads for a page without being asked."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag in ("script", "img", "iframe", "source", "video") or (
            tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload", "dns-prefetch")
        )
        if loads:
            self.addresses += [address for name in ("src", "href") if (address := given.get(name))]


def test_nothing_is_fetched_from_a_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for address in Loaded(page).addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.name} loads {address}"
            assert page.name == "404.html" or (page.parent / address.split("?")[0]).is_file(), (
                f"{page.name} has no {address}"
            )
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_every_page_of_the_sources_is_in_the_menu(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        address = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{address}"' in menu or address == "index.html", f"{address} is not in mkdocs.yml's nav"


def test_the_reference_is_made_of_the_docstrings(site: Path) -> None:
    text = (site / "reference" / "animate.html").read_text(encoding="utf-8")
    assert "Animate the character of a picture with the motion of a clip, and write the video." in text
    assert 'id="bunraku.animate.options.AnimateOptions"' in text
    nodes = (site / "reference" / "comfyui.html").read_text(encoding="utf-8")
    assert 'id="bunraku.apps.comfyui.nodes.Animate"' in nodes
    assert "INPUT_TYPES" not in nodes
