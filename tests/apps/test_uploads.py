"""What is taken, what is refused and why, and that hostile files cost neither this process nor its disk anything."""

import json
import resource
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from bunraku.apps import uploads
from bunraku.apps.uploads import Limits, Media, examine, shown_name, told
from bunraku.cues.cues import Cues
from bunraku.errors import BunrakuError
from bunraku.media import VideoReader
from tests.apps.hostile import NAMES, good_files, hostile


def test_good_files_are_told_by_their_contents(puppets: Path, tmp_path: Path) -> None:
    expected = {
        "a.png": ("picture", ".png"), "a.jpg": ("picture", ".jpg"), "a.mp4": ("video", ".mp4"), "a.gif": ("video", ".gif"),
        "a.webp": ("video", ".webp"), "a.cues": ("cues", ".cues"), "a.pose.json": ("openpose", ".json"), "a.bvh": ("bvh", ".bvh"),
    }  # fmt: skip
    for name, content in good_files(puppets).items():
        (path := tmp_path / "without_a_suffix").write_bytes(content)
        found = examine(path, name=name)
        assert (found.kind, found.suffix) == expected[name]
        assert found.size == ((96, 64) if found.kind in ("picture", "video") else None)
    clip = examine(puppets / "a.mp4")
    assert (clip.frames, clip.fps) == (12, 12)


def outcome_of(path: Path, name: str) -> Media | str:
    """What it is found to be, or why it is refused."""
    try:
        return examine(path, Limits(bytes=20 * 2**20), name)
    except BunrakuError as error:
        return str(error)


def test_hostile_files(puppets: Path, tmp_path: Path) -> None:
    """Each is refused with a sentence, or is good enough to be a small picture or motion; nothing appears beside it.

    Every fifth of the damaged ones; `test_serve` sends all.
    """
    cases = hostile(puppets)
    assert len(cases) == 200
    cases = [case for i, case in enumerate(cases) if "damaged" not in case.name or i % 5 == 0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    refused = 0
    for case in cases:
        (path := tmp_path / "upload").write_bytes(case.content)
        outcome = outcome_of(path, case.name)
        if isinstance(outcome, str):
            refused += 1
            assert not case.harmless, outcome
            assert str(tmp_path) not in outcome
        else:
            assert outcome.frames <= 3600
            assert case.harmless or "damaged" in case.name or outcome.kind in ("bvh", "openpose"), case.name
        assert [each.name for each in tmp_path.iterdir()] == ["upload"]
    assert refused > 50
    most = max(before, uploads.MEMORY / 1024)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= most
    assert not any(Path(place, "escaped").exists() for place in ("/etc", "/etc/cron.d", "/tmp", "."))


def test_names_are_shown_without_what_could_do_harm() -> None:
    for name in NAMES:
        shown = shown_name(name)
        assert 0 < len(shown) <= 100
        assert not set(shown) & set("/\\\x00\n\r\u202e\u200b")
        assert shown.strip(". ") == shown


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(bytes=1000), "MB; at most"),
        (Limits(frames=11), "12 frames; at most 11"),
        (Limits(seconds=0.9), "1.0 s long; at most 0.9"),
        (Limits(frame_pixels=6000), "64x96 px"),
    ],
)
def test_limits_are_named(puppets: Path, limits: Limits, what: str) -> None:
    with pytest.raises(BunrakuError, match=what):
        examine(puppets / "a.mp4", limits)
    assert examine(puppets / "a.mp4", Limits(frames=12, seconds=1, frame_pixels=6144)).frames == 12


def test_pixels_are_counted_before_they_are_decoded(puppets: Path) -> None:
    with pytest.raises(BunrakuError, match=r"at most 0\.0 million pixels"):
        examine(puppets / "a.png", Limits(pixels=6143))
    assert examine(puppets / "a.png", Limits(pixels=6144)).size == (96, 64)


def test_cues_cannot_name_a_file_of_the_server(puppets: Path, tmp_path: Path) -> None:
    secret = replace(Cues.load(puppets / "b.cues"), media=puppets / "b.mp4", media_start=Fraction(1, 2))
    secret.save(tmp_path / "secret.cues")
    assert Cues.load(tmp_path / "secret.cues").media == puppets / "b.mp4"
    examine(tmp_path / "secret.cues")
    kept = Cues.load(tmp_path / "secret.cues")
    assert kept.media is None
    assert len(kept) == len(secret)


def test_looking_may_not_take_for_ever(tmp_path: Path, puppets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing counts, and the clock only after minutes: a busy machine is not the file's fault."""
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "PATIENCE", 0.001)
        with pytest.raises(BunrakuError, match="takes longer than 60 s"):
            examine(puppets / "a.mp4")
    monkeypatch.setattr(uploads, "SECONDS", 1)
    (path := tmp_path / "crowd.json").write_bytes(
        next(case.content for case in hostile(puppets) if case.name == "crowd.json")
    )
    with pytest.raises(BunrakuError, match="takes longer than 60 s"):
        examine(path)


def test_a_reader_that_dies_is_a_damaged_file(puppets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BunrakuError, match="it is damaged"):
        examine(puppets / "a.mp4")


def test_a_playlist_is_no_video_for_anybody(puppets: Path, tmp_path: Path) -> None:
    """FFmpeg opens what a playlist names; nothing may be fetched from a network because a file says so."""
    shutil.copy(puppets / "a.mp4", tmp_path / "clip.mp4")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(BunrakuError, match="not a video"):
        VideoReader(tmp_path / "list.m3u8")
    with pytest.raises(BunrakuError, match="none of the files"):
        told(tmp_path / "list.m3u8", "list.m3u8")


def test_answer_is_json_that_a_page_can_show(puppets: Path) -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(examine(puppets / "a.png"))))["size"] == [96, 64]
