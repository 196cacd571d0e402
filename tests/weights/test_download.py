"""Downloads against a small Hub on this machine: resumed, checked, nothing half-written."""

import hashlib
import json
import struct
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import huggingface_hub
import pytest

from bunraku.errors import BunrakuError
from bunraku.weights import download, registry
from bunraku.weights.registry import File, Model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENTS = {"a.onnx": bytes(range(256)) * 2000, "b.onnx": b"second" * 1000}


def described(name, content):
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


class Hub(BaseHTTPRequestHandler):
    """A Hub that tells what it has, sends a file or the rest of it, and can break off."""

    def do_HEAD(self):
        """As the Hub answers: the checksum of large files is git-lfs', that of small ones git's; and the commit."""
        hub, name = self.server, self.path.removeprefix("/owner/thing/resolve/main/")
        hub.asked.append(name)
        if hub.failing:
            self.send_error(503)
            return
        content = hub.recorded.get(name, hub.contents[name])
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{blob}"')
        if name.endswith(".onnx") and hub.linked:
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self):
        hub, wanted = self.server, self.headers.get("Range")
        name = self.path.removeprefix("/owner/thing/resolve/main/").removeprefix(f"/owner/thing/resolve/{COMMIT}/")
        hub.revisions.add(self.path.split("/")[4] if "/resolve/" in self.path else None)
        hub.requests.append((name, wanted))
        hub.tokens.append(self.headers.get("Authorization"))
        if hub.failing:
            self.send_error(503)
            return
        content = hub.contents[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if hub.breaks_after is None:
            self.wfile.write(content[start:])
        else:
            hub.failing = True
            self.wfile.write(content[: hub.breaks_after])

    def log_message(self, *arguments):
        pass


def point_at(monkeypatch, endpoint):
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", partial(huggingface_hub.hf_hub_url, endpoint=endpoint))
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the server is this process


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.contents, server.requests, server.tokens = dict(CONTENTS), [], []
    server.failing, server.breaks_after, server.ranges = False, None, True
    server.asked, server.recorded, server.linked, server.revisions = [], {}, True, set()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    point_at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    files = tuple(described(name, content) for name, content in CONTENTS.items())
    model = Model("thing", "for tests", "perception", "Apache-2.0", "https://example.org/thing", "owner/thing", files)
    monkeypatch.setattr(registry, "MODELS", (model, *registry.MODELS))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def elsewhere(hub, monkeypatch):
    """One file comes from a plain URL on the same server; only the first digits of its checksum are known."""
    file = described("a.onnx", CONTENTS["a.onnx"])
    file = replace(file, sha256=file.sha256[:8], url=f"http://127.0.0.1:{hub.server_port}/files/a.onnx?download=1")
    model = replace(registry.get("thing"), name="elsewhere", files=(file, registry.get("thing").files[1]))
    monkeypatch.setattr(registry, "MODELS", (model, *registry.MODELS))
    hub.contents["/files/a.onnx?download=1"] = CONTENTS["a.onnx"]
    return model


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_pull_fetches_once_and_verifies(hub, tmp_path):
    seen = []
    folder = download.pull("thing", progress=lambda *report: seen.append(report))
    assert folder == tmp_path / "thing"
    assert files_in(tmp_path) == {"thing/a.onnx", "thing/b.onnx"}
    assert {name: (folder / name).read_bytes() for name in CONTENTS} == CONTENTS
    assert seen[-1] == ("b.onnx", 6000, 6000)
    assert download.verify("thing") == folder
    before = len(hub.requests)
    assert download.pull("thing") == folder
    assert len(hub.requests) == before


def test_pull_replaces_a_damaged_file_only(hub, tmp_path):
    folder = download.pull("thing")
    (folder / "a.onnx").write_bytes(b"x" * len(CONTENTS["a.onnx"]))
    with pytest.raises(BunrakuError, match=r"a\.onnx has the wrong checksum .* `bunraku models pull thing`"):
        download.verify("thing")
    hub.requests.clear()
    download.pull("thing")
    assert [name for name, _ in hub.requests] == ["a.onnx"]
    assert download.verify("thing") == folder


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"x" * len(CONTENTS["b.onnx"]), "has the wrong checksum"),
        (b"<html>not here</html>", "has 21 bytes instead of 6,000"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6000\n", "is a git-LFS pointer instead of the weights"),
    ],
)  # fmt: skip
def test_wrong_content_is_thrown_away(hub, tmp_path, sent, problem):
    hub.contents["b.onnx"] = sent
    with pytest.raises(BunrakuError, match=f"example.org/thing sent as b.onnx {problem}"):
        download.pull("thing")
    assert files_in(tmp_path) == {"thing/a.onnx"}
    with pytest.raises(BunrakuError, match=r"not whole: b\.onnx is missing"):
        download.verify("thing")


def test_an_interrupted_download_is_resumed(hub, tmp_path):
    hub.breaks_after = 300_000
    with pytest.raises(BunrakuError, match=r"a\.onnx could not be fetched .*resume.* by hand"):
        download.pull("thing")
    assert files_in(tmp_path) == {"thing/a.onnx.partial"}
    hub.failing, hub.breaks_after = False, None
    hub.requests.clear()
    download.pull("thing")
    assert hub.requests == [("a.onnx", "bytes=300000-"), ("b.onnx", None)]
    assert download.verify("thing") == tmp_path / "thing"
    assert files_in(tmp_path) == {"thing/a.onnx", "thing/b.onnx"}


def test_a_file_may_come_from_a_plain_url(hub, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert download.pull("elsewhere") == tmp_path / "elsewhere"
    assert hub.requests == [("/files/a.onnx?download=1", None), ("b.onnx", None)]
    assert hub.tokens == [None, "Bearer hf_secret"]
    assert (tmp_path / "elsewhere" / "a.onnx").read_bytes() == CONTENTS["a.onnx"]
    assert download.verify("elsewhere") == tmp_path / "elsewhere"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_from_a_url_is_resumed(hub, elsewhere, tmp_path, ranges):
    hub.breaks_after = 300_000
    with pytest.raises(BunrakuError, match=r"a\.onnx could not be fetched"):
        download.pull("elsewhere")
    assert (tmp_path / "elsewhere" / "a.onnx.partial").stat().st_size == 300_000
    hub.failing, hub.breaks_after, hub.ranges = False, None, ranges
    hub.requests.clear()
    download.pull("elsewhere")
    assert hub.requests[0] == ("/files/a.onnx?download=1", "bytes=300000-")
    assert (tmp_path / "elsewhere" / "a.onnx").read_bytes() == CONTENTS["a.onnx"]


def test_an_abbreviated_checksum_is_still_a_check(hub, elsewhere, tmp_path):
    hub.contents["/files/a.onnx?download=1"] = b"x" * len(CONTENTS["a.onnx"])
    with pytest.raises(BunrakuError, match=f"has the wrong checksum .*expected {elsewhere.files[0].sha256}\\)"):
        download.pull("elsewhere")
    assert files_in(tmp_path) == set()


def test_a_file_from_nowhere_is_a_mistake_of_the_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    model = Model("nowhere", "", "metric", "MIT", "https://example.org", files=(File("a.pth", "0" * 8, 1),))
    monkeypatch.setattr(registry, "MODELS", (model,))
    with pytest.raises(BunrakuError, match=r"nowhere: a\.pth has neither a URL nor a repository"):
        download.pull("nowhere")


@pytest.fixture
def unpinned(hub, monkeypatch):
    """A model whose checksums the registry does not know: a large file, a small one, and one of which it knows the sha256."""
    hub.contents["config.json"] = b'{"a": 1}'
    files = (File("a.onnx"), File("config.json"), File("b.onnx", hashlib.sha256(CONTENTS["b.onnx"]).hexdigest()))
    model = Model(
        "unpinned", "", "checkpoint", "MIT", "https://example.org/thing", "owner/thing", files, ("thing",), 5e5
    )
    monkeypatch.setattr(registry, "MODELS", (model, *registry.MODELS))
    return model


def test_the_hubs_own_record_is_asked_for_and_kept(hub, unpinned, tmp_path):
    folder = download.pull("unpinned")
    assert hub.asked == ["a.onnx", "config.json", "b.onnx"]
    assert {name for name, _ in hub.requests} == {"a.onnx", "config.json", "b.onnx"}
    assert hub.revisions == {COMMIT, "main"}  # of the part that it needs, everything is pinned
    kept = json.loads((folder / ".hub.json").read_text())
    assert kept["a.onnx"] == {
        "size": 512_000,
        "sha256": hashlib.sha256(CONTENTS["a.onnx"]).hexdigest(),
        "git": None,
        "revision": COMMIT,
    }
    assert kept["config.json"]["sha256"] is None
    assert len(kept["config.json"]["git"]) == 40
    assert files_in(tmp_path / "thing") == {"a.onnx", "b.onnx"}  # what it needs came as well
    hub.asked.clear()
    assert download.pull("unpinned") == download.verify("unpinned") == folder
    assert hub.asked == []


@pytest.mark.parametrize("name", ["a.onnx", "config.json"])
def test_damage_is_found_by_the_kept_record(hub, unpinned, tmp_path, name):
    folder = download.pull("unpinned")
    (folder / name).write_bytes(b"x" * (folder / name).stat().st_size)
    with pytest.raises(BunrakuError, match=f"{name} has the wrong checksum"):
        download.verify("unpinned")
    hub.requests.clear()
    download.pull("unpinned")
    assert [request for request, _ in hub.requests] == [name]
    download.verify("unpinned")


def test_content_that_is_not_what_the_hub_recorded(hub, unpinned, tmp_path):
    hub.recorded["a.onnx"] = b"y" * len(CONTENTS["a.onnx"])
    with pytest.raises(BunrakuError, match=r"sent as a\.onnx has the wrong checksum"):
        download.pull("unpinned")
    assert files_in(tmp_path / "unpinned") == {".hub.json"}


def test_a_pinned_checksum_goes_before_the_hubs_record(hub, unpinned, tmp_path):
    hub.contents["b.onnx"] = hub.recorded["b.onnx"] = b"z" * len(CONTENTS["b.onnx"])
    with pytest.raises(
        BunrakuError, match=rf"sent as b\.onnx has the wrong checksum .*expected {unpinned.files[2].sha256}\)"
    ):
        download.pull("unpinned")


def test_a_hub_without_checksums(hub, unpinned, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.file_download.get_hf_file_metadata",
        lambda url: huggingface_hub.file_download.HfFileMetadata(COMMIT, 'W/"x"', url, None, None),
    )
    with pytest.raises(BunrakuError, match=r"owner/thing names no size and checksum of a\.onnx"):
        download.pull("unpinned")


def test_files_put_there_by_hand(hub, unpinned, tmp_path, caplog):
    """They are compared with the Hub's record; without a connection they are used as they are, and it says so."""
    folder = tmp_path / "unpinned"
    folder.mkdir()
    for file in unpinned.files:
        (folder / file.path).write_bytes(hub.contents[file.path])
    with pytest.raises(BunrakuError, match=r"a\.onnx was not fetched by bunraku: there is no checksum for it"):
        download.verify("unpinned")
    download.pull("thing")
    hub.failing = True
    hub.requests.clear()
    with caplog.at_level("WARNING", "bunraku"):
        assert download.pull("unpinned") == folder
    assert caplog.text.count("is used as it is: its checksum could not be asked for") == 3
    hub.failing = False
    download.pull("unpinned")
    download.verify("unpinned")
    assert hub.requests == []


def test_the_licence_is_shown_when_something_is_fetched(hub, unpinned, caplog):
    with caplog.at_level("INFO", "bunraku"):
        download.pull("unpinned")
        assert caplog.text.count("unpinned: licence MIT, see https://example.org/thing") == 1
        download.pull("unpinned")
    assert caplog.text.count("licence") == 2  # and once that of the part


def test_offline_is_a_plain_error(monkeypatch, tmp_path):
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    point_at(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(
        BunrakuError, match=r"yolox_l\.onnx could not be fetched .*https://huggingface\.co/yzd-v/DWPose"
    ):
        download.pull("dwpose")
    assert not any(path.suffix == ".onnx" for path in tmp_path.rglob("*"))


def test_unwritable_home_is_a_plain_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path / "file"))
    with pytest.raises(BunrakuError, match=r"could not be fetched \((NotADirectory|FileExists)Error"):
        download.pull("dwpose")


def test_shipped_weights_are_checked(monkeypatch, tmp_path):
    model = replace(registry.get("mini"))
    monkeypatch.setattr(Model, "folder", property(lambda self: tmp_path))
    monkeypatch.setattr(registry, "MODELS", (model,))
    with pytest.raises(BunrakuError, match=r"model_index\.json is missing; install bunraku again"):
        download.pull("mini")
    (tmp_path / "model_index.json").write_text("{}")
    header = json.dumps({"x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + b"1234"
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(whole)
    assert download.verify("mini") == tmp_path
    assert model.size == len(whole) + 2
    weights.write_bytes(whole[:-1])
    with pytest.raises(BunrakuError, match=r"vae/diffusion_pytorch_model\.safetensors is damaged"):
        download.verify("mini")
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BunrakuError, match="is a git-LFS pointer"):
        download.verify("mini")
