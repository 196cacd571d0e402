"""`bunraku studio` as a process: how long it takes to open, and what it leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Bunraku

pytest.importorskip("gradio")

PATIENCE = 120.0  # s; machines are shared
MOST = 5.0  # s of computing until the first page


@contextmanager
def studio(temporary: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A studio whose files lie in a folder of the test's, and its address; a network is out of reach."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bunraku", "studio", "--no-open", "--port", str(port)]
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    process = subprocess.Popen(
        command,
        env={**os.environ, **nowhere, "no_proxy": "127.0.0.1", "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    try:
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.communicate()


def first_page(process: subprocess.Popen[bytes], url: str) -> str:
    end = time.monotonic() + PATIENCE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            return str(opener.open(url, timeout=PATIENCE).read().decode())
        except OSError:
            time.sleep(0.05)
    pytest.fail("the studio did not open")


def computed(process: subprocess.Popen[bytes]) -> float:
    """Seconds of computing of a process so far; unlike those of the clock they do not depend on what else the machine does."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not say what a process has computed")
def test_it_opens_offline_within_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    with studio(tmp_path) as (process, url):
        page = first_page(process, url)
        spent = computed(process)
        assert "bunraku studio" in page
        assert list(tmp_path.glob("bunraku-studio-*"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)  # then the same computing takes longer
    assert spent < (2 * MOST if crowded else MOST), f"{spent:.1f} s"
    assert url.rstrip("/") in said.decode()
    assert not list(tmp_path.glob("bunraku-studio-*"))


def test_what_a_killed_studio_left_goes_when_the_next_one_opens(tmp_path: Path) -> None:
    with studio(tmp_path) as (process, url):
        first_page(process, url)
        (alive,) = tmp_path.glob("bunraku-studio-*")
        with studio(tmp_path) as (second, other):
            first_page(second, other)
            assert alive.exists()
            assert len(list(tmp_path.glob("bunraku-studio-*"))) == 2
    assert len(list(tmp_path.glob("bunraku-studio-*"))) == 2
    with studio(tmp_path) as (process, url):
        first_page(process, url)
        assert not alive.exists()
        assert len(list(tmp_path.glob("bunraku-studio-*"))) == 1


def test_a_model_that_does_not_exist_and_a_port_that_is_taken(bunraku: Bunraku) -> None:
    made = bunraku("studio", "--no-open", "--model", "nonsense")
    assert made.code == 2
    assert "there is no model 'nonsense'" in made.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        made = bunraku("studio", "--no-open", "--port", taken.getsockname()[1])
    assert made.code == 2
    assert "--port" in made.err


def test_sharing_is_off_unless_asked_for(bunraku: Bunraku, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("bunraku.apps.studio.server.serve", lambda *inputs: inputs[-1]("http://here"))
    monkeypatch.setattr("gradio.networking.setup_tunnel", lambda *inputs: asked.append("tunnel") or "https://there")
    assert "there" not in bunraku("studio", "--no-open").err
    assert not asked
    assert "https://there" in bunraku("studio", "--no-open", "--share").err

    def fail(*_: object) -> str:
        raise RuntimeError("no network")

    monkeypatch.setattr("gradio.networking.setup_tunnel", fail)
    made = bunraku("studio", "--no-open", "--share")
    assert made.code == 2
    assert "no network" in made.err
