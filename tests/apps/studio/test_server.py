"""The server: files for their owner alone, nothing but what is open, nothing too large."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from fastapi.testclient import TestClient

from bunraku.apps.studio import views
from bunraku.apps.studio.server import create_app, free_port
from bunraku.apps.studio.session import COOKIE, Sessions
from bunraku.apps.uploads import Limits
from bunraku.errors import BunrakuError
from tests.apps.hostile import hostile
from tests.apps.studio.conftest import laid, until


@pytest.fixture
def visitor(sessions: Sessions) -> Iterator[TestClient]:
    with TestClient(create_app(sessions), base_url="http://127.0.0.1") as client:
        client.get("/")
        yield client


def test_files_are_their_owners_alone(sessions: Sessions, visitor: TestClient) -> None:
    session = sessions.of(visitor.cookies[COOKIE])
    assert session is not None
    laid(session)
    assert session.still is not None
    mine = f"/studio/files/{session.still.key}/shown.jpg"
    assert visitor.get(mine).status_code == 200
    assert visitor.get("/studio/poses/preview/x").json()["frames"] == 6
    other = TestClient(visitor.app, base_url="http://127.0.0.1")
    assert other.get(mine).status_code == 404
    other.get("/")
    assert other.get(mine).status_code == 404
    assert other.get("/studio/poses/clip/x").status_code == 404
    assert "error" in other.get("/studio/poses/preview/x").json()
    other.cookies.set(COOKIE, "guessed")
    assert other.get(mine).status_code == 404


def test_nobody_leaves_the_folder(sessions: Sessions, visitor: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    key = "0" * 16
    for way in (f"{key}/..%2f..%2fsecret.jpg", "..%2f..%2f/secret.jpg", f"{key}/%2e%2e/secret.jpg", f"{key}/a%00.jpg", "../secret.jpg"):  # fmt: skip
        assert visitor.get(f"/studio/files/{way}").status_code == 404, way


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x", "/monitoring", "/gradio_api/vibe-edit/", "/run-history/buckets", "/openapi.json", "/docs", "/gradio_api/call/x"])  # fmt: skip
def test_gradios_other_ways_are_closed(path: str, visitor: TestClient) -> None:
    assert visitor.get(path).status_code == 404
    assert visitor.post(path).status_code == 404


def test_the_page_allows_nothing_from_elsewhere(visitor: TestClient) -> None:
    page = visitor.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "googleapis" not in page.text
    cookie = TestClient(visitor.app, base_url="http://127.0.0.1").get("/").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_what_is_too_large_is_not_kept(sessions: Sessions, visitor: TestClient) -> None:
    sessions.rules = sessions.rules.__class__(Limits(bytes=1000))
    session = sessions.of(visitor.cookies[COOKIE])
    assert session is not None

    def dripping() -> Iterator[bytes]:
        for _ in range(50):
            yield b"0" * 100

    for body in (b"0" * 5000, dripping()):
        answer = visitor.post("/studio/upload/still?name=x.png", content=body)
        assert answer.status_code == 413
        assert "too large" in answer.json()["error"]
    assert not list(session.folder.iterdir())
    assert not session.looks


def test_uploads_of_nobody_and_to_nowhere(visitor: TestClient) -> None:
    assert visitor.post("/studio/upload/elsewhere", content=b"x").status_code == 404
    stranger = TestClient(visitor.app, base_url="http://127.0.0.1")
    assert stranger.post("/studio/upload/still", content=b"x").status_code == 404


def test_hostile_files_become_words(sessions: Sessions, visitor: TestClient, tmp_path: Path, puppets: Path) -> None:
    session = sessions.of(visitor.cookies[COOKIE])
    assert session is not None
    outside = set(tmp_path.iterdir())
    for number, (name, content, harmless) in enumerate(hostile(puppets)[::25]):
        slot = "still" if number % 2 == 0 or harmless else "clip"
        answer = visitor.post(f"/studio/upload/{slot}", params={"name": name}, content=content)
        assert answer.status_code == 200
        until(lambda: not session.busy)
        assert not session.looks[slot].crashed
        shown = views.page(session)[slot]
        assert shown.get("key") if harmless else shown.get("error") or shown.get("key"), name
    assert visitor.get("/").status_code == 200
    assert set(tmp_path.iterdir()) == outside


def test_a_free_port_is_found_or_asked_for() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port, 50) > port
        with pytest.raises(BunrakuError, match="--port"):
            free_port("127.0.0.1", port, 1)
