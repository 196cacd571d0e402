"""Shards: the bytes of the clips, samples of every clip in every round, the same ones after a resumption."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.cues.cues import Cues
from bunraku.data.clips import ClipFolder
from bunraku.data.samples import StepSampler, loader
from bunraku.data.shards import ClipShards, PackWork, is_sharded, read_shards, write_shards
from bunraku.errors import BunrakuError
from bunraku.media import Slice, VideoReader, VideoWriter
from bunraku.perception.pose import PoseTrack
from bunraku.progress import silent
from bunraku.recipes import Reads
from bunraku.training.config import training_config
from bunraku.training.run import dataset
from bunraku.work import run_here
from tests.video import read_video

pytest.importorskip("webdataset", reason="the extra `data` is not installed")

LENGTH, SIZE = 12, (48, 64)
CLIPS = 7


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of noise; in the last nobody is seen."""
    folder = tmp_path_factory.mktemp("clips")
    videos = [folder / f"v1.{number}.mp4" for number in range(CLIPS + 1)]
    for number, video in enumerate(videos):
        rng = np.random.default_rng(number)
        with VideoWriter(video, fps=12, size=SIZE) as writer:
            for frame in rng.integers(0, 256, (LENGTH, *SIZE, 3), np.uint8):
                writer.write(frame)
        keypoints = rng.uniform(0, 48, (LENGTH, 1 if number < CLIPS else 0, 18, 2)).astype(np.float32)
        scores = np.ones(keypoints.shape[:3], np.float32)
        scores[5:7] = 0
        Cues(writer.fps, SIZE, "noise", PoseTrack(keypoints, scores, SIZE)).save(video.with_suffix(".cues"))
    return videos


@pytest.fixture(scope="module")
def shards(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two or three clips in each."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    size = 2 * (clips[0].stat().st_size + clips[0].with_suffix(".cues").stat().st_size) + 2000
    assert len(write_shards(clips[:CLIPS], folder, size, run_here, silent)) == 4
    return folder


def test_clips_lie_in_the_shards_as_they_were(clips: list[Path], shards: Path) -> None:
    found = [clip for shard in read_shards(shards) for clip in shard]
    assert [clip.video.name for clip in found] == [video.name for video in clips[:CLIPS]]
    for clip, video in zip(found, clips):
        assert clip.video.read() == video.read_bytes()
        assert clip.cues.read() == video.with_suffix(".cues").read_bytes()
        assert clip.seen.tolist() == [*range(5), *range(7, LENGTH)]
        np.testing.assert_array_equal(np.stack(list(VideoReader(clip.video))), read_video(video).frames)
    assert is_sharded(shards)
    assert not is_sharded(clips[0].parent)


def test_webdataset_reads_them(clips: list[Path], shards: Path) -> None:
    from webdataset import WebDataset

    urls = [str(path) for path in sorted(shards.glob("*.tar"))]
    samples = list(WebDataset(urls, shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in samples] == [f"{number:09}" for number in range(CLIPS)]
    assert [sample["mp4"] for sample in samples] == [video.read_bytes() for video in clips[:CLIPS]]


def test_a_sample_is_the_one_that_a_folder_gives_of_that_clip(clips: list[Path], shards: Path, tmp_path: Path) -> None:
    data = ClipShards(shards, 3, 2, (32, 32))
    for index in range(4):
        shutil.rmtree(tmp_path / "one", ignore_errors=True)
        (tmp_path / "one").mkdir()
        name = data.clips[data.number(index)].video.name
        for file in (name, f"{Path(name).stem}.cues"):
            shutil.copy(clips[0].parent / file, tmp_path / "one")
        folder = ClipFolder(tmp_path / "one", 3, 2, (32, 32))
        folder.clip = lambda index, rng, folder=folder: folder.clips[0]
        np.testing.assert_array_equal(data[index].frames, folder[index].frames)
        np.testing.assert_array_equal(data[index].driven["pose"], folder[index].driven["pose"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(sum), st.integers(0, 9), st.integers(0, 3))
def test_every_round_has_every_clip_once_in_an_order_of_its_own(counts: list[int], seed: int, turn: int) -> None:
    data = ClipShards.__new__(ClipShards)
    ends = np.cumsum(counts).tolist()
    data.seed, data.clips = seed, list(range(sum(counts)))  # type: ignore[assignment]
    data._shards = [range(end - count, end) for end, count in zip(ends, counts) if count]
    first = turn * len(data.clips)
    order = [data.number(first + place) for place in range(len(data.clips))]
    assert sorted(order) == list(range(len(data.clips)))
    # asked for in any order, and by another process: the same
    assert [data.number(first + place) for place in reversed(range(len(data.clips)))] == order[::-1]
    if len(data.clips) > 12:
        other = [data.number(first + len(data.clips) + place) for place in range(len(data.clips))]
        assert other != order


def test_training_reads_them_and_goes_on_with_the_samples_it_would_have_had(shards: Path, tmp_path: Path) -> None:
    settings = {"data": str(shards), "resolution": 32, "min_gap": 0}
    config = training_config("animate-anyone", "mini", 1, tmp_path / "run", settings)
    data = dataset(config, Reads())
    assert isinstance(data, ClipShards)

    def frames(start: int, stop: int) -> list[np.ndarray]:
        batches = loader(dataset(config, Reads()), StepSampler(start, stop, 2), workers=0)
        return [batch.frames.numpy() for batch in batches]

    whole, rest = frames(0, 6), frames(4, 6)
    for one, two in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(whole[0], whole[1])


def test_the_same_clips_are_held_out_as_of_a_folder(clips: list[Path], shards: Path, tmp_path: Path) -> None:
    for video in clips[:CLIPS]:
        for file in (video, video.with_suffix(".cues")):
            shutil.copy(file, tmp_path)
    for split in ("train", "val"):
        names = [
            [clip.video.name for clip in data.clips]
            for data in (ClipShards(shards, 0, split=split), ClipFolder(tmp_path, 0, split=split))
        ]
        assert names[0] == names[1]


def test_what_is_written_stays_and_what_is_not_is_added(clips: list[Path], tmp_path: Path, caplog) -> None:
    folder = tmp_path / "shards"

    # the second one is interrupted
    def stopped(work, tasks, report):
        yield next(iter(run_here(work, tasks[:1], report)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(clips, folder, 1, stopped, silent)
    assert [path.name for path in sorted(folder.iterdir())] == ["clips-00000.json", "clips-00000.tar"]
    with pytest.raises(BunrakuError, match="has not all of its 8 shards"):
        read_shards(folder)
    before = (folder / "clips-00000.tar").stat().st_mtime_ns
    write_shards(clips, folder, 1, run_here, silent)
    assert (folder / "clips-00000.tar").stat().st_mtime_ns == before
    assert [len(shard) for shard in read_shards(folder)] == [1] * CLIPS + [0]
    assert "left out of the shards" in caplog.text
    again = tmp_path / "again"
    write_shards(clips, again, 1, run_here, silent)
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    for videos, size in ((clips[1:], 1), (clips, 10**9)):
        with pytest.raises(BunrakuError, match="has shards of other clips"):
            write_shards(videos, folder, size, run_here, silent)


def test_shards_that_cannot_be_read_or_written(clips: list[Path], tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(BunrakuError, match="no clips with cues"):
        write_shards([], tmp_path / "x", 1, run_here, silent)
    folder = tmp_path / "shards"
    write_shards(clips[:1], folder, 1, run_here, silent)
    index = folder / "clips-00000.json"
    content = json.loads(index.read_text())
    for text, message in (
        ("{}", "is not the index of a shard"),
        (json.dumps(content | {"version": 9}), "newer version"),
    ):
        index.write_text(text)
        with pytest.raises(BunrakuError, match=message):
            ClipShards(folder, 0)
    monkeypatch.setattr(PackWork, "do", lambda *_: (_ for _ in ()).throw(BunrakuError("the disk is full")))
    with pytest.raises(BunrakuError, match=r"1 of 1 shards could not be written: .*the disk is full"):
        write_shards(clips[:1], tmp_path / "y", 1, run_here, silent)


def test_a_damaged_clip_in_a_shard_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"nothing to see" * 100)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.bin", "a.mp4")
        member = tar.getmember("a.mp4")
    with pytest.raises(BunrakuError, match=r"a\.tar/a\.mp4 is not a video"):
        VideoReader(Slice(tmp_path / "a.tar", 512, 512 + member.size, "a.mp4"))
