"""The nodes, each a plain class as ComfyUI wants it; what they do is done by `bunraku.animate`."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from torch import Tensor

from bunraku.animate.driving import CUES, Driving, open_driving
from bunraku.animate.models import model_names, open_model, open_pipeline
from bunraku.animate.options import SCHEDULERS, AnimateOptions, MotionOptions
from bunraku.animate.preview import numbered, retargeted_frames
from bunraku.animate.reference import Reference, people_of
from bunraku.animate.run import prepare
from bunraku.animate.scene import Scene
from bunraku.apps.comfyui import host
from bunraku.apps.comfyui.arrays import images_of, images_of_chunks, mask_of, pictures_of
from bunraku.apps.comfyui.keypoints import from_keypoints, to_keypoints
from bunraku.cues.cues import Cues
from bunraku.cues.identity import COLOURS, draw_identities, read_identities
from bunraku.cues.layers import perceive_layers
from bunraku.cues.retarget import Retarget
from bunraku.errors import BunrakuError
from bunraku.media import CLIPS, FrameArray, FramesByNumber
from bunraku.perception.detector import MOST_PEOPLE, DetectorName
from bunraku.perception.matte import create_footage_segmenter, create_segmenter, still_mattes
from bunraku.perception.pose import PoseTrack
from bunraku.puppet_warp import PUPPET_WARP
from bunraku.sampling.strength import MOST, Strength
from bunraku.theatre import render, sample_scene

MODEL, CUES_TYPE, STRENGTHS, KEYPOINTS = "BUNRAKU_MODEL", "BUNRAKU_CUES", "BUNRAKU_STRENGTHS", "POSE_KEYPOINT"
MOTIONS = (*CUES, ".bvh", ".json", *CLIPS)
"""What the names of files that drive end in."""
OWN = "the model's own"
RETARGET = ("auto", *get_args(Retarget))
SCENES = ("reference", "driving", "transparent", "images")
DETECTORS = get_args(DetectorName)


@dataclass(frozen=True)
class Model:
    """An opened model: how it was chosen, and its pipeline, which the puppet warp has not."""

    options: AnimateOptions
    pipeline: Any


class Node:
    """What all nodes share."""

    CATEGORY = "bunraku"
    FUNCTION = "run"


class LoadModel(Node):
    """A model by name; its weights are fetched on first use where they are not shipped."""

    RETURN_TYPES = (MODEL,)
    RETURN_NAMES = ("model",)
    DESCRIPTION = "Opens a model of bunraku. puppet-warp needs no weights. A folder or a Hub repository in `other` counts instead of the name."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (model_names(), {"default": AnimateOptions().model}),
                "device": (["auto", "cpu", "cuda", "mps"],),
                "dtype": (["auto", "float32", "float16", "bfloat16"],),
                "scheduler": ([OWN, *SCHEDULERS],),
            },
            "optional": {"other": ("STRING", {"default": "", "tooltip": "a model folder, or owner/name on the Hub"})},
        }

    def run(self, model: str, device: str, dtype: str, scheduler: str, other: str = "") -> tuple[Model]:
        options = AnimateOptions(
            model=other or model, device=None if device == "auto" else device, dtype=dtype,
            scheduler=None if scheduler == OWN else scheduler,
        )  # fmt: skip
        return (Model(options, None if options.model == PUPPET_WARP else open_pipeline(options, host.report())),)


class Perceive(Node):
    """Who is in a clip, and where: poses with an identity each; of one picture, as stills are looked at."""

    RETURN_TYPES = (CUES_TYPE, KEYPOINTS, "IMAGE")
    RETURN_NAMES = ("cues", "keypoints", "preview")
    DESCRIPTION = (
        "Finds people. One image is looked at as a still, several are a clip. `layers` also cuts everybody out (of a clip: follows the "
        "camera and sees what is behind). The preview numbers the people as `person` and `pairs` count them."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE",),
                "fps": ("FLOAT", {"default": 25.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
                "detector": (list(DETECTORS),),
                "max_people": ("INT", {"default": 2, "min": 1, "max": MOST_PEOPLE}),
                "layers": ("BOOLEAN", {"default": False}),
            }
        }

    def run(
        self, images: Tensor, fps: float, detector: DetectorName, max_people: int, layers: bool
    ) -> tuple[Cues, list[dict[str, Any]], Tensor]:
        pictures = pictures_of(images)[..., :3]
        options = MotionOptions(detector=detector, max_people=max_people)
        see = _perceive_still if len(pictures) == 1 else _perceive_clip
        cues = see(pictures, Fraction(fps).limit_denominator(1001), options, layers)
        return (cues, *_shown(cues))


def _perceive_still(pictures: np.ndarray, fps: Fraction, options: MotionOptions, layers: bool) -> Cues:
    pose = people_of(pictures[0], Path("the image"), options.detector, options.device, options.max_people)
    maps = {"mattes": still_mattes(pictures[0], pose, create_segmenter())[None]} if layers else {}
    return Cues(fps, pose.size, "an image", pose=pose, maps=maps, pixels=pictures)


def _perceive_clip(pictures: np.ndarray, fps: Fraction, options: MotionOptions, layers: bool) -> Cues:
    report, frames = host.report(), FrameArray(pictures, fps)
    clip = Driving(Path("images"), "rgb", frames)
    cues = clip.cues(options, on_frame=lambda done, total: report("perceive", done, total))
    if layers:
        cues = perceive_layers(
            cues, frames, create_footage_segmenter(), on_frame=lambda done, total: report("cut out", done, total)
        )
    return replace(cues, pixels=pictures)


def _shown(cues: Cues) -> tuple[list[dict[str, Any]], Tensor]:
    """Keypoints, and the frames with everybody's skeleton and number."""
    if cues.pose is None:
        return [], images_of(cues.skeleton)  # type: ignore[arg-type]
    drawn = [
        numbered(np.zeros((*cues.size, 3), np.uint8) if cues.pixels is None else cues.pixels[[i]][0], cues.pose[[i]])
        for i in range(len(cues))
    ]
    return to_keypoints(cues.pose), images_of(np.stack(drawn))


class LoadMotion(Node):
    """Anything that drives, from ComfyUI's input folder."""

    RETURN_TYPES = (CUES_TYPE, KEYPOINTS, "IMAGE", "FLOAT")
    RETURN_NAMES = ("cues", "keypoints", "preview", "fps")
    DESCRIPTION = (
        "Reads cues, BVH, OpenPose JSON or a video from the input folder. Numbers of frames count the file's own."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "file": (host.inputs(MOTIONS),),
                "start": ("INT", {"default": 0, "min": 0, "max": 10_000_000}),
                "frames": ("INT", {"default": 0, "min": 0, "max": 10_000_000, "tooltip": "0: all"}),
                "fps": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1000.0, "tooltip": "0: the file's own"}),
                "detector": (list(DETECTORS),),
                "max_people": ("INT", {"default": 2, "min": 1, "max": MOST_PEOPLE}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, file: str, **others: Any) -> float:
        return host.input_file(file).stat().st_mtime

    def run(
        self, file: str, start: int, frames: int, fps: float, detector: DetectorName, max_people: int
    ) -> tuple[Cues, list[dict[str, Any]], Tensor, float]:
        options = MotionOptions(
            start=start, stop=start + frames if frames else None, fps=Fraction(fps).limit_denominator(1001) if fps else None,
            detector=detector, max_people=max_people,
        )  # fmt: skip
        report = host.report()
        clip = open_driving(host.input_file(file), options)
        cues = clip.cues(options, on_frame=lambda done, total: report("perceive", done, total))
        if clip.pictures is not None:
            cues = replace(cues, pixels=FramesByNumber(clip.pictures))
        return (cues, *_shown(cues), float(cues.fps))


class SaveCues(Node):
    """Cues as a file, to be used again here or by `bunraku animate`."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    DESCRIPTION = "Writes cues into the output folder. `bunraku animate` takes the file as the motion; so does Load Motion as NAME [output]."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"cues": (CUES_TYPE,), "filename_prefix": ("STRING", {"default": "bunraku"})}}

    def run(self, cues: Cues, filename_prefix: str) -> dict[str, Any]:
        path = host.output_file(filename_prefix, CUES[0])
        cues.save(path)
        return {"ui": {"text": [str(path)]}, "result": ()}


class CuesToKeypoints(Node):
    """Poses for nodes that edit or draw them."""

    RETURN_TYPES = (KEYPOINTS,)
    RETURN_NAMES = ("keypoints",)
    DESCRIPTION = "POSE_KEYPOINT as comfyui_controlnet_aux has it. It keeps neither confidences nor feet."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"cues": (CUES_TYPE,)}}

    def run(self, cues: Cues) -> tuple[list[dict[str, Any]]]:
        return (to_keypoints(_poses(cues)),)


class KeypointsToCues(Node):
    """Poses from other nodes: a motion, or the pose of a still."""

    RETURN_TYPES = (CUES_TYPE,)
    RETURN_NAMES = ("cues",)
    DESCRIPTION = (
        "Poses of POSE_KEYPOINT. With `cues`, these keep their rate, their pictures and, where as many people are left, their masks, and "
        "have the new poses."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "keypoints": (KEYPOINTS,),
                "fps": ("FLOAT", {"default": 25.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
            },
            "optional": {"cues": (CUES_TYPE,)},
        }

    def run(self, keypoints: list[dict[str, Any]], fps: float, cues: Cues | None = None) -> tuple[Cues]:
        track = from_keypoints(keypoints)
        if not track.people:
            raise BunrakuError(f"nobody is in any of the {len(track)} frames of POSE_KEYPOINT")
        if cues is None:
            return (Cues(Fraction(fps).limit_denominator(1001), track.size, "POSE_KEYPOINT", pose=track),)
        if len(track) != len(cues):
            raise BunrakuError(f"the keypoints have {len(track)} frames, the cues {len(cues)}")
        kept = cues.maps if cues.pose is not None and cues.pose.people == track.people else {}
        return (replace(cues, pose=track.scaled(cues.size), skeleton=None, maps=kept),)


class CuesToMasks(Node):
    """Who is where: everybody's mask, each in a colour of its own."""

    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("identities", "mask")
    DESCRIPTION = (
        f"Masks of cues that were perceived with `layers`. Person 0 is red, 1 blue, 2 green, 3 yellow, in the still and in the clip, "
        f"{len(COLOURS)} people in all. `person` -1: the mask of everybody."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"cues": (CUES_TYPE,), "person": ("INT", {"default": -1, "min": -1, "max": MOST_PEOPLE - 1})}
        }

    def run(self, cues: Cues, person: int) -> tuple[Tensor, Tensor]:
        if "mattes" not in cues.maps:
            raise BunrakuError("these cues have no masks; turn on `layers` of Bunraku Perceive, or add masks to them")
        mattes = cues.maps["mattes"]
        if person >= mattes.shape[1]:
            raise BunrakuError(f"there is no person {person}: {mattes.shape[1]} are known, counted from 0")
        chosen = mattes.max(1) if person < 0 else mattes[:, person]
        return images_of(draw_identities(mattes)), images_of(chosen)


class MasksToCues(Node):
    """Masks that were edited, back into the cues."""

    RETURN_TYPES = (CUES_TYPE,)
    RETURN_NAMES = ("cues",)
    DESCRIPTION = (
        "Gives everybody in the cues a mask from a picture of identities (each person's colour on black), a frame each."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"cues": (CUES_TYPE,), "identities": ("IMAGE",)}}

    def run(self, cues: Cues, identities: Tensor) -> tuple[Cues]:
        pictures = pictures_of(identities)[..., :3]
        if len(pictures) != len(cues):
            raise BunrakuError(f"the identities have {len(pictures)} frames, the cues {len(cues)}")
        mattes = read_identities(pictures, _poses(cues).people)
        # what is behind the people was seen round the old masks
        maps = {name: value for name, value in cues.maps.items() if name != "mattes"}
        return (replace(cues, maps=maps | {"mattes": mattes}, plate=None),)


class ChoosePeople(Node):
    """Some of the people of cues, in another order."""

    RETURN_TYPES = (CUES_TYPE,)
    RETURN_NAMES = ("cues",)
    DESCRIPTION = (
        "`people` such as 1,0 keeps these, in this order: the first is person 0 from here on, and has its colour."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"cues": (CUES_TYPE,), "people": ("STRING", {"default": "0"})}}

    def run(self, cues: Cues, people: str) -> tuple[Cues]:
        track, chosen = _poses(cues), _numbers(people, "people")
        if not chosen or len(set(chosen)) < len(chosen) or max(chosen) >= track.people:
            raise BunrakuError(f"people {people!r}: numbers below {track.people}, each once, separated by commas")
        pose = PoseTrack(track.keypoints[:, chosen], track.scores[:, chosen], track.size)
        return (cues.with_people(chosen, pose),)


class RetargetPreview(Node):
    """The motion on the character, drawn in seconds before anything long begins."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("preview",)
    DESCRIPTION = "Driver, reference, and the driver's pose as each way of retargeting brings it onto the reference, frame by frame."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": ("IMAGE",),
                "driving": (CUES_TYPE,),
                "method": (["all", *get_args(Retarget)],),
            },
            "optional": {"reference": (CUES_TYPE,), "pairs": ("STRING", {"default": ""})},
        }

    def run(
        self, image: Tensor, driving: Cues, method: str, reference: Cues | None = None, pairs: str = ""
    ) -> tuple[Tensor]:
        methods = get_args(Retarget) if method == "all" else (method,)
        options = MotionOptions(pairs=_pairs(pairs))
        _poses(driving)
        character, clip = _reference(image, reference, None), _driving(driving)
        _, frames = retargeted_frames(character, clip, range(len(driving)), methods, options, host.report())
        return (images_of(np.stack(list(frames))),)


class SetStrength(Node):
    """How much a condition counts, and when."""

    RETURN_TYPES = (STRENGTHS,)
    RETURN_NAMES = ("strengths",)
    DESCRIPTION = (
        "1 is as trained. Outside of start and end, on the way from noise (0) to picture (1), the condition does not count. pose: all that "
        "guides the motion; reference: the look of the image; cutout: of recipe bunraku, the image's own moved pixels."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "condition": (["pose", "reference", "cutout"],),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": MOST, "step": 0.05}),
                "start": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01}),
                "end": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
            },
            "optional": {"strengths": (STRENGTHS,)},
        }

    def run(
        self, condition: str, strength: float, start: float, end: float, strengths: tuple[Strength, ...] = ()
    ) -> tuple[tuple[Strength, ...]]:
        others = tuple(one for one in strengths if one.condition != condition)
        return ((*others, Strength(condition, strength, start, end)),)


class Animate(Node):
    """The character of the image, moved by the cues."""

    RETURN_TYPES = ("IMAGE", "MASK", "FLOAT")
    RETURN_NAMES = ("frames", "alpha", "fps")
    DESCRIPTION = (
        "Animates the first image. `reference`: cues of that image (poses and masks), else they are found. `mask`: where the character is. "
        "`more_images`: up to four further pictures of the same character, such as its back or its face. "
        "0 and -1 leave a setting to the model. `alpha` is 1 where the figure is, everywhere but in a transparent scene."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (MODEL,),
                "image": ("IMAGE",),
                "driving": (CUES_TYPE,),
                "retarget": (list(RETARGET),),
                "scene": (list(SCENES),),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 0, "min": 0, "max": 1000}),
                "guidance": ("FLOAT", {"default": -1.0, "min": -1.0, "max": 100.0, "step": 0.1}),
            },
            "optional": {
                "reference": (CUES_TYPE,),
                "mask": ("MASK",),
                "more_images": ("IMAGE",),
                "scene_images": ("IMAGE",),
                "strengths": (STRENGTHS,),
                "pairs": ("STRING", {"default": "", "tooltip": "character:driver, such as 0:1,1:0"}),
                "width": ("INT", {"default": 0, "min": 0, "max": 4096, "step": 8}),
                "height": ("INT", {"default": 0, "min": 0, "max": 4096, "step": 8}),
                "window": ("INT", {"default": 0, "min": 0, "max": 4096}),
                "overlap": ("INT", {"default": -1, "min": -1, "max": 4095}),
                "smooth": ("BOOLEAN", {"default": False}),
            },
        }

    def run(
        self,
        model: Model,
        image: Tensor,
        driving: Cues,
        retarget: Retarget | Literal["auto"],
        scene: str,
        seed: int,
        steps: int,
        guidance: float,
        reference: Cues | None = None,
        mask: Tensor | None = None,
        more_images: Tensor | None = None,
        scene_images: Tensor | None = None,
        strengths: tuple[Strength, ...] = (),
        pairs: str = "",
        width: int = 0,
        height: int = 0,
        window: int = 0,
        overlap: int = -1,
        smooth: bool = False,
    ) -> tuple[Tensor, Tensor, float]:
        if bool(width) != bool(height):
            raise BunrakuError("give width and height, or neither (0)")
        options = replace(
            model.options, retarget=None if retarget == "auto" else retarget, scene=scene, seed=seed, steps=steps or None,
            guidance=None if guidance < 0 else guidance, pairs=_pairs(pairs), size=(height, width) if width else None,
            window=window or None, overlap=None if overlap < 0 else overlap, smoothing=smooth, strengths=strengths,
        )  # fmt: skip
        report, clip = host.report(), _driving(driving)
        character = replace(_reference(image, reference, mask), views=_views(more_images))
        prepared = prepare(
            character, clip, options, report,
            scene=_scene(scene_images, clip) if scene == "images" else None,
            model=open_model(options, clip, report, model.pipeline),
        )  # fmt: skip
        made = images_of_chunks(prepared.frames(report), len(clip))
        alpha = made[..., 3] if made.shape[-1] == 4 else made.new_ones(made.shape[:-1])
        return made[..., :3], alpha, float(driving.fps)


class Theatre(Node):
    """A character and a dance of the puppet theatre, to try things out with; everything about them is known exactly."""

    RETURN_TYPES = ("IMAGE", CUES_TYPE, "IMAGE", CUES_TYPE)
    RETURN_NAMES = ("image", "reference", "driving_images", "driving")
    DESCRIPTION = "The character of one drawn scene, the dance of another, with their exact poses and masks. Needs no file and no detector."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "character": ("INT", {"default": 3, "min": 0, "max": 1_000_000}),
                "dance": ("INT", {"default": 5, "min": 0, "max": 1_000_000}),
                "frames": ("INT", {"default": 24, "min": 1, "max": 480}),
                "size": ("INT", {"default": 256, "min": 64, "max": 1024, "step": 8}),
            }
        }

    def run(self, character: int, dance: int, frames: int, size: int) -> tuple[Tensor, Cues, Tensor, Cues]:
        still, clip = _played(character, range(1), size), _played(dance, range(frames), size)
        return images_of(still.pixels), still, images_of(clip.pixels), clip  # type: ignore[arg-type]


def _played(number: int, frames: range, size: int) -> Cues:
    scene = sample_scene(number, "test")
    shown = render(scene, frames, size)
    mattes = np.stack([255 * (shown.labels == i + 1).astype(np.uint8) for i in range(shown.pose.people)], 1)
    return Cues(
        scene.fps, shown.pose.size, f"theatre {number}", pose=shown.pose, maps={"mattes": mattes}, pixels=shown.frames
    )  # fmt: skip


def _poses(cues: Cues) -> PoseTrack:
    if cues.pose is None:
        raise BunrakuError(f"{cues.source} is drawn already and has no keypoints")
    return cues.pose


def _driving(cues: Cues) -> Driving:
    """Cues, with their pictures where they have them, as what drives."""
    if cues.pixels is None:
        return Driving(Path(cues.source), "cues", cues)
    return Driving(Path(cues.source), "rgb", FrameArray(cues.pixels, cues.fps), perceived=cues)


def _reference(images: Tensor, cues: Cues | None, mask: Tensor | None) -> Reference:
    """The first image as the character, with what is known of it."""
    picture = pictures_of(images)[0]
    size = picture.shape[:2]
    people = matte = None
    if cues is not None:
        people = _poses(cues)[:1]
        if people.size != size:
            raise BunrakuError(
                f"the reference's cues are of a picture of {people.size[1]}x{people.size[0]} px, the image has {size[1]}x{size[0]}"
            )
        if "mattes" in cues.maps and cues.maps["mattes"].shape[2:] == size:
            matte = cues.maps["mattes"][0]
    elif picture.shape[-1] == 4 and picture[..., 3].min() < 128:
        matte = picture[..., 3]
    if mask is not None:
        matte = mask_of(mask, size)
        if matte.ndim == 3 and (people is None or len(matte) != people.people):
            raise BunrakuError(f"{len(matte)} masks need `reference` cues with as many people, in the same order")
    return Reference(Path("the image"), np.ascontiguousarray(picture[..., :3]), people, None, matte)


def _views(images: Tensor | None) -> tuple[Reference, ...]:
    if images is None:
        return ()
    pictures = pictures_of(images)[..., :3]
    return tuple(Reference(Path(f"more_images {i}"), np.ascontiguousarray(one)) for i, one in enumerate(pictures))


def _scene(images: Tensor | None, clip: Driving) -> Scene:
    if images is None:
        raise BunrakuError("the scene `images` needs scene_images")
    pictures = pictures_of(images)[..., :3]
    if 1 < len(pictures) < len(clip):
        raise BunrakuError(
            f"the scene has {len(pictures)} images, the motion {len(clip)} frames; give one image, or as many"
        )
    return Scene("pictures", pictures if len(pictures) == 1 else pictures[: len(clip)])


def _pairs(text: str) -> tuple[tuple[int, int], ...] | None:
    """ "0:1,1:0" as pairs of numbers."""
    if not text.strip():
        return None
    found = [_numbers(pair.replace(":", ","), "pairs") for pair in text.split(",")]
    if any(len(pair) != 2 for pair in found):
        raise BunrakuError(f"pairs {text!r}: character:driver, separated by commas, such as 0:1,1:0")
    return tuple((one, driver) for one, driver in found)


def _numbers(text: str, name: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise BunrakuError(f"{name} {text!r}: numbers from 0, separated by commas")
    return [int(part) for part in parts]


_NODES: dict[str, tuple[type[Node], str]] = {
    "BunrakuLoadModel": (LoadModel, "Bunraku Load Model"),
    "BunrakuLoadMotion": (LoadMotion, "Bunraku Load Motion"),
    "BunrakuPerceive": (Perceive, "Bunraku Perceive"),
    "BunrakuSaveCues": (SaveCues, "Bunraku Save Cues"),
    "BunrakuCuesToKeypoints": (CuesToKeypoints, "Bunraku Cues to Keypoints"),
    "BunrakuKeypointsToCues": (KeypointsToCues, "Bunraku Keypoints to Cues"),
    "BunrakuCuesToMasks": (CuesToMasks, "Bunraku Cues to Masks"),
    "BunrakuMasksToCues": (MasksToCues, "Bunraku Masks to Cues"),
    "BunrakuChoosePeople": (ChoosePeople, "Bunraku Choose People"),
    "BunrakuRetargetPreview": (RetargetPreview, "Bunraku Retarget Preview"),
    "BunrakuStrength": (SetStrength, "Bunraku Strength"),
    "BunrakuAnimate": (Animate, "Bunraku Animate"),
    "BunrakuTheatre": (Theatre, "Bunraku Theatre"),
}
NODE_CLASS_MAPPINGS: dict[str, type[Node]] = {name: node for name, (node, _) in _NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {name: shown for name, (_, shown) in _NODES.items()}
