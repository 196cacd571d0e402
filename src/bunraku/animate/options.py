"""What a user can choose, and the limits of each choice; stated here once, for Python and the command line alike."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, get_args

from bunraku.cues.retarget import Retarget
from bunraku.errors import BunrakuError
from bunraku.perception.detector import MOST_PEOPLE, DetectorName
from bunraku.sampling.quality import Quality
from bunraku.sampling.strength import Strength
from bunraku.values import DEFAULT_MODEL

DrivingKind = Literal["rgb", "skeleton", "drawn", "openpose", "bvh", "cues"]
Order = Literal["driver", "reference"]
Fitting = Literal["auto", "letterbox", "crop"]

MOST_PICTURES = 5  # of one character; as `recipes.MOST_PICTURES`, which takes a second to import

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
}
"""Classes of diffusers; each takes over the configuration of the model's own."""


class Limits(NamedTuple):
    """The least and the greatest value of an option, both allowed."""

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        return f"at least {self.least}" if self.most == math.inf else f"from {self.least} to {self.most}"


@dataclass(frozen=True)
class MotionOptions:
    """What of a driving clip is used, and how poses are found; None leaves the choice to the clip or the machine.

    Attributes:
        reference_pose: OpenPose JSON file with the pose of the reference; None: NAME.pose.json beside the picture, else
            it is detected.
        references: pictures of further characters, each of whom comes to stand beside those of the reference (`compose`).
        views: up to four further pictures of the reference's character, such as from behind or from close by.
        driving_kind: what DRIVING is, see `open_driving`.
        person: whom to follow in the driving clip, 0 being the largest.
        reference_person: who of the reference is moved, 0 being the largest (of an OpenPose JSON file: the first).
        pairs: of a model that moves several characters: (character, driver), numbered as `reference_person` and `person`. None:
            as many as both show, from left to right; one alone where `person` or `reference_person` chooses.
        start, stop: range of driving frames [start, stop), counted as they are in the clip itself, whatever `fps` is.
        fps: frames per second of the output; None: the driving clip's.
        canvas: (height, width) of OpenPose JSON files that do not say it.
        smoothing: One-Euro filter on the driving joints.
        device: of the detector (and the model), such as "cpu" or "cuda:1".
        detector: pose detector.
        max_people: people looked for in each driving frame.

    Raises:
        BunrakuError: a value out of its range; names the option as the command line does.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "person": Limits(0),
        "reference_person": Limits(0),
        "max_people": Limits(1, MOST_PEOPLE),
        "fps": Limits(0.001, 1000),
        "canvas": Limits(1, 100_000),
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "driving_kind": ("auto", *get_args(DrivingKind)),
        "detector": get_args(DetectorName),
    }

    reference_pose: Path | None = None
    references: tuple[Path, ...] = ()
    views: tuple[Path, ...] = ()
    driving_kind: DrivingKind | Literal["auto"] = "auto"
    person: int = 0
    reference_person: int = 0
    pairs: tuple[tuple[int, int], ...] | None = None
    start: int | None = None
    stop: int | None = None
    fps: Fraction | None = None
    canvas: tuple[int, int] | None = None
    smoothing: bool = False
    device: str | None = None
    detector: DetectorName = "auto"
    max_people: int = 2

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise BunrakuError("; ".join(problems))

    def problems(self) -> list[str]:
        """What is wrong with the values, a sentence each."""
        found = []
        for name, limits in self.limits.items():
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            if not all(limits.least <= number <= limits.most for number in values):
                found.append(f"{option(name)} {'x'.join(map(str, values))} must be {limits}")
        for name, choices in self.choices.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                found.append(f"unknown {option(name)} {value!r}; there are {', '.join(choices)}")
        if self.pairs is not None:
            characters = [character for character, _ in self.pairs]
            if not characters or min(map(min, self.pairs)) < 0:
                found.append("--pairs are CHARACTER:DRIVER, numbers from 0")
            if len(set(characters)) < len(characters):
                found.append("--pairs give a character two drivers")
            if self.person or self.reference_person:
                found.append("--pairs say who follows whom; leave --person and --reference-person out")
        if len(self.views) >= MOST_PICTURES:
            found.append(
                f"--view is given {len(self.views)} times; a character has at most {MOST_PICTURES} pictures, REFERENCE among them"
            )
        return found


@dataclass(frozen=True)
class AnimateOptions(MotionOptions):
    """Everything about an animation that has a default; None leaves the choice to the model or the machine.

    Attributes, beside those of `MotionOptions`:
        model: name of known weights, model folder, repository on the Hub (owner/name), or "puppet-warp", the classical puppet
            without weights (`puppet_warp.PuppetWarp`), which keeps the reference's own size up to 1024 px.
        retarget: how the motion is brought onto the character.
            "grounded": bone by bone, each with the length of the reference and the direction and foreshortening of the driver, hips as
            wide as the reference's, and feet on the ground that it stands on (`cues.retarget.grounded`).
            "full": as TCAN has it, bone by bone from the neck, whose way through the picture is scaled with the body
            (`cues.retarget.retarget`).
            "align": part by part with constant ratios, joints left and right alike (`cues.retarget.align`).
            "fit": the driver's own proportions, at the size and place of the reference (`cues.retarget.fit`).
            "off": the driver's pose where it is in its picture. Drawn skeletons are always used so.
            None: "grounded". In the driver's scene the character stands on the driver's ground then, and what the driver's hands hold goes
            along with the character's (`cues.in_hand`); with "off" its hands touch whatever the driver's touch.
        scene: what is behind the character. "reference": the still's own background; "driving": the driver's scene, in which the character
            takes the driver's place, and which gives the picture its shape; "transparent": nothing; or a picture or video.
        order: of several people, who is in front of whom, for models that are told (multi-character). "driver": as in the driving clip, frame
            by frame, changing only on evidence that lasts; "reference": as in the reference, from the first frame to the last.
        fit: how a reference of another shape than the model's picture is brought into it. "letterbox": whole, its edges
            continued as a blur, cut off again afterwards, so that the output has the reference's aspect ratio; "crop":
            filling the picture, what hangs over is cut; "auto": models made for one size letterbox, others get a picture of
            their own area in the reference's aspect ratio.
        mask: picture of the reference's size with the character white, or opaque, for models that cut it out (puppet-warp); None: the
            reference's own alpha channel, else it is found.
        size: (height, width) of the output, rounded to multiples of 8; nothing is cut off again then. None: by `fit`.
        quality: "best": the model's own sampling; "balanced" and "fast": fewer steps and less guidance (`sampling.quality.SHARES`).
        steps, guidance, window, overlap, chain: of the sampling (`sampling.Sampling`); they win over `quality`.
        guidance_interval: shares of the steps from and to which there is guidance; None: in all.
        deep_cache: the deep levels of the denoiser are computed in every so-manieth step.
        keep_scene: whether models that see the scene (animate-anyone-2) leave its pixels as they are where the character is not; False: all
            is as the networks paint it. None: the model's own choice.
        refine: whether the driver's poses are mended before they are followed (`cues.pose_refiner`), by the model's own network, or the shipped one where it
            has none.
        temperature: slope of TCAN's temperature map, which holds the background still (`cues.temperature`); 0: none.
        strengths: how much some conditions count, and from when to when (`sampling.strength`): "pose", "reference", of recipe bunraku
            also "cutout".
        scheduler: one of SCHEDULERS.
        seed: same seed and settings, same file.
        low_memory: whether a model's networks take memory only while they compute, which takes longer (`weights.load_pipeline`).
        compile: whether the denoiser is compiled (torch.compile): takes minutes once and gains nothing on a CPU; on a GPU it is not measured. Not with
            `low_memory`.
        dtype: "auto", "float32", "float16" or "bfloat16".
        state: file in which a diffusion model's sampling keeps where it stands, every minute, until the animation is written: the same run, begun
            again, goes on from there, and makes the same frames bit for bit. None: it begins anew.
        audio: whether the sound of the driving video is kept.
        sheet: picture to write: reference, driving frames, poses, results.
        side_by_side: video to write: the same next to each other.
        debug: folder for pictures of what goes on inside, written before the frames are made: skeletons.png (driver, reference,
            retargeted) and, where the temperature's slope is above 0, temperature.png (the maps of up to 8 windows).
        overwrite: whether pictures that a folder for frames or `debug` holds may be replaced. Single files may be in any case.

    Raises:
        BunrakuError: a value out of its range; names the option as the command line does.
    """

    limits: ClassVar[dict[str, Limits]] = MotionOptions.limits | {
        "steps": Limits(1, 1000),
        "guidance": Limits(0, 100),
        "deep_cache": Limits(1, 1000),
        "window": Limits(1),
        "overlap": Limits(0),
        "chain": Limits(0),
        "temperature": Limits(0, 1000),
        "size": Limits(32, 4096),
        "seed": Limits(0, 2**63 - 1),
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = MotionOptions.choices | {
        "retarget": get_args(Retarget),
        "fit": get_args(Fitting),
        "order": get_args(Order),
        "quality": get_args(Quality),
        "scheduler": tuple(SCHEDULERS),
    }

    model: str = DEFAULT_MODEL
    retarget: Retarget | None = None
    scene: str | Path = "reference"
    order: Order = "driver"
    fit: Fitting = "auto"
    mask: Path | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    quality: Quality = "best"
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    deep_cache: int | None = None
    scheduler: str | None = None
    window: int | None = None
    overlap: int | None = None
    chain: int | None = None
    temperature: float | None = None
    keep_scene: bool | None = None
    refine: bool = True
    strengths: tuple[Strength, ...] = ()
    seed: int = 0
    dtype: str = "auto"
    low_memory: bool = False
    compile: bool = False
    state: Path | None = None
    audio: bool = True
    sheet: Path | None = None
    side_by_side: Path | None = None
    debug: Path | None = None
    overwrite: bool = False

    @property
    def retargeting(self) -> Retarget:
        """How the motion is brought onto the character."""
        return self.retarget or "grounded"

    def problems(self) -> list[str]:
        found = super().problems()
        if self.overlap is not None and self.window is not None and self.overlap >= self.window:
            found.append(f"--overlap {self.overlap} must be smaller than --window {self.window}")
        return found


def option(field: str) -> str:
    """What the command line calls a field of the options."""
    return {
        "smoothing": "--smooth",
        "references": "--reference",
        "views": "--view",
        "detector": "--pose",
        "strengths": "--strength",
    }.get(field, f"--{field.replace('_', '-')}")
