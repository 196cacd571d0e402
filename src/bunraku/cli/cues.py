"""Cues of one clip for `bunraku perceive`, with the layers that are asked for: checked, perceived and written."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bunraku.errors import BunrakuError

logger = logging.getLogger(__name__)


class Layers(NamedTuple):
    """What is perceived beside poses and mattes: things, depth, a picture of all layers; and mattes that are given and to be written."""

    things: list[Any]
    depth: bool
    debug: Path | None
    mask: Path | None
    matte_out: Path | None

    @property
    def maps(self) -> set[str]:
        """Names of the maps that they are kept as."""
        return {"mattes"} | ({"depth"} if self.depth else set()) | ({"objects"} if self.things else set())


def write_still_mattes(still: Path, track: Any, layers: Layers) -> None:
    """The mattes of a still, given or found, as a picture."""
    from bunraku.animate.models import of_each
    from bunraku.cues.identity import draw_identities, read_mattes
    from bunraku.media import read_image, write_image
    from bunraku.perception.matte import create_segmenter, still_mattes

    if layers.mask:
        mattes = of_each(read_mattes(layers.mask, track.size), track)
    else:
        mattes = still_mattes(read_image(still), track, create_segmenter())
    write_image(layers.matte_out, draw_identities(mattes[None])[0])  # type: ignore[arg-type]


def layers_for(recipe: str, given: Layers | None) -> Layers | None:
    """What a recipe is trained on, beside what was asked for; says what it will go without."""
    from bunraku.cues.drawn import TOLD_BY
    from bunraku.perception.depth import depth_is_here
    from bunraku.recipes import get_recipe

    size = list(get_recipe(recipe).sizes.values())[-1]  # the smallest is built for its names alone
    read = size.build(False, size.options).reads.frames
    told = {name for condition in read for name in TOLD_BY.get(condition, ())}
    asked = given or Layers([], False, None, None, None)
    if "objects" in told and not asked.things:
        logger.warning(
            "no things are looked for: name those that people hold (--object ball), or the model learns nothing of things"
        )
    depth = asked.depth or ("depth" in told and depth_is_here())
    if "depth" in told and not depth:
        logger.warning("depth is not looked for: bunraku models pull depth-anything fetches its network")
    return asked._replace(depth=depth) if told or given else None


def perceive_clip(
    clip: Path,
    output: Path | None,
    json_folder: Path | None,
    options: Any,
    overwrite: bool,
    advance: Any,
    picture: Path | None,
    layers: Layers | None,
    known: Any = None,
) -> dict[str, Any]:
    """Cues of a clip, written; `known` cues are kept and get the layers."""
    from bunraku.animate.driving import check_cues_outputs, open_driving
    from bunraku.animate.preview import draw_people
    from bunraku.cues.cues import Cues
    from bunraku.cues.openpose_json import write_openpose_json
    from bunraku.media import write_image

    driving = replace(open_driving(clip, options), perceived=known)
    target = output or clip.with_suffix(".cues")
    check_cues_outputs(target, json_folder, driving.files, overwrite=overwrite or output is not None)
    check_picture(picture, clip)
    if (asked := json_folder or picture) and not driving.has_keypoints:
        raise BunrakuError(f"{clip} is drawn already: it has no keypoints for {asked}")
    if layers and driving.kind != "rgb":
        raise BunrakuError(f"--matte looks at footage, and {clip} is {driving.kind}")
    look = _open_layers(layers, driving, options, advance) if layers and not isinstance(driving.source, Cues) else None
    cues = driving.cues(options, on_frame=lambda done, total: advance("perceive", done, total))
    if look:
        cues = look(cues)
    cues.save(target)
    if json_folder and cues.pose is not None:
        write_openpose_json(cues.pose, json_folder)
    if picture:
        write_image(picture, draw_people(driving, cues))
    people = None if cues.pose is None else cues.pose.people
    return {
        "cues": target, "frames": len(cues), "fps": cues.fps, "size": cues.size, "people": people, "source": cues.source,
        "sound": driving.sound, "layers": sorted(cues.maps),
    }  # fmt: skip


def _open_layers(layers: Layers, driving: Any, options: Any, advance: Any) -> Callable[[Any], Any]:
    """What adds the layers to cues; networks, things and files are checked here, before anything slow."""
    from bunraku.cues.identity import draw_identities
    from bunraku.cues.layers import check_masks, check_things, layer_sheet, perceive_layers
    from bunraku.media import VideoWriter, check_video_output, open_frames, resize, write_image
    from bunraku.perception.depth import DepthAnything
    from bunraku.perception.matte import create_footage_segmenter

    if layers.debug:
        check_picture(layers.debug, driving.path, "--debug")
    check_things(layers.things, driving.source.size, len(driving))
    masks = None if layers.mask is None else open_frames(layers.mask, fps=driving.source.fps)
    check_masks(masks, driving.source.size, len(driving))
    if layers.matte_out:
        check_video_output(layers.matte_out, driving.files)
    depth = DepthAnything(device=options.device) if layers.depth else None

    def look(cues: Any) -> Any:
        cues = perceive_layers(
            cues, driving.source, create_footage_segmenter(), things=layers.things, depth=depth, masks=masks,
            on_frame=lambda done, total: advance("matte", done, total),
        )  # fmt: skip
        if layers.debug:
            write_image(layers.debug, layer_sheet(cues, driving.source))
        if layers.matte_out:
            with VideoWriter(layers.matte_out, fps=cues.fps, size=cues.size) as video:
                for mattes in cues.maps["mattes"]:
                    video.write(resize(draw_identities(mattes[None])[0], cues.size))
        return cues

    return look


def described(row: dict[str, Any]) -> str:
    """A line about what `perceive_clip` has written."""
    return f"{row['cues']}: {row['frames']} frames, {row['people'] or 'drawn'} people, {row['source']}"


def check_picture(picture: Path | None, source: Path, option: str = "--picture") -> None:
    """Raises BunrakuError where a picture that is asked for cannot be written."""
    from bunraku.media import check_output
    from bunraku.media.images import IMAGE_SUFFIXES

    if picture is not None:
        if picture.suffix.lower() not in IMAGE_SUFFIXES:
            raise BunrakuError(
                f"cannot write {picture} ({option}): its name ends in none of {', '.join(IMAGE_SUFFIXES)}"
            )
        check_output(picture, (source,))
