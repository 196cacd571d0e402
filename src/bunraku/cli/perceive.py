"""`bunraku perceive`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bunraku.cli.options import Canvas, Detector, Device, JsonFlag, Kind, MaxPeople, Rate, Start, Stop
from bunraku.cli.terminal import parsed_rate, parsed_size, progress, result
from bunraku.errors import BunrakuError

app = typer.Typer()


@app.command(
    epilog="Example: bunraku perceive dance.mp4 -o dance.cues, then bunraku animate character.png dance.cues -o out.mp4"
)
def perceive(
    driving: Annotated[
        Path, typer.Argument(help="Anything that `animate` takes as DRIVING, or a folder of video clips.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Cues file (default: NAME.cues beside DRIVING)", show_default=False),
    ] = None,
    json_folder: Annotated[
        Path | None, typer.Option(help="Write OpenPose JSON as well, one file per frame.", show_default=False)
    ] = None,
    fps: Rate = None,
    start: Start = None,
    stop: Stop = None,
    max_people: MaxPeople = 2,
    pose: Detector = "auto",
    driving_kind: Kind = "auto",
    canvas: Canvas = None,
    device: Device = None,
    again: Annotated[
        bool, typer.Option("--again", help="Of a folder: perceive clips anew that have their cues.")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Find the people in a clip, once: the cues file drives `animate` and can be inspected or edited.

    Everybody is kept, the largest first. A folder of clips is prepared for training: NAME.cues beside every NAME.mp4.
    """
    rate, canvas_size = parsed_rate(fps), parsed_size(canvas)
    from bunraku.animate.driving import check_cues_outputs, open_driving
    from bunraku.animate.options import MotionOptions
    from bunraku.cues.openpose_json import write_openpose_json
    from bunraku.media import clips_in

    options = MotionOptions(
        driving_kind=driving_kind, start=start, stop=stop, fps=rate, canvas=canvas_size, detector=pose,
        max_people=max_people, device=device,
    )  # fmt: skip
    clips = clips_in(driving)
    if clips and (output or json_folder):
        raise BunrakuError(
            f"{driving} is a folder of clips: their cues lie beside them; leave out --output and --json-folder"
        )
    jobs = [(clip, clip.with_suffix(".cues")) for clip in clips] or [(driving, output or driving.with_suffix(".cues"))]
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with progress() as advance:
        for number, (clip, target) in enumerate(jobs):
            if clips:
                advance("clips", number, len(jobs))
                if target.exists() and not again:
                    continue
            try:
                check_cues_outputs(target, json_folder, (clip,))
                cues = open_driving(clip, options).cues(
                    options, on_frame=lambda done, total: advance("perceive", done, total)
                )
                if json_folder and cues.pose is None:
                    raise BunrakuError(f"{clip} is drawn already: it has no keypoints for {json_folder}")
                cues.save(target)
                if json_folder and cues.pose is not None:
                    write_openpose_json(cues.pose, json_folder)
            except BunrakuError as error:
                if not clips:
                    raise
                failed.append({"clip": clip, "error": str(error)})
                continue
            people = cues.pose.people if cues.pose is not None else None
            rows.append(
                {
                    "cues": target,
                    "frames": len(cues),
                    "fps": cues.fps,
                    "size": cues.size,
                    "people": people,
                    "source": cues.source,
                }
            )
        if clips:
            advance("clips", len(jobs), len(jobs))
    result(
        {"written": rows, "failed": failed} if clips else rows[0],
        json_output,
        *(f"{row['cues']}: {row['frames']} frames, {row['people'] or 'drawn'} people, {row['source']}" for row in rows),
    )
    if failed:
        raise BunrakuError(f"{len(failed)} of {len(jobs)} clips: " + "; ".join(row["error"] for row in failed))
