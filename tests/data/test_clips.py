"""ClipFolder: on clips of the theatre, written as a user's would be."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.cues.cues import Cues
from bunraku.data.clips import ClipFolder, crop_with, random_crop, read_frames
from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter
from bunraku.recipes import Reads
from bunraku.theatre import render, sample_scene
from bunraku.theatre.flow import background_flow, background_motion
from tests.video import read_video

LENGTH = 40
SIZE = (96, 128)


def write_clip(video: Path, seed: int, length: int = LENGTH) -> None:
    shown = render(sample_scene(seed), length, SIZE)
    with VideoWriter(video, fps=12, size=SIZE, crf=10) as writer:
        for frame in shown.frames:
            writer.write(frame)
    Cues(Fraction(12), SIZE, "theatre", shown.pose).save(video.with_suffix(".cues"))


READS = Reads(stills=("reference", "reference_pose"))


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    (folder / "nested").mkdir()
    for seed, name in enumerate(("a.mp4", "nested/b.mp4")):
        write_clip(folder / name, seed)
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "clips"))


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def parts_of(data: ClipFolder, index: int) -> tuple[np.ndarray, ...]:
    """frames, poses, reference, reference_pose."""
    sample = data[index]
    return sample.frames, sample.driven["pose"], sample.stills["reference"], sample.stills["reference_pose"]


def test_shapes_and_bytes(original):
    parts = parts_of(ClipFolder(original, 0, 3, (64, 48), reads=READS), 5)
    assert [p.shape for p in parts] == [(3, 64, 48, 3), (3, 64, 48, 3), (64, 48, 3), (64, 48, 3)]
    assert all(p.dtype == np.uint8 and p.any() for p in parts)


def test_a_sample_is_a_function_of_seed_and_index(original):
    data, again, other = (ClipFolder(original, seed, 2, (48, 48), reads=READS) for seed in (0, 0, 1))
    later = [parts_of(data, i) for i in (7, 3, 1)][-1]
    assert equal(later, parts_of(again, 1))
    assert not equal(parts_of(data, 0), parts_of(data, 1))
    assert not equal(parts_of(data, 0), parts_of(other, 0))


def test_some_clips_are_held_out_where_there_are_enough(tmp_path):
    for number in range(11):
        write_clip(tmp_path / f"{number:02}.mp4", number)
    train, val = (ClipFolder(tmp_path, 0, split=split) for split in ("train", "val"))
    assert [clip.video.stem for clip in val.clips] == ["09", "10"]
    assert len(train.clips) == 9
    for number in range(3, 11):
        (tmp_path / f"{number:02}.mp4").unlink()
    assert [len(ClipFolder(tmp_path, 0, split=split).clips) for split in ("train", "val")] == [3, 3]


def test_the_first_frame_as_reference(original):
    data = ClipFolder(original, 0, 4, (48, 48), consecutive=True, reference_frame="first")
    seen = np.arange(5, LENGTH)
    chosen = [data._choose(seen, np.random.default_rng(index)) for index in range(50)]
    assert {int(numbers[0]) for numbers in chosen} == {5}
    assert len({int(numbers[1]) for numbers in chosen}) > 5


def test_every_clip_is_used_and_few_stay_opened(original, monkeypatch):
    monkeypatch.setattr("bunraku.data.clips.OPENED", 1)
    data = ClipFolder(original, 0, 1, (48, 48))
    assert [c.video.relative_to(original).as_posix() for c in data.clips] == ["a.mp4", "nested/b.mp4"]
    used = set()
    for index in range(12):
        data[index]
        used |= set(data._opened)
        assert len(data._opened) == 1
    assert used == {c.video for c in data.clips}


def test_skeleton_lies_on_the_figure(original):
    """The colour under each drawn joint is what the whole frame shows at that joint."""
    data = ClipFolder(original, 0, 1, (192, 192), styles={"pose": {"line_width": 1}}, reads=READS)
    for index in range(4):
        clip = data.clips[int(np.random.default_rng([0, index]).integers(2))]
        pose = Cues.load(clip.cues).pose
        frames, poses, *_ = parts_of(data, index)
        whole = read_video(clip.video).frames
        rng = np.random.default_rng([0, index])
        rng.integers(2)
        chosen = data._choose(clip.seen, rng)
        (top, left), (height, width) = random_crop(SIZE, (192, 192), rng)
        points = (pose.keypoints[chosen[1], 0] - (left, top)) * (192 / width, 192 / height)
        seen = pose.scores[chosen[1], 0] > 0
        drawn = poses[0].any(-1)
        inside = seen & ((points >= 2) & (points < 190)).all(1)
        assert inside.sum() > 5
        for joint in np.flatnonzero(inside):
            x, y = points[joint].astype(int)
            assert drawn[y - 1 : y + 2, x - 1 : x + 2].any()
            own_x, own_y = pose.keypoints[chosen[1], 0, joint].astype(int)
            patch = whole[chosen[1], max(own_y - 2, 0) : own_y + 3, max(own_x - 2, 0) : own_x + 3].astype(int)
            assert np.abs(patch - frames[0, y, x].astype(int)).max(-1).min() < 60


def test_reference_keeps_its_distance(original):
    for consecutive in (False, True):
        data = ClipFolder(original, 0, 4, (48, 48), consecutive=consecutive, stride=2, min_gap=15)
        for index in range(200):
            reference, *driven = data._choose(np.arange(LENGTH), np.random.default_rng(index))
            assert np.abs(np.array(driven) - reference).min() >= 15
            assert len({reference, *driven}) == 5
            if consecutive:
                assert np.diff(driven).tolist() == [2, 2, 2]


@given(
    st.sets(st.integers(0, 120), min_size=6, max_size=60), st.integers(0, 90), st.integers(1, 5), st.integers(0, 2**31)
)
def test_choice_of_frames_for_any_clip(seen, min_gap, frames, seed):
    data = ClipFolder.__new__(ClipFolder)
    data.frames, data.stride, data.min_gap, data.consecutive = frames, 1, min_gap, False
    data.reference_frame = "random"
    numbers = np.array(sorted(seen))
    reference, *driven = data._choose(numbers, np.random.default_rng(seed))
    assert len(driven) == len(set(driven)) == frames
    assert {reference, *driven} <= seen
    assert reference not in driven
    data.consecutive = True
    if len(data._starts(numbers)):
        reference, *driven = data._choose(numbers, np.random.default_rng(seed))
        assert {reference, *driven} <= seen
        assert driven == list(range(driven[0], driven[0] + frames))


def test_frames_without_the_person_are_not_used(folder):
    path = folder / "a.cues"
    cues = Cues.load(path)
    scores = cues.pose.scores.copy()
    scores[5:30] = 0
    replace(cues, pose=replace(cues.pose, scores=scores)).save(path)
    shutil.rmtree(folder / "nested")
    data = ClipFolder(folder, 0, 2, (48, 48))
    used = {int(n) for index in range(80) for n in data._choose(data.clips[0].seen, np.random.default_rng(index))}
    assert used == {*range(5), *range(30, LENGTH)}
    rows = ClipFolder(folder, 0, 4, (48, 48), consecutive=True)
    starts = {int(rows._choose(rows.clips[0].seen, np.random.default_rng(index))[1]) for index in range(80)}
    assert starts == {0, 1, *range(30, LENGTH - 3)}


def test_only_what_is_needed_is_decoded(original, monkeypatch):
    reader = VideoReader(original / "a.mp4")
    whole = read_video(original / "a.mp4").frames
    parts: list[tuple[int, int]] = []
    part = VideoReader.part
    monkeypatch.setattr(VideoReader, "part", lambda self, a, b: (parts.append((a, b)), part(self, a, b))[1])
    numbers = np.array([39, 2, 5, 2])
    assert np.array_equal(read_frames(reader, numbers), whole[numbers])
    assert parts == [(2, 6), (39, 40)]


@given(
    st.tuples(st.integers(32, 700), st.integers(32, 700)),
    st.tuples(st.integers(4, 96), st.integers(4, 96)).map(lambda s: (8 * s[0], 8 * s[1])),
    st.integers(0, 2**31),
)
def test_crop_is_inside_and_nearly_of_the_targets_shape(size, target, seed):
    (top, left), (height, width) = random_crop(size, target, np.random.default_rng(seed))
    assert 0 <= top <= top + height <= size[0]
    assert 0 <= left <= left + width <= size[1]
    whole = min(size[0], size[1] * target[0] / target[1])
    area = whole**2 * target[1] / target[0]
    rounding = (height + 1) * (width + 1)
    # 5 % of the area are lost where the crop would be taller than the frame
    assert 0.85 * area <= rounding
    assert height * width <= area + 1
    assert 0.85 * target[1] / target[0] <= (width + 1) / height
    assert width / (height + 1) <= 1.0001 * target[1] / target[0]


def test_empty_or_missing_folder(tmp_path):
    with pytest.raises(BunrakuError, match=r"has no clips \(\.mp4"):
        ClipFolder(tmp_path, 0)
    with pytest.raises(BunrakuError, match=r"there is no folder .*nowhere"):
        ClipFolder(tmp_path / "nowhere", 0)


def test_clip_without_cues_names_the_command(folder):
    (folder / "nested" / "b.cues").unlink()
    with pytest.raises(
        BunrakuError, match=rf"no cues beside .*b\.mp4; first run: bunraku perceive {folder / 'nested'}$"
    ):
        ClipFolder(folder, 0)


@pytest.mark.parametrize(
    ("frames", "settings", "message"),
    [
        (LENGTH, {}, f"{LENGTH + 1} frames that show a person are needed"),
        (11, {"consecutive": True, "stride": 4}, f"{LENGTH + 1} frames in a row that show a person are needed"),
    ],
)
def test_clip_that_is_too_short(original, frames, settings, message):
    with pytest.raises(BunrakuError, match=rf"{message}; too few have .*a\.mp4, .*b\.mp4: remove them"):
        ClipFolder(original, 0, frames, **settings)
    ClipFolder(original, 0, frames - 1, **settings)


def test_cues_of_another_clip(folder):
    write_clip(folder / "nested" / "b.mp4", 3, LENGTH - 7)
    shutil.copy(folder / "a.cues", folder / "nested" / "b.cues")
    data = ClipFolder(folder, 0)
    index = next(i for i in range(20) if np.random.default_rng([0, i]).integers(2) == 1)
    with pytest.raises(
        BunrakuError, match=r"b\.cues has 40 frames, b\.mp4 has 33; make it again: bunraku perceive .*b\.mp4"
    ):
        data[index]


def test_drawn_skeletons_are_no_training_data(folder):
    Cues(Fraction(12), SIZE, "drawn", skeleton=np.zeros((LENGTH, *SIZE, 3), np.uint8)).save(folder / "a.cues")
    with pytest.raises(BunrakuError, match=r"a\.cues has no keypoints"):
        ClipFolder(folder, 0)


def test_everybody_is_drawn_and_the_cameras_motion_is_cropped_along(tmp_path, caplog):
    scene = sample_scene(1, people=2, moving_camera=True)
    shown = render(scene, 6, SIZE)
    with VideoWriter(tmp_path / "a.mp4", fps=12, size=SIZE, crf=10) as writer:
        for frame in shown.frames:
            writer.write(frame)
    cues = Cues(Fraction(12), SIZE, "theatre", shown.pose, maps={"camera": background_motion(scene, range(6), SIZE)})
    cues.save(tmp_path / "a.cues")
    reads = Reads(frames=("pose", "flow", "depth_order"))

    def drawn(**settings) -> dict[str, np.ndarray]:
        return ClipFolder(tmp_path, 0, 5, (64, 64), reads=reads, **settings)[0].driven  # type: ignore[return-value]

    both, alone = drawn(people=8), drawn()
    assert not caplog.messages
    for name in both:
        assert (both[name] > 0).sum() > (alone[name] > 0).sum()
    background = both["flow"][both["flow"] < 255]
    # two thirds of the way, in a picture half as long
    exact = np.linalg.norm(background_flow(scene, 6, SIZE), axis=-1).mean() / (max(SIZE) / 8) * 255 * SIZE[1] / SIZE[0]
    assert background.mean() == pytest.approx(exact, rel=0.3)
    replace(cues, maps={}).save(tmp_path / "a.cues")
    assert set(np.unique(drawn()["flow"])) == {0, 255}
    assert "the camera's motion is not known in" in caplog.text


def test_who_is_where_is_cropped_along_and_the_order_is_that_of_the_whole_clip(tmp_path):
    shown = render(sample_scene(1, people=2), 8, SIZE)
    with VideoWriter(tmp_path / "a.mp4", fps=12, size=SIZE, crf=10) as writer:
        for frame in shown.frames:
            writer.write(frame)
    mattes = np.uint8(255) * (shown.instances[:, None] == np.arange(1, 3)[:, None, None])
    nearness = np.tile([[1.0, 2.0]], (8, 1))
    nearness[3] = 2, 1  # a mistake of one frame
    cues = Cues(
        Fraction(12), SIZE, "theatre", shown.pose, maps={"mattes": mattes[:, :, ::2, ::2], "nearness": nearness}
    )
    cues.save(tmp_path / "a.cues")
    reads = Reads(stills=("reference", "reference_instances"), frames=("pose", "depth_order", "instances"))
    folder = ClipFolder(tmp_path, 0, 5, (64, 64), reads=reads, people=8)
    for index in range(4):
        sample = folder[index]
        where = [np.concatenate([sample.stills["reference_instances"][None], sample.driven["instances"]])[..., 0]]
        order = sample.driven["depth_order"]
        for person, colour in ((0, (255, 0, 0)), (1, (255, 255, 0))):
            seen = where[0][1:] == person + 1
            assert seen.any()
            others = (order.any(-1) & seen) & (order != colour).any(-1)
            assert others.sum() < 0.4 * seen.sum()  # regions are wider than people, and nothing else
    replace(cues, maps={}).save(tmp_path / "a.cues")
    with pytest.raises(BunrakuError, match=r"no mattes of .*a\.mp4: make the cues again with bunraku perceive --matte"):
        ClipFolder(tmp_path, 0, 5, (64, 64), reads=reads)


SCENE = Reads(stills=("reference",), frames=("pose", "structured_depth", "environment", "mask", "object"))


def write_stage(video: Path, seed: int, lost: tuple[int, ...] = (), **without: bool) -> None:
    """A clip of the stage with exact cues, of which the mattes of some frames and some maps may be missing."""
    shown = render(sample_scene(seed, props=True, objects=True), LENGTH, SIZE)
    with VideoWriter(video, fps=12, size=SIZE, crf=1) as writer:
        for frame in shown.frames:
            writer.write(frame)
    mattes = np.uint8(255) * (shown.labels[:, None] == 1)
    mattes[list(lost)] = 0
    maps = {"mattes": mattes, "objects": np.uint8(255) * (shown.labels == 2), "depth": shown.depth}
    maps = {name: value for name, value in maps.items() if not without.get(name)}
    Cues(Fraction(12), SIZE, "theatre", shown.pose, maps=maps).save(video.with_suffix(".cues"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    write_stage(folder / "a.mp4", 3, lost=(10, 11, *range(30, 40)))
    write_stage(folder / "b.mp4", 4, objects=True, depth=True)
    return folder


@pytest.mark.parametrize("consecutive", [False, True])
def test_a_clip_is_shown_without_its_character(stages, consecutive, caplog):
    data = ClipFolder(stages, 0, 3, (64, 64), consecutive=consecutive, reads=SCENE)
    assert "depth is not known in" in caplog.text
    plain, things = 0, 0
    for index in range(12):
        sample = data[index]
        assert set(sample.driven) == set(SCENE.frames)
        hole = sample.driven["mask"][..., 0] > 0
        assert hole.any((1, 2)).all()
        assert not sample.driven["environment"][hole].any()
        same = (sample.driven["environment"] == sample.frames).all(-1)
        plain += bool(same[~hole].all())
        things += bool(sample.driven["object"].any())
        # the character is within the crop, which holds it wherever it goes
        assert sample.driven["pose"].any((1, 2, 3)).all()
        edges = np.concatenate([hole[:, 0], hole[:, -1], hole[:, :, 0], hole[:, :, -1]], 1)
        assert edges.mean() < 0.7
    assert 0 < plain < 12
    assert 0 < things < 12


def test_a_cut_out_stands_before_the_ground_that_the_frames_show(stages):
    """Most samples stay in the reference's scene, as at inference; in the others the still has a ground of its own, which the cut-out leaves."""
    reads = replace(SCENE, frames=("pose", "cutout", "environment", "mask", "object"))
    data, stayed = ClipFolder(stages, 0, 3, (64, 64), reads=reads), 0
    for index in range(20):
        sample = data[index]
        cut = sample.driven["cutout"]
        assert (cut[..., 3] > 128).sum((1, 2)).min() > 100
        figure = sample.driven["mask"][..., 0] > 0
        far = (cut[..., 3] == 0) & ~figure
        error = np.abs(cut[..., :3].astype(int) - sample.frames)[far].mean()
        assert error < 15, index  # things that are held are filled; another ground differs by 60
        still = np.abs(sample.driven["environment"].astype(int) - sample.stills["reference"])[~figure].mean()
        stayed += bool(still < 1)
    assert 10 <= stayed < 20


def test_mattes_that_are_lost_for_a_moment_are_bridged_and_longer_losses_not_used(stages):
    clip = ClipFolder(stages, 0, 3, (64, 64), reads=SCENE).clips[0]
    assert {10, 11} <= set(clip.seen.tolist())
    assert not set(range(30, 40)) & set(clip.seen.tolist())
    plain = ClipFolder(stages, 0, 3, (64, 64)).clips[0]
    assert {10, 30} <= set(plain.seen.tolist())


def test_without_mattes_there_is_no_scene(original):
    with pytest.raises(BunrakuError, match=r"no mattes of .*a\.mp4, .*b\.mp4: bunraku perceive DIR --matte"):
        ClipFolder(original, 0, reads=SCENE)


@given(
    st.tuples(st.integers(40, 200), st.integers(40, 200)), st.tuples(st.integers(8, 64), st.integers(8, 64)),
    st.tuples(*[st.floats(0, 1)] * 4), st.integers(0, 99),
)  # fmt: skip
def test_a_crop_holds_its_box_where_it_can(size, target, sides, seed):
    rows, columns = sorted(sides[:2]), sorted(sides[2:])
    box = np.array([rows[0] * size[0], columns[0] * size[1], rows[1] * size[0], columns[1] * size[1]])
    (top, left), (height, width) = crop_with(box, size, target, np.random.default_rng(seed))
    assert 0 <= top <= top + height <= size[0]
    assert 0 <= left <= left + width <= size[1]
    assert abs(width - height * target[1] / target[0]) <= 1 + target[1] / target[0]
    for start, side, low, high in ((top, height, box[0], box[2]), (left, width, box[1], box[3])):
        if high - low < side - 2:
            assert start <= low + 1.5
            assert start + side >= high - 1.5


def test_memory_of_opened_clips_is_bounded(stages, monkeypatch):
    monkeypatch.setattr("bunraku.data.clips.MOST", 1)
    data = ClipFolder(stages, 0, 1, (48, 48), reads=SCENE)
    for index in range(6):
        data[index]
        assert len(data._opened) == 1


def test_a_clip_has_as_many_crops_as_were_asked_for(original: Path) -> None:
    """Whatever the sample: so frames come again, pixel for pixel, and what a network made of them can be kept."""
    of_clip: dict[str, set[bytes]] = {}
    data, free = (ClipFolder(original, 0, 1, (48, 48), crops=crops) for crops in (2, 0))
    for index in range(40):
        clip = data.clip(index, np.random.default_rng([0, index]))
        moved = np.random.default_rng([0, index, 1])
        of_clip.setdefault(clip.video.name, set()).add(repr(data._crop(clip, SIZE, moved)).encode())
    assert [len(crops) for crops in of_clip.values()] == [2, 2]
    assert len({sample.stills["reference"].tobytes() for sample in map(data.__getitem__, range(60))}) < 60
    assert len({sample.stills["reference"].tobytes() for sample in map(free.__getitem__, range(60))}) == 60
    assert equal(
        parts_of(ClipFolder(original, 0, 1, (48, 48), crops=2, reads=READS), 3),
        parts_of(ClipFolder(original, 0, 1, (48, 48), crops=2, reads=READS), 3),
    )
