"""Jobs: many animations, out of a table or out of folders, wholly checked before any of them begins."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from bunraku.animate.driving import open_driving, people_looked_for
from bunraku.animate.options import AnimateOptions, MotionOptions, option
from bunraku.animate.run import check_animation
from bunraku.animate.scene import SCENES
from bunraku.errors import BunrakuError
from bunraku.media import check_input, clips_in, pictures_in, written
from bunraku.progress import Progress, silent
from bunraku.sampling.share import ALONE, Share
from bunraku.values import parsed_interval, parsed_pairs, parsed_people, parsed_rate, parsed_size, parsed_strengths
from bunraku.work import Runner, Task, Work, in_order, run_here

REQUIRED = ("reference", "driving", "output")
"""Columns that every table has."""

SHOWN = 20
"""Problems of a table that are told at once."""

TOGETHER = 50
"""So many jobs are checked as one piece of work."""

OWN = ("mask", "reference_pose", "sheet", "side_by_side", "debug", "state")
"""Options that belong to one picture or one output, and so to no folder of them."""


@dataclass(frozen=True)
class Job:
    """One animation of many.

    Attributes:
        name: what messages call it: the line of the table, or the output.
        reference, driving, output, options: as of `animate`.
    """

    name: str
    reference: Path
    driving: Path
    output: Path
    options: AnimateOptions

    @property
    def outputs(self) -> list[Path]:
        """All that is written."""
        more = (self.options.sheet, self.options.side_by_side, self.options.debug)
        return [self.output, *(path for path in more if path)]

    @property
    def finished(self) -> bool:
        """Whether all outputs are there. They are put in place only when complete, the video first."""
        return all(map(written, self.outputs))

    @property
    def absolute(self) -> "Job":
        """The same job for a process in another folder."""
        o, whole = self.options, Path.absolute
        paths = {name: whole(path) for name in OWN if (path := getattr(o, name)) is not None}
        model = str(whole(Path(o.model).expanduser())) if Path(o.model).expanduser().is_dir() else o.model
        scene = o.scene if str(o.scene) in SCENES else whole(Path(o.scene))
        options = replace(o, **paths, model=model, scene=scene)
        return replace(
            self,
            reference=whole(self.reference),
            driving=whole(self.driving),
            output=whole(self.output),
            options=options,
        )

    @property
    def clip(self) -> tuple[Path, MotionOptions]:
        """The driving clip, and of the options what decides who is found in it: jobs with equal clips share its perception."""
        o = self.options
        return self.driving.absolute(), MotionOptions(
            driving_kind=o.driving_kind, start=o.start, stop=o.stop, fps=o.fps, canvas=o.canvas, detector=o.detector, device=o.device,
            max_people=people_looked_for(o),
        )  # fmt: skip


def asked_jobs(
    reference: Path | None,
    driving: Path | None,
    output: Path | None,
    table: Path | None,
    options: AnimateOptions,
    *,
    always: bool = False,
) -> list[Job]:
    """The jobs of a table, or of folders; none where one animation is asked for, unless `always`.

    Raises:
        BunrakuError: neither a table nor inputs and output, or both; see `read_jobs` and `jobs_of_folders`.
    """
    given = {"REFERENCE": reference, "DRIVING": driving, "--output": output}
    if table is not None:
        if extra := [name for name, path in given.items() if path is not None]:
            raise BunrakuError(f"the table {table} says what is animated (--jobs); leave out {' and '.join(extra)}")
        return read_jobs(table, options)
    if reference is None or driving is None or output is None:
        missing = [name for name, path in given.items() if path is None]
        raise BunrakuError(
            f"{' and '.join(missing)} is missing; give REFERENCE DRIVING --output OUT, or a table (--jobs)"
        )
    if reference.is_dir() or clips_in(driving):
        return jobs_of_folders(reference, driving, output, options)
    return [Job(str(output), reference, driving, output, options)] if always else []


def read_jobs(table: Path, defaults: AnimateOptions = AnimateOptions()) -> list[Job]:
    """The jobs of a table: CSV with a line of column names, separated by commas, semicolons or tabs.

    Columns are reference, driving, output, and any option by the name that it has on the command line, with or without dashes (`seed`,
    `side-by-side`, `smooth`: yes or no). An empty field leaves the option as it is in `defaults`. Paths are relative to the table's folder.

    Raises:
        BunrakuError: an unreadable table, unknown or missing columns, or fields that cannot be used: all of them, by line.
    """
    try:
        text = check_input(table).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BunrakuError(f"{table} is not UTF-8 text ({error.reason}); save the table as CSV UTF-8") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        lines = [
            (rows.line_num, row)
            for rows in [csv.reader(StringIO(text, newline=""), delimiter=separator)]
            for row in rows
        ]
    except csv.Error as error:
        raise BunrakuError(f"{table} is no CSV table ({error})") from error
    columns = [_column(name) for name in (lines[0][1] if lines else [])]
    _check_columns(table, columns)
    jobs, problems = [], []
    for number, row in lines[1:]:
        if not any(map(str.strip, row)):
            continue
        name = f"{table.name} line {number}"
        try:
            if len(row) > len(columns):
                raise BunrakuError(f"{len(row)} fields for {len(columns)} columns")
            given = {column: field.strip() for column, field in zip(columns, row) if field.strip()}
            jobs.append(_job(name, given, table.parent, defaults))
        except BunrakuError as error:
            problems.append(f"{name}: {error}")
    _raise(problems)
    if not jobs:
        raise BunrakuError(f"{table} has no jobs: there is no line below the names of the columns")
    return jobs


def jobs_of_folders(stills: Path, driving: Path, output: Path, options: AnimateOptions = AnimateOptions()) -> list[Job]:
    """Every still with every clip: OUTPUT/STILL.mp4 of one clip, OUTPUT/STILL-CLIP.mp4 of a folder of clips (.webm where the scene is
    transparent).

    Args:
        stills: a folder of pictures, or one picture.
        driving: anything that drives, or a folder of clips.

    Raises:
        BunrakuError: no pictures, or options that belong to a single one.
    """
    given = [option(name) for name in OWN if getattr(options, name) is not None]
    if given:
        raise BunrakuError(
            f"{' and '.join(given)} cannot be one for many animations; write a table with a column of that name (--jobs)"
        )
    references = pictures_in(stills) if stills.is_dir() else [stills]
    if not references:
        raise BunrakuError(f"{stills} is a folder without pictures; give one with stills, or a picture")
    if output.suffix:
        raise BunrakuError(f"{output} is no folder, and many animations are asked for; give a folder (--output)")
    clips, suffix = clips_in(driving), ".webm" if options.scene == "transparent" else ".mp4"
    jobs = []
    for clip in clips or [driving]:
        for still in references:
            path = output / f"{still.stem}{f'-{clip.stem}' if clips else ''}{suffix}"
            jobs.append(Job(str(path), still, clip, path, options))
    return jobs


def check_jobs(jobs: Sequence[Job], report: Progress = silent, run: Runner = run_here) -> dict[str, int]:
    """Open every input and look whether every output can be written; perceives and makes nothing.

    Args:
        run: who opens them: a million clips take one machine a day.

    Returns:
        The number of driven frames of every job, by its name.

    Raises:
        BunrakuError: says of every job what is wrong with it.
    """
    problems, lengths = _collisions(jobs), dict[str, int]()
    parts = [tuple(jobs[i : i + TOGETHER]) for i in range(0, len(jobs), TOGETHER)]
    tasks = [Task(part[0].name, part) for part in parts]
    run = run if len(tasks) > 1 else run_here
    for outcome in in_order(tasks, run(CheckWork(), tasks, lambda _, done, total: report("check", done, total))):
        if outcome.error is not None:
            raise BunrakuError(f"{outcome.task.name} and what follows it cannot be checked: {outcome.error}")
        for name, found in outcome.result.items():
            if isinstance(found, int):
                lengths[name] = found
            else:
                problems.append(f"{name}: {found}")
    _raise(problems)
    return lengths


class CheckWork(Work):
    """Checks some jobs: of each by its name the number of driven frames, or what is wrong with it."""

    def do(self, item: Sequence[Job], prepared: Any, report: Progress, share: Share = ALONE) -> dict[str, int | str]:
        found: dict[str, int | str] = {}
        clip, opened = None, None
        for job in item:
            try:
                if opened is None or job.clip != clip:
                    opened = None
                    opened, clip = open_driving(job.driving, job.options), job.clip
                check_animation(job.reference, opened, job.output, job.options)
                found[job.name] = len(opened)
            except BunrakuError as error:
                found[job.name] = str(error)
        return found


@contextmanager
def output_folders(jobs: Sequence[Job]) -> Iterator[None]:
    """Makes the folders that outputs go into; those that are new and empty vanish again where the block fails."""
    made: list[Path] = []
    for folder in sorted({path.absolute().parent for job in jobs for path in job.outputs}):
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BunrakuError(f"the folder {folder} cannot be made ({error.strerror}); choose another one") from error
        made += missing
    try:
        yield
    except BaseException:
        for folder in sorted(made, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):  # somebody has put something into it
                folder.rmdir()
        raise


def _column(name: str) -> str:
    """The field of the options that a column's name means."""
    plain = name.strip().lower().lstrip("-").replace("-", "_").replace(" ", "_")
    if plain in REQUIRED:  # the option --reference adds further pictures to it
        return plain
    if plain in REQUIRED:  # as an option, --reference gives further characters: the column references
        return plain
    return {option(f.name).lstrip("-").replace("-", "_"): f.name for f in fields(AnimateOptions)}.get(
        "max_people" if plain == "people" else plain, plain
    )


def _check_columns(table: Path, columns: list[str]) -> None:
    known = [*REQUIRED, *(f.name for f in fields(AnimateOptions))]
    if unknown := [name for name in columns if name not in known]:
        names = [
            *REQUIRED,
            *(o for f in fields(AnimateOptions) if (o := option(f.name).lstrip("-")) not in REQUIRED),
            *SEVERAL,
        ]
        raise BunrakuError(f"{table} has a column {unknown[0]!r}, which means nothing; there are {', '.join(names)}")
    if missing := [name for name in REQUIRED if name not in columns]:
        raise BunrakuError(f"{table} has no column {' and '.join(missing)}; its first line names the columns")
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise BunrakuError(f"{table} has the column {twice[0]!r} twice")


def _job(name: str, given: Mapping[str, str], folder: Path, defaults: AnimateOptions) -> Job:
    if missing := [column for column in REQUIRED if column not in given]:
        raise BunrakuError(f"there is no {' and no '.join(missing)}")
    types = get_type_hints(AnimateOptions)
    values = {
        column: _value(column, text, types[column], folder) for column, text in given.items() if column not in REQUIRED
    }
    reference, driving, output = (folder / given[column] for column in REQUIRED)
    return Job(name, reference, driving, output, replace(defaults, **values))


def _value(column: str, text: str, kind: Any, folder: Path) -> Any:
    """A field of a table as the option's type.

    Raises:
        BunrakuError: it cannot be read as one; names the option.
    """
    if column in PARSERS:
        return PARSERS[column](text)
    kinds = [
        each
        for each in (get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,))
        if each is not type(None)
    ]
    if get_origin(kind) is tuple and get_args(kind)[0] is Path:
        return tuple(folder / part.strip() for part in text.split(";"))
    if Path in kinds:
        path = folder / text
        return path if str not in kinds or path.exists() else text
    if bool in kinds:
        if text.lower() not in YES + NO:
            raise BunrakuError(f"{option(column)} {text!r} is neither yes nor no")
        return text.lower() in YES
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                raise BunrakuError(f"{option(column)} {text!r} is no {'whole ' * (number is int)}number") from None
    return text


SEVERAL = ("references", "views")
"""Columns of several pictures, with ; between them."""

YES, NO = ("yes", "true", "1"), ("no", "false", "0")
PARSERS: dict[str, Callable[[str], Any]] = {
    "fps": parsed_rate, "size": parsed_size, "canvas": parsed_size, "pairs": parsed_pairs, "max_people": parsed_people,
    "strengths": parsed_strengths, "guidance_interval": parsed_interval,
}  # fmt: skip
"""Fields with a form of their own."""


def _collisions(jobs: Sequence[Job]) -> list[str]:
    """Jobs that write what another writes or reads."""
    writers: dict[Path, str] = {}
    problems = []
    for job in jobs:
        for path in job.outputs:
            if (other := writers.setdefault(path.absolute(), job.name)) != job.name:
                problems.append(f"{job.name}: {path} is written by {other} as well")
    for job in jobs:
        for path in (job.reference, job.driving):
            if (writer := writers.get(path.absolute())) not in (None, job.name):
                problems.append(f"{job.name}: {path} is read here and written by {writer}")
    return problems


def _raise(problems: Sequence[str]) -> None:
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise BunrakuError(
            f"nothing was begun, because {len(problems)} of the jobs cannot be done:\n"
            + "\n".join(problems[:SHOWN])
            + more
        )
