import os
from pathlib import Path

import pytest

from bunraku.errors import BunrakuError
from bunraku.media import check_input, check_output, replacing


def test_replaces_only_on_clean_exit(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_input(tmp_path):
    (tmp_path / "empty").touch()
    for path, words in [
        (tmp_path, "is a folder"),
        (tmp_path / "none", "does not exist"),
        (tmp_path / "empty", "0 bytes"),
        (tmp_path / "empty" / "below", "cannot be read"),
    ]:
        with pytest.raises(BunrakuError, match=words):
            check_input(path)


def test_output(tmp_path):
    existing = tmp_path / "in.mp4"
    existing.write_bytes(b"x")
    assert check_output(tmp_path / "o.mp4", [existing]) == tmp_path / "o.mp4"
    link = tmp_path / "link.mp4"
    link.symlink_to(existing)
    for path, options, words in [
        (existing, {"inputs": [existing]}, "also an input"),
        (link, {"inputs": [existing]}, "also an input"),
        (existing, {"overwrite": False}, "exists already"),
        (tmp_path / "no" / "o.mp4", {}, "does not exist"),
    ]:
        with pytest.raises(BunrakuError, match=words):
            check_output(path, **options)
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "link.mp4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where even root cannot write")
def test_unwritable_folder():
    with pytest.raises(BunrakuError, match="not writable"):
        check_output("/proc/out.mp4")
