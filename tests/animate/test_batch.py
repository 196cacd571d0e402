"""Many animations: the same files as one by one, each clip perceived once, failures named, and going on where it stopped."""

from dataclasses import replace
from pathlib import Path

import pytest

from bunraku.animate import AnimateOptions, animate
from bunraku.animate import batch as room
from bunraku.animate.batch import animate_jobs, in_a_row
from bunraku.animate.driving import Driving
from bunraku.animate.jobs import Job
from bunraku.cues.cues import Cues
from bunraku.errors import BunrakuError


def first(puppets: Path, frames: int) -> Cues:
    """What is known of the first frames of b.mp4."""
    known = Cues.load(puppets / "b.cues")
    assert known.pose is not None
    return replace(known, pose=known.pose[:frames], maps={name: of[:frames] for name, of in known.maps.items()})


@pytest.fixture
def perceived(puppets: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Clips in which people were looked for; they are found where the truth says, and nobody in a.mp4."""
    looked: list[str] = []

    def perceive_frames(frames: object, name: str, *_: object, **__: object) -> Cues:
        looked.append(Path(name).name)
        if name.endswith("a.mp4"):
            raise BunrakuError("no person was found")
        return first(puppets, len(frames))  # type: ignore[arg-type]

    monkeypatch.setattr("bunraku.animate.driving.perceive_frames", perceive_frames)
    return looked


def jobs_for(puppets: Path, model: Path, folder: Path, *names: tuple[str, str], **options: object) -> list[Job]:
    settings = AnimateOptions(model=str(model), **options)  # type: ignore[arg-type]
    return [
        Job(path.name, puppets / f"{still}.png", puppets / clip, path, settings)
        for still, clip in names
        if (path := folder / f"{still}-{clip[0]}-{clip[-1]}.mp4")
    ]


def test_the_same_files_as_one_by_one_each_clip_perceived_and_each_model_opened_once(
    puppets: Path, model_folder: Path, tmp_path: Path, perceived: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    names = (("a", "b.mp4"), ("a", "b.cues"), ("b", "b.mp4"))
    jobs = jobs_for(puppets, model_folder, tmp_path / "many", *names)
    jobs[1] = replace(jobs[1], options=replace(jobs[1].options, model="puppet-warp"))
    opened: list[str] = []
    open_pipeline = room.open_pipeline
    monkeypatch.setattr(
        room, "open_pipeline", lambda options, report: opened.append(options.model) or open_pipeline(options, report)
    )
    summary = animate_jobs(jobs)
    assert perceived == ["b.mp4"]
    assert opened == [str(model_folder)]
    assert [made.output.name for made in summary.done] == ["a-b-4.mp4", "b-b-4.mp4", "a-b-s.mp4"]
    for job in jobs:
        alone = tmp_path / "one" / job.output.name
        animate(job.reference, job.driving, alone, job.options)
        assert alone.read_bytes() == job.output.read_bytes()


def test_jobs_of_one_model_and_of_one_clip_stand_together(puppets: Path, model_folder: Path, tmp_path: Path) -> None:
    settings = AnimateOptions(model="puppet-warp")
    asked = [
        ("1", "b.mp4", settings), ("2", "a.mp4", settings), ("3", "b.mp4", replace(settings, seed=5)),
        ("4", "b.mp4", replace(settings, model="mini")), ("5", "b.mp4", replace(settings, max_people=3)),
        ("6", "a.mp4", replace(settings, steps=2)), ("7", "b.mp4", replace(settings, person=2)),
    ]  # fmt: skip
    jobs = [Job(name, puppets / "a.png", puppets / clip, tmp_path / name, each) for name, clip, each in asked]
    # person 2 is the third of those who are found, so three are looked for, as in 5
    assert [job.name for job in in_a_row(jobs)] == ["1", "3", "2", "6", "5", "7", "4"]


def test_what_fails_is_named_and_the_rest_done_and_the_next_run_does_what_is_left(
    puppets: Path, model_folder: Path, tmp_path: Path, perceived: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (("a", "a.mp4"), ("b", "a.mp4"), ("a", "b.mp4"))
    jobs = jobs_for(puppets, model_folder, tmp_path / "out", *names, stop=3)
    outcomes: list[str] = []
    summary = animate_jobs(jobs, on_outcome=lambda outcome: outcomes.append(outcome.task.name))
    assert summary.failed == {job.output: "no person was found" for job in jobs[:2]}
    assert perceived == ["a.mp4", "b.mp4"]
    assert outcomes == [job.name for job in jobs]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [jobs[2].output.name]
    before = jobs[2].output.stat().st_mtime_ns

    monkeypatch.setattr(Driving, "cues", lambda self, *_, **__: first(puppets, len(self)))
    again = animate_jobs(jobs)
    assert again.skipped == [jobs[2].output]
    assert [made.output for made in again.done] == [jobs[0].output, jobs[1].output]
    assert jobs[2].output.stat().st_mtime_ns == before
    anew = animate_jobs([replace(jobs[2], options=replace(jobs[2].options, overwrite=True))])
    assert (len(anew.done), anew.skipped) == (1, [])
    assert jobs[2].output.stat().st_mtime_ns > before


def test_nothing_begins_where_one_job_is_wrong(puppets: Path, tmp_path: Path, perceived: list[str]) -> None:
    jobs = jobs_for(puppets, Path("puppet-warp"), tmp_path / "new", ("a", "b.mp4"), ("nobody", "b.mp4"))
    with pytest.raises(BunrakuError, match="1 of the jobs cannot be done"):
        animate_jobs(jobs)
    assert perceived == []
    assert not (tmp_path / "new").exists()
