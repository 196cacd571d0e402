"""Options that several commands share, stated once: one by one, and as groups that stand for many (see `grouped`)."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from bunraku.sampling.quality import Quality
from bunraku.values import parsed_pairs, parsed_people, parsed_rate, parsed_size

MOTION, SAMPLING, OUTPUT = "The motion", "The model", "More output"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace pictures that an output folder holds.")
]
Start = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MOTION,
        help="First driving frame, counted from 0 in DRIVING itself, whatever --fps is.",
        show_default=False,
    ),
]
Stop = Annotated[
    int | None,
    typer.Option(rich_help_panel=MOTION, help="Frame after the last, counted in the same way.", show_default=False),
]
Rate = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MOTION,
        help="Frames per second, such as 24, 29.97 or 30000/1001 (default: DRIVING's own)",
        show_default=False,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        rich_help_panel=MOTION,
        help="Picture size of OpenPose JSON files that do not say it.",
        show_default=False,
    ),
]
Detector = Annotated[
    Literal["auto", "mediapipe", "dwpose"],
    typer.Option(
        "--pose", rich_help_panel=MOTION, help="Pose detector; auto is DWPose where its weights are, else MediaPipe."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING, help="cpu, cuda, cuda:1, mps (default: the best there is)", show_default=False
    ),
]
Smooth = Annotated[
    bool,
    typer.Option("--smooth", rich_help_panel=MOTION, help="Take jitter out of the driving pose (One-Euro filter)."),
]
Person = Annotated[
    int, typer.Option(rich_help_panel=MOTION, help="Whom of DRIVING to follow, counted from 0; 0 is the largest.")
]
ReferencePerson = Annotated[
    int, typer.Option(rich_help_panel=MOTION, help="Who of REFERENCE moves, counted from 0; 0 is the largest.")
]
Pairs = Annotated[
    str | None,
    typer.Option(
        metavar="C:D,...",
        rich_help_panel=MOTION,
        help="Several people: which character of REFERENCE follows which of DRIVING, numbered as above, such as 0:1,1:0 (default: from "
        "left to right). For puppet-warp and models of multi-character.",
        show_default=False,
    ),
]
ReferencePose = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=MOTION,
        help="OpenPose JSON of the reference (default: NAME.pose.json beside it, else detected)",
        show_default=False,
    ),
]
References = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference",
        rich_help_panel=MOTION,
        help="Picture of a further character, who is cut out and stands beside those of REFERENCE; may be repeated. For puppet-warp and models "
        "of multi-character.",
        show_default=False,
    ),
]
Views = Annotated[
    list[Path] | None,
    typer.Option(
        "--view",
        rich_help_panel=MOTION,
        help="Further picture of the same character, such as from behind or from close by; may be repeated up to four times.",
        show_default=False,
    ),
]
People = Annotated[
    str,
    typer.Option(
        "--people", "--max-people", rich_help_panel=MOTION,
        help="People looked for in each frame, 1 to 8, the largest where there are more; all: 8.",
    ),
]  # fmt: skip
Kind = Annotated[
    Literal["auto", "rgb", "skeleton", "drawn", "openpose", "bvh", "cues"],
    typer.Option("--driving-kind", rich_help_panel=MOTION, help="What DRIVING is; auto tells by name and contents."),
]
Steps = Annotated[
    int | None,
    typer.Option(rich_help_panel=SAMPLING, help="Sampling steps (default: the model's)", show_default=False),
]
Guidance = Annotated[
    float | None,
    typer.Option(rich_help_panel=SAMPLING, help="Guidance scale (default: the model's)", show_default=False),
]
GuidanceInterval = Annotated[
    str | None,
    typer.Option(
        metavar="START:END",
        rich_help_panel=SAMPLING,
        help="Shares of the steps from and to which there is guidance, such as 0:0.6; a step without takes half as long (default: all steps)",
        show_default=False,
    ),
]
DeepCache = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=SAMPLING,
        help="Compute the deep levels of the denoiser in every N-th step, and use them again in those between (default: every step)",
        show_default=False,
    ),
]
KeepScene = Annotated[
    bool | None,
    typer.Option(
        "--keep-scene/--repaint-scene",
        rich_help_panel=SAMPLING,
        help="Whether a model that sees the scene leaves its pixels as they are where the character is not, or paints everything "
        "(default: the model's)",
        show_default=False,
    ),
]
MENDS = (
    "Mend the driver's poses before they are followed: jitter, lost and exchanged limbs, bones that the still shows foreshortened; or follow "
    "them as they are"
)
Refine = Annotated[bool, typer.Option("--refine/--exact-poses", rich_help_panel=SAMPLING, help=MENDS)]
RefineForScores = Annotated[
    bool | None,
    typer.Option(
        "--refine/--exact-poses",
        rich_help_panel=SAMPLING,
        help=f"{MENDS} (default: bunraku is scored with the poses that it mends, others are with the poses as they are)",
        show_default=False,
    ),
]
QualityOption = Annotated[
    Quality,
    typer.Option(
        "--quality",
        rich_help_panel=SAMPLING,
        help="best: the model's own steps; balanced, fast: 60 and 30 % of them, with guidance in the first 80 and 60 % of these.",
    ),
]
Dtype = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"],
    typer.Option(rich_help_panel=SAMPLING, help="auto: float16 on a GPU, else float32."),
]
LowMemory = Annotated[
    bool,
    typer.Option(
        "--low-memory",
        rich_help_panel=SAMPLING,
        help="Have a model's weights in memory only while they are used: for models that do not fit, and slower.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        rich_help_panel=SAMPLING,
        help="Compile a model's denoiser first: takes minutes once; meant for long videos on a GPU, where it is not measured; on a CPU it gains nothing.",
    ),
]
ReferencePicture = Annotated[Path, typer.Argument(help="Picture of one character.")]


def complete_model(start: str) -> list[str]:
    """Names of models that begin as typed, for the shell."""
    from bunraku.animate.models import model_names

    return [name for name in model_names() if name.startswith(start)]


@dataclass(frozen=True)
class ClipArguments:
    """What of DRIVING is used, and how people are looked for."""

    fps: Rate = None
    start: Start = None
    stop: Stop = None
    max_people: People = "2"
    pose: Detector = "auto"
    driving_kind: Kind = "auto"
    canvas: Canvas = None
    device: Device = None

    def values(self) -> dict[str, Any]:
        """Arguments of `MotionOptions`."""
        return {
            "fps": parsed_rate(self.fps), "start": self.start, "stop": self.stop, "max_people": parsed_people(self.max_people),
            "detector": self.pose, "driving_kind": self.driving_kind, "canvas": parsed_size(self.canvas), "device": self.device,
        }  # fmt: skip


@dataclass(frozen=True)
class MotionArguments(ClipArguments):
    """As `ClipArguments`, and who follows whom."""

    person: Person = 0
    reference_person: ReferencePerson = 0
    pairs: Pairs = None
    reference_pose: ReferencePose = None
    references: References = None
    views: Views = None
    smooth: Smooth = False

    def values(self) -> dict[str, Any]:
        return super().values() | {
            "person": self.person, "reference_person": self.reference_person, "reference_pose": self.reference_pose,
            "references": tuple(self.references or ()), "views": tuple(self.views or ()), "smoothing": self.smooth, "pairs": parsed_pairs(self.pairs),
        }  # fmt: skip


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command in which each parameter whose type is a dataclass stands for the fields of it, as options of their own."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            types = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=types[f.name])
                for f in fields(groups[name])
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    @wraps(command)
    def expanded(**given: Any) -> None:
        made = {name: group(**{f.name: given.pop(f.name) for f in fields(group)}) for name, group in groups.items()}
        command(**given, **made)

    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded
