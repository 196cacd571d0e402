import os
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from bunraku.errors import BunrakuError
from bunraku.media import check_free, check_input, check_output, files, filling, replacing


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


def test_a_folder_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "model"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert os.listdir(path) == ["new"]

    move = os.replace

    def failing(source: Path, target: Path) -> None:
        if target == path and ".partial" in source.name and (source / "newest").exists():
            raise OSError("the network is gone")
        move(source, target)

    monkeypatch.setattr(os, "replace", failing)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)

    def fails() -> None:
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "newest").touch()

    with pytest.raises(OSError, match="network"):
        fails()
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders")
def test_a_folder_is_replaced_in_one_step(tmp_path, monkeypatch):
    """A process that is killed in between would leave none of that name."""
    path = tmp_path / "model"
    path.mkdir()
    monkeypatch.setattr(os, "replace", None)
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(path) == ["new"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError('I/O error: File too large (os error 27) at path "a.safetensors"'),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
@pytest.mark.parametrize("way", [replacing, filling])
def test_a_full_disk_is_told_whoever_met_it(tmp_path, way, error):
    def full() -> None:
        with way(tmp_path / "out"):
            raise error

    with pytest.raises(BunrakuError, match=r"the disk is full .* while writing .*out; free some space"):
        full()
    assert not os.listdir(tmp_path)


def test_a_pipe_is_no_file(tmp_path):
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BunrakuError, match="is a pipe or a device"):
        check_input(tmp_path / "pipe")
    with pytest.raises(BunrakuError, match="is a pipe or a device"):
        check_input("/dev/zero")


@pytest.mark.parametrize("there", [False, True])
def test_filling_a_folder(tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
        (folder / "notes").write_text("mine")

    def interrupted() -> None:
        with filling(folder) as temporary:
            (temporary / "a").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == (["out", "out/notes"] if there else [])
    with filling(folder) as temporary:
        (temporary / "a").write_text("new")
    assert sorted(os.listdir(folder)) == (["a", "notes"] if there else ["a"])
    with filling(folder, overwrite=True) as temporary:
        (temporary / "a").write_text("newer")
    assert (folder / "a").read_text() == "newer"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("there", [False, True])
def test_what_appears_in_the_folder_meanwhile_is_not_replaced(tmp_path, there):
    """Two runs into one folder: the second to end says where its files are."""
    folder = tmp_path / "out"
    if there:
        folder.mkdir()

    def two_runs() -> None:
        with filling(folder) as second:
            (second / "a").write_text("second")
            with filling(folder) as first:
                (first / "a").write_text("first")

    with pytest.raises(BunrakuError, match="not replaced; the files are in") as error:
        two_runs()
    assert (folder / "a").read_text() == "first"
    assert (Path(str(error.value).split(" are in ")[1]) / "a").read_text() == "second"


def test_files_beside_the_named_one_are_free_or_may_be_replaced(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    check_free(paths, overwrite=False)
    paths[1].touch()
    with pytest.raises(BunrakuError, match=r"b would be replaced.* --overwrite"):
        check_free(paths, overwrite=False)
    paths[2].touch()
    with pytest.raises(BunrakuError, match="b and 1 more would be replaced"):
        check_free(paths, overwrite=False)
    check_free(paths, overwrite=True)


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o007, 0o660, 0o770), (0o077, 0o600, 0o700)]
)
def test_permissions_are_those_of_any_new_file(tmp_path, mask, file, folder):
    """Also of what a library wrote through a private temporary file."""

    def private(path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a.bin") as temporary:
            private(temporary)
        with replacing(tmp_path / "model") as temporary:
            (temporary / "part").mkdir(parents=True, mode=0o700)
            private(temporary / "part" / "weights")
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path)): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    assert modes == {"a.bin": file, "model": folder, "model/part": folder, "model/part/weights": file}


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
    (tmp_path / "own").mkdir()
    for name in ("1.png", "1.json", "out.mp4"):
        (tmp_path / "own" / name).touch()
    for name in ("out.mp4", "2.png"):  # neither is read with the folder
        check_output(tmp_path / "own" / name, [tmp_path / "own"])
    link = tmp_path / "link.mp4"
    link.symlink_to(existing)
    for path, options, words in [
        (existing, {"inputs": [existing]}, "also an input"),
        (link, {"inputs": [existing]}, "also an input"),
        (tmp_path / "own" / "1.png", {"inputs": [tmp_path / "own"]}, "also an input"),
        (tmp_path / "own" / "1.json", {"inputs": [tmp_path / "own"]}, "also an input"),
        (tmp_path / "no" / "o.mp4", {}, "does not exist"),
    ]:
        with pytest.raises(BunrakuError, match=words):
            check_output(path, **options)
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "link.mp4", "own"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where even root cannot write")
def test_unwritable_folder():
    with pytest.raises(BunrakuError, match="not writable"):
        check_output("/proc/out.mp4")
