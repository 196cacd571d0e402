"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

MOTION, SAMPLING, OUTPUT = "The motion", "The model", "More output"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace pictures that an output folder holds."),
]
Start = Annotated[
    int | None, typer.Option(rich_help_panel=MOTION, help="First driving frame, counted from 0.", show_default=False)
]
Stop = Annotated[int | None, typer.Option(rich_help_panel=MOTION, help="Frame after the last.", show_default=False)]
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
Person = Annotated[int, typer.Option(rich_help_panel=MOTION, help="Whom to follow, counted from 0; 0 is the largest.")]
ReferencePose = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=MOTION,
        help="OpenPose JSON of the reference (default: NAME.pose.json beside it, else detected)",
        show_default=False,
    ),
]
MaxPeople = Annotated[int, typer.Option(rich_help_panel=MOTION, help="People looked for in each frame.")]
Kind = Annotated[
    Literal["auto", "rgb", "skeleton", "openpose", "bvh", "cues"],
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
Dtype = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"],
    typer.Option(rich_help_panel=SAMPLING, help="auto: float16 on a GPU, else float32."),
]
