"""Tables and folders of animations: what they mean, and all that is wrong with them before anything begins."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from bunraku.animate import AnimateOptions
from bunraku.animate.driving import open_driving
from bunraku.animate.jobs import Job, asked_jobs, check_jobs, jobs_of_folders, output_folders, read_jobs
from bunraku.errors import BunrakuError


def table(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "jobs.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_a_line_is_a_job_with_the_options_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "m.png").touch()
    path = table(
        tmp_path,
        "reference,driving,output,seed,fps,size,guidance,smooth,pairs,people,pose,side-by-side,Reference Person,mask,scene",
        "a.png,b.mp4,out/1.mp4,7,30000/1001,96x64,2.5,yes,0:1,all,mediapipe,side.mp4,,m.png,m.png",
        "",
        '/x/a.png,b.mp4,"out/2, b.mp4",,,,,no,,,,,1,,driving',
    )
    one, two = read_jobs(path, AnimateOptions(seed=3, model="puppet-warp"))
    assert one == Job(
        "jobs.csv line 2", tmp_path / "a.png", tmp_path / "b.mp4", tmp_path / "out/1.mp4",
        AnimateOptions(
            model="puppet-warp", seed=7, fps=Fraction(30000, 1001), size=(96, 64), guidance=2.5, smoothing=True, pairs=((0, 1),),
            max_people=8, detector="mediapipe", side_by_side=tmp_path / "side.mp4", mask=tmp_path / "m.png", scene=tmp_path / "m.png",
        ),
    )  # fmt: skip
    assert two == Job(
        "jobs.csv line 4", Path("/x/a.png"), tmp_path / "b.mp4", tmp_path / "out/2, b.mp4",
        AnimateOptions(model="puppet-warp", seed=3, reference_person=1, scene="driving"),
    )  # fmt: skip


def test_further_characters_and_views_are_pictures_beside_the_table(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "reference,driving,output,references,view",
        "a.png,b.mp4,c.mp4,d.png; e.png,f.png",
        "a.png,b.mp4,g.mp4",
    )
    one, two = read_jobs(path)
    assert (one.reference, one.options.references) == (tmp_path / "a.png", (tmp_path / "d.png", tmp_path / "e.png"))
    assert (one.options.views, two.options.references) == ((tmp_path / "f.png",), ())


@pytest.mark.parametrize(("separator", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-8")])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, separator: str, encoding: str) -> None:
    lines = ("reference,driving,output", "ä.png,b.mp4,c.mp4")
    path = table(tmp_path, *(line.replace(",", separator) for line in lines), encoding=encoding)
    assert read_jobs(path)[0].reference == tmp_path / "ä.png"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["reference,driving,output,colour"], "column 'colour', which means nothing; there are reference, driving, output"),
        (["reference,output"], "no column driving"),
        (["reference,driving,output,seed,--seed"], "column 'seed' twice"),
        (["reference,driving,output"], "has no jobs"),
        (["reference,driving,output", "a,b"], "jobs.csv line 2: there is no output"),
        (["reference,driving,output", "a,b,c,d"], "jobs.csv line 2: 4 fields for 3 columns"),
        (["reference,driving,output,seed", "a,b,c,1.5"], "--seed '1.5' is no whole number"),
        (["reference,driving,output,guidance", "a,b,c,much"], "--guidance 'much' is no number"),
        (["reference,driving,output,smooth", "a,b,c,perhaps"], "--smooth 'perhaps' is neither yes nor no"),
        (["reference,driving,output,size", "a,b,c,large"], "'large' is no size"),
        (["reference,driving,output,fit", "a,b,c,stretch"], "unknown --fit 'stretch'"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(BunrakuError) as error:
        read_jobs(table(tmp_path, *lines))
    assert message in str(error.value)


def test_everything_wrong_in_a_table_is_said_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, "reference,driving,output,seed", "a,b,c,x", "a,b,c,1", "a,b,,2", *["a,b,c,-1"] * 30)
    with pytest.raises(BunrakuError) as error:
        read_jobs(path)
    said = str(error.value).splitlines()
    assert said[0] == "nothing was begun, because 32 of the jobs cannot be done:"
    assert [line.partition(":")[0] for line in said[1:4]] == ["jobs.csv line 2", "jobs.csv line 4", "jobs.csv line 5"]
    assert (len(said), said[-1]) == (22, "... and 12 more")


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes(b"reference,driving\xff")
    with pytest.raises(BunrakuError, match="not UTF-8 text"):
        read_jobs(tmp_path / "jobs.csv")


def test_every_still_with_every_clip(tmp_path: Path) -> None:
    stills, clips, out = tmp_path / "stills", tmp_path / "clips", tmp_path / "out"
    for path in (stills / "b.png", stills / "a10.jpg", stills / "a9.jpg", clips / "run.mp4", clips / "walk.mov"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (stills / "a9.pose.json").touch()
    one = jobs_of_folders(stills, clips / "run.mp4", out)
    assert [job.output for job in one] == [out / "a9.mp4", out / "a10.mp4", out / "b.mp4"]
    several = jobs_of_folders(stills, clips, out, AnimateOptions(scene="transparent"))
    assert [(job.output.name, job.driving.name, job.reference.name) for job in several[2:4]] == [
        ("b-run.webm", "run.mp4", "b.png"), ("a9-walk.webm", "walk.mov", "a9.jpg"),
    ]  # fmt: skip
    assert [job.output.name for job in asked_jobs(stills / "b.png", clips, out, None, AnimateOptions())] == [
        "b-run.mp4", "b-walk.mp4",
    ]  # fmt: skip
    assert asked_jobs(stills / "b.png", clips / "run.mp4", out, None, AnimateOptions()) == []


def test_options_of_one_picture_are_none_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="--mask and --sheet cannot be one for many animations"):
        jobs_of_folders(tmp_path, tmp_path, tmp_path, AnimateOptions(mask=tmp_path, sheet=tmp_path))
    with pytest.raises(BunrakuError, match="folder without pictures"):
        jobs_of_folders(tmp_path, tmp_path, tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(BunrakuError, match=r"out\.mp4 is no folder"):
        jobs_of_folders(tmp_path, tmp_path / "b.mp4", tmp_path / "out.mp4")


def test_a_table_or_inputs(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="leave out REFERENCE and --output"):
        asked_jobs(tmp_path, None, tmp_path, tmp_path / "jobs.csv", AnimateOptions())
    with pytest.raises(BunrakuError, match="DRIVING and --output is missing"):
        asked_jobs(tmp_path, None, None, None, AnimateOptions())


def job(puppets: Path, output: Path, reference: str = "a.png", driving: str = "b.cues", **options: object) -> Job:
    settings = AnimateOptions(model="puppet-warp", **options)  # type: ignore[arg-type]
    return Job(output.name, puppets / reference, puppets / driving, output, settings)


def test_every_job_is_checked_before_any_begins(puppets: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    jobs = [
        job(puppets, tmp_path / "fine.mp4"),
        job(puppets, tmp_path / "missing.mp4", reference="nobody.png"),
        job(puppets, tmp_path / "short.mp4", start=99),
        job(puppets, tmp_path / "kind.xyz"),
        job(tmp_path, tmp_path / "picture.mp4", reference="damaged.png", driving=str(puppets / "b.cues")),
    ]
    with pytest.raises(BunrakuError) as error:
        check_jobs(jobs)
    said = str(error.value).splitlines()
    assert said[0] == "nothing was begun, because 4 of the jobs cannot be done:"
    assert "missing.mp4: " in said[1]
    assert "nobody.png does not exist" in said[1]
    assert "has 12 frames" in said[2]
    assert "unknown video extension" in said[3]
    assert "damaged.png" in said[4]
    assert check_jobs(jobs[:1]) == {"fine.mp4": 12}
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.png"]


def test_no_job_writes_what_another_reads_or_writes(puppets: Path, tmp_path: Path) -> None:
    shutil.copy(puppets / "a.png", tmp_path)
    shutil.copy(puppets / "b.cues", tmp_path)
    jobs = [
        job(puppets, tmp_path / "one.mp4", sheet=tmp_path / "a.png"),
        job(puppets, tmp_path / "two.mp4", side_by_side=tmp_path / "one.mp4"),
        job(tmp_path, tmp_path / "three.mp4"),
    ]
    with pytest.raises(BunrakuError) as error:
        check_jobs(jobs)
    assert f"two.mp4: {tmp_path}/one.mp4 is written by one.mp4 as well" in str(error.value)
    assert f"three.mp4: {tmp_path}/a.png is read here and written by one.mp4" in str(error.value)


def test_folders_are_made_and_vanish_where_nothing_was_begun(puppets: Path, tmp_path: Path) -> None:
    jobs = [job(puppets, tmp_path / "new" / "deep" / "one.mp4"), job(puppets, tmp_path / "new" / "two.mp4")]
    with output_folders(jobs):
        assert (tmp_path / "new" / "deep").is_dir()
    (tmp_path / "new" / "deep").rmdir()
    (tmp_path / "new" / "kept").touch()
    with pytest.raises(BunrakuError), output_folders(jobs):
        raise BunrakuError("wrong")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kept"]
    with pytest.raises(BunrakuError, match="cannot be made"), output_folders([job(puppets, puppets / "a.png/x.mp4")]):
        pass


def test_finished_is_what_has_all_its_outputs(puppets: Path, tmp_path: Path) -> None:
    plain, sheet = job(puppets, tmp_path / "a.mp4"), job(puppets, tmp_path / "a.mp4", sheet=tmp_path / "a.png")
    frames, pattern = job(puppets, tmp_path / "frames"), job(puppets, tmp_path / "p" / "%03d.png")
    assert not any(each.finished for each in (plain, sheet, frames, pattern))
    for path in (tmp_path / "a.mp4", tmp_path / "frames" / "0000.png", tmp_path / "p" / "0000.png"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [each.finished for each in (plain, sheet, frames, pattern)] == [True, False, True, False]
    (tmp_path / "p" / "004.png").touch()
    assert pattern.finished


def test_a_clip_is_opened_once_for_jobs_in_a_row(
    puppets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        "bunraku.animate.jobs.open_driving",
        lambda path, options: opened.append(path.name) or open_driving(path, options),
    )
    stops = (None, None, 4, 4, 4)
    jobs = [job(puppets, tmp_path / f"{i}.mp4", stop=stop) for i, stop in enumerate(stops)]
    assert list(check_jobs(jobs).values()) == [12, 12, 4, 4, 4]
    assert len(opened) == 2


def test_a_field_that_is_too_long_is_no_table(tmp_path):
    (tmp_path / "jobs.csv").write_text("reference,driving,output\n" + "x" * 200_000 + ",b,c\n")
    with pytest.raises(BunrakuError, match="is no CSV table"):
        read_jobs(tmp_path / "jobs.csv")
