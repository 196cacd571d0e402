"""What is asked and what is answered; options and their limits are those of `AnimateOptions`, not stated again."""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from bunraku.animate.options import AnimateOptions, MotionOptions
from bunraku.apps.serve.settings import Settings
from bunraku.apps.serve.store import File, Job, State
from bunraku.apps.uploads import LARGEST_CANVAS
from bunraku.cues.openpose_json import sidecar
from bunraku.errors import BunrakuError
from bunraku.media import FOLDER_FPS

OURS = ("device", "dtype", "low_memory", "compile", "overwrite")
"""Options that are the server's own; so is each that is a path, whoever adds it: a request would read or write files of the server."""
FILES = ("reference_pose", "mask", "scene")
"""Options that uploads are taken for."""
SCENES = ("reference", "driving", "transparent")
RATE = r"\d{1,5}(\.\d{1,6})?(/\d{1,5})?"
LONGEST_KEY = 200

Task = Literal["animate", "preview", "perceive"]
Format = Literal["mp4", "webm", "mov", "mkv", "gif", "webp", "png", "cues"]
FORMATS: dict[Task, tuple[Format, ...]] = {
    "animate": ("mp4", "webm", "mov", "mkv", "gif", "webp"), "preview": ("png", "mp4", "webm", "gif"), "perceive": ("cues",),
}  # fmt: skip
"""What each task can make; the first unless another is asked for."""


def _rate(value: Any) -> Any:
    """Bounded before it becomes a fraction: the one of "1e999999999" fills the memory."""
    if isinstance(value, float | int) and math.isfinite(value) and 0 < value < 1e5:
        return Fraction(str(value)).limit_denominator(10_000)
    if isinstance(value, str) and re.fullmatch(RATE, value) and float(value.partition("/")[2] or 1):
        return Fraction(value)
    raise ValueError("give frames per second, such as 24, 29.97 or 30000/1001")


Rate = Annotated[
    Fraction,
    BeforeValidator(_rate),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": RATE}]}),
]


def described(*kinds: type) -> dict[str, str]:
    """What the docstrings of dataclasses say of each attribute; several may share a paragraph.

    >>> described(MotionOptions)["smoothing"]
    'One-Euro filter on the driving joints.'
    """
    found: dict[str, str] = {}
    for kind in kinds:
        section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes")[2].partition("\n\n")[0]
        for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n     +.*)*)", section, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(inner, kind) for inner in get_args(annotation))


def _options_model() -> type[BaseModel]:
    types, texts = get_type_hints(AnimateOptions) | {"fps": Rate | None}, described(MotionOptions, AnimateOptions)
    made: dict[str, Any] = {}
    for field in fields(AnimateOptions):
        if field.name in OURS or _holds(types[field.name], Path):
            continue
        bounds: dict[str, Any] = {}
        if (limits := AnimateOptions.limits.get(field.name)) and field.name not in ("fps", "size", "canvas"):
            bounds = {"ge": limits.least, "le": None if limits.most == math.inf else limits.most}
        default: Any = field.default
        made[field.name] = (types[field.name], Field(default, description=texts.get(field.name), **bounds))
    return create_model("Options", __config__=ConfigDict(extra="forbid"), __doc__="How it is animated.", **made)


Options = _options_model()


class JobRequest(BaseModel):
    """An animation that is asked for; files are named by the id that their upload has got."""

    model_config = ConfigDict(extra="forbid")

    task: Task = Field(
        "animate",
        description="animate: the video. preview: reference, driver and retargeted skeletons, in seconds. perceive: the motion as cues, "
        "which can be sent as `driving` of other jobs, so that perception is paid once.",
    )
    reference: str | None = Field(None, description="Picture of the character; all but perceive need it.")
    driving: str = Field(description="The motion: a video, BVH, OpenPose JSON or cues.")
    reference_pose: str | None = Field(None, description="OpenPose JSON of the reference; null: it is detected.")
    mask: str | None = Field(
        None, description="Picture with the character white or opaque, for models that cut it out."
    )
    scene: str = Field(
        "reference", description=f"What is behind the character: {', '.join(SCENES)}, or the id of a picture or video."
    )
    format: Format | None = Field(
        None,
        description=f"Of the result: {'; '.join(f'{task}: ' + ', '.join(formats) for task, formats in FORMATS.items())}.",
    )
    sheet: bool = Field(False, description="Whether a picture of reference, driver, poses and results is made as well.")
    options: Options = Field(default_factory=Options, description="How it is animated.")  # type: ignore[valid-type]

    def files(self) -> dict[str, str]:
        """Ids of the files, by what they are for."""
        given = {
            "reference": self.reference,
            "driving": self.driving,
            "reference_pose": self.reference_pose,
            "mask": self.mask,
        }
        scene = {} if self.scene in SCENES else {"scene": self.scene}
        return {name: id for name, id in given.items() if id is not None} | scene

    def checked(self, files: Mapping[str, File], settings: Settings) -> AnimateOptions:
        """The options, where everything that can be known beforehand is right.

        Raises:
            BunrakuError: a file of the wrong kind, an option out of its range, more frames or pixels than are granted.
        """
        if self.reference is None and self.task != "perceive":
            raise BunrakuError(f"{self.task} needs a reference")
        if self.format is not None and self.format not in FORMATS[self.task]:
            raise BunrakuError(f"the format of {self.task} is {' or '.join(FORMATS[self.task])}, not {self.format}")
        for name, kinds in TAKES.items():
            if (file := files.get(name)) and file.media.kind not in kinds:
                raise BunrakuError(f"{name} is {' or '.join(kinds)}; {file.name} is {file.media.kind}")
        try:
            options = AnimateOptions(**dict(self.options))  # type: ignore[call-overload]
        except BunrakuError as error:
            raise BunrakuError(in_fields(str(error))) from None
        kinds = (
            ("rgb", "skeleton", "drawn") if files["driving"].media.kind == "video" else (files["driving"].media.kind,)
        )
        if options.driving_kind not in ("auto", *kinds):
            raise BunrakuError(f"driving_kind of {files['driving'].name} is auto or {' or '.join(kinds)}")
        if options.model not in settings.models:
            raise BunrakuError(f"there is no model {options.model!r}; there are {', '.join(settings.models)}")
        if max(options.size or (0,)) > settings.side:
            raise BunrakuError(f"size is at most {settings.side} px on either side")
        if max(options.canvas or (0,)) > LARGEST_CANVAS:
            raise BunrakuError(f"canvas is at most {LARGEST_CANVAS} px on either side")
        _check_length(files["driving"], options, settings)
        return options

    def stored(self, files: Mapping[str, File]) -> dict[str, Any]:
        """What the worker is told: names of files in the job's own folder, options as JSON."""
        places = {name: f"{PLACES.get(name, name)}{file.media.suffix}" for name, file in files.items()}
        return {
            "task": self.task,
            "files": places,
            "names": {places[name]: file.name for name, file in files.items()},
            "scene_is": self.scene if self.scene in SCENES else "file",
            "format": self.format or FORMATS[self.task][0],
            "sheet": self.sheet,
            "options": self.options.model_dump(mode="json", exclude_unset=True),  # type: ignore[attr-defined]
        }


TAKES = {
    "reference": ("picture",), "driving": ("video", "bvh", "openpose", "cues"), "reference_pose": ("openpose",),
    "mask": ("picture",), "scene": ("picture", "video"),
}  # fmt: skip
PLACES = {"reference_pose": sidecar(Path("reference")).stem}


def animate_options(request: Mapping[str, Any], folder: Path, attempt: Path, device: str | None) -> AnimateOptions:
    """The options of a stored request whose files are in `folder`."""
    given = Options.model_validate(request["options"])
    files = {name: folder / file for name, file in request["files"].items() if name in FILES}
    scene = {} if request["scene_is"] == "file" else {"scene": request["scene_is"]}
    sheet = attempt / "sheet.png" if request["sheet"] else None
    return AnimateOptions(**dict(given), **files, **scene, sheet=sheet, device=device)


def in_fields(text: str) -> str:
    """A message that names options as the command line does, with the names that they have here; whole commands stay.

    >>> in_fields("--max-people 9 must be from 1 to 8 (--pose); `bunraku perceive --draft`")
    'max_people 9 must be from 1 to 8 (detector); `bunraku perceive --draft`'
    """
    names = {"smooth": "smoothing", "pose": "detector"}
    found = r"`[^`]*`|--([a-z][a-z-]*)"
    return re.sub(found, lambda m: names.get(m[1], m[1].replace("-", "_")) if m[1] else m[0], text)


def _check_length(driving: File, options: AnimateOptions, settings: Settings) -> None:
    own = Fraction(driving.media.fps) if driving.media.fps else options.fps or FOLDER_FPS
    first, last = (
        options.start or 0,
        min(driving.media.frames, driving.media.frames if options.stop is None else options.stop),
    )
    frames = math.ceil(max(0, last - first) * (options.fps or own) / own)
    if frames > settings.limits.frames:
        raise BunrakuError(
            f"{frames} frames would be made; at most {settings.limits.frames} are; give start and stop, or a lower fps"
        )


class FileView(BaseModel):
    """An upload; times in seconds since 1970."""

    id: str
    name: str
    bytes: int
    kind: str
    width: int | None
    height: int | None
    frames: int
    fps: float | None
    created: float
    expires: float = Field(description="When it will be deleted.")

    @classmethod
    def of(cls, file: File) -> "FileView":
        height, width = file.media.size or (None, None)
        return cls(
            id=file.id, name=file.name, bytes=file.bytes, kind=file.media.kind, width=width, height=height, frames=file.media.frames,
            fps=file.media.fps, created=file.created, expires=file.expires,
        )  # fmt: skip


class ProgressView(BaseModel):
    """How far a job is."""

    what: str = Field(description="What is done: load, perceive, denoise, write.")
    done: int
    total: int


class ResultView(BaseModel):
    """What was made."""

    frames: int
    fps: float
    width: int
    height: int
    model: str | None = None
    device: str | None = None
    seed: int | None = None
    seconds: dict[str, float] | None = Field(None, description="How long each part took.")
    files: list[str] = Field(description="Names under `/v1/jobs/{id}/files/`.")


class JobView(BaseModel):
    """A job; times in seconds since 1970."""

    id: str
    state: State
    ahead: int | None = Field(description="Jobs that wait in front of it, while it waits.")
    progress: ProgressView | None
    created: float
    started: float | None
    finished: float | None
    expires: float | None = Field(description="When it and its result will be deleted.")
    error: str | None = Field(description="Why it failed.")
    remarks: list[str] = Field(description="What is doubtful.")
    result: ResultView | None

    @classmethod
    def of(cls, job: Job, ahead: int | None, progress: ProgressView | None) -> "JobView":
        result = None
        if job.result is not None:
            height, width = job.result["size"]
            result = ResultView(**{k: v for k, v in job.result.items() if k != "size"}, height=height, width=width)
        return cls(
            id=job.id, state=job.state, ahead=ahead, progress=progress, created=job.created, started=job.started,
            finished=job.finished, expires=job.expires, error=job.error, remarks=job.remarks, result=result,
        )  # fmt: skip
