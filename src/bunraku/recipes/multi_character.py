"""Follow-Your-Pose v2 (arXiv 2406.03035, ICLR 2025 as Multi-Character): which parts, how they are wired, which sizes, what each stage trains.

Nobody has released this system. What the paper does not say (layers of the guiders, losses, what each stage freezes) is taken from
Animate Anyone, on which it builds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import GuidanceEncoder, LiteralPoseGuider, PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes import animate_anyone
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.animator import Encoded, Inputs, Reads
from bunraku.recipes.common import MINI_CLIPS, MINI_FRAMES, MINI_SAMPLING, MINI_SCHEDULER, SD15_SCHEDULER
from bunraku.recipes.recipe import Recipe, Size, Stage
from bunraku.sampling.sampling import Sampling

CONDITIONS = ("reference_pose", "flow", "depth_order")
"""What is read beside the poses, each with a guider of its own."""

Guider = PoseGuider | LiteralPoseGuider | GuidanceEncoder


class MultiCharacter(AnimateAnyone):
    """Animate Anyone with four guiders of their own weights, whose maps are summed: pose sequence, the reference's pose, background flow,
    and depth order. All are zero at the start, when the model is Animate Anyone exactly.

    A condition that is not given adds no map, and a sample that goes without one in training has its map multiplied by zero, so any of
    them may be left out at inference. They guide both halves of guidance, as the pose does.
    """

    @dataclass(frozen=True)
    class Options(AnimateAnyone.Options):
        """
        Attributes, beside those of Animate Anyone:
            guiders: conditions that are read beside the poses; fewer than all for ablations.
        """

        guiders: tuple[str, ...] = CONDITIONS

    people: ClassVar[int] = 8  # colours of the depth order
    added: ClassVar[tuple[str, ...]] = ("reference_pose_guider", "flow_guider", "depth_order_guider")

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: Guider,
        image_encoder: Any,
        reference_pose_guider: Guider,
        flow_guider: Guider,
        depth_order_guider: Guider,
        options: Options = Options(),
    ) -> None:
        if unknown := sorted(set(options.guiders) - set(CONDITIONS)):
            raise BunrakuError(f"there is no guider for {', '.join(unknown)}; there are {', '.join(CONDITIONS)}")
        super().__init__(denoiser, reference_net, pose_guider, image_encoder, options)
        self.reference_pose_guider = reference_pose_guider
        self.flow_guider, self.depth_order_guider = flow_guider, depth_order_guider

    @property
    def reads(self) -> Reads:
        guided = [name for name in CONDITIONS if name in self.options.guiders]
        stills = dict.fromkeys([*super().reads.stills, *(name for name in guided if name == "reference_pose")])
        return Reads(stills=tuple(stills), frames=("pose", *(name for name in guided if name not in stills)))

    def encode_stills(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        encoded = super().encode_stills(inputs, latents)
        if "reference_pose" in inputs.stills and "reference_pose" in self.options.guiders:
            drawn = inputs.still_pixels("reference_pose", self.dtype)[:, :, None]
            encoded["own_pose"] = inputs.kept("reference_pose", self.reference_pose_guider(drawn))[:, :, 0]
        return encoded

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        guiders = {"pose": self.pose_guider, "flow": self.flow_guider, "depth_order": self.depth_order_guider}
        maps = [
            inputs.kept(name, guider(inputs.frame_pixels(name, self.dtype)))
            for name, guider in guiders.items()
            if name in inputs.frames and name in self.reads.frames
        ]
        return {"pose": sum(maps[1:], maps[0])}

    def guidance(self, encoded: Encoded, window: Sequence[int]) -> Tensor:
        maps = super().guidance(encoded, window)
        own = encoded.stills.get("own_pose")
        return maps if own is None else maps + own[:, :, None]


def _with_guiders(base: AnimateAnyone, options: MultiCharacter.Options) -> MultiCharacter:
    """Animate Anyone with three more guiders that are built as its own is."""
    guiders = {name: type(base.pose_guider).from_config(base.pose_guider.config) for name in MultiCharacter.added}
    return MultiCharacter(**base.parts(), **guiders, options=options)  # type: ignore[arg-type]


def build_sd15(motion: bool, options: MultiCharacter.Options) -> MultiCharacter:
    """The paper's size; its weights start from those of Animate Anyone's, which the caller loads.

    Args:
        motion: with motion modules (stage 2 and inference).
    """
    return _with_guiders(animate_anyone.build_sd15(motion, options), options)


def build_mini(motion: bool, options: MultiCharacter.Options) -> MultiCharacter:
    """Mini Animate Anyone with three more guiders."""
    return _with_guiders(animate_anyone.build_mini(motion, options), options)


LEARNS = ("denoiser", "reference_net", "pose_guider", *MultiCharacter.added)
DROP = {"reference_pose": 0.1, "flow": 0.1, "depth_order": 0.1}
"""Share of the samples that go without a condition. The paper gives none."""

PAPER: dict[str, Any] = {
    "resolution": (896, 640), "steps": 60_000, "frames": 16, "learning_rate": 1e-5, "people": 8, "drop": DROP,
    "domain": "crowds", "gradient_checkpointing": True, "precision": "auto",
}  # fmt: skip

MULTI_CHARACTER = Recipe(
    name="multi-character",
    paper="Follow-Your-Pose v2, ICLR 2025, arXiv 2406.03035",
    animator=MultiCharacter,
    sizes={
        "sd15": Size(
            build=build_sd15,
            options=MultiCharacter.Options(),
            scheduler=SD15_SCHEDULER,
            sampling=Sampling(num_inference_steps=50, guidance_scale=1.5, window=16, overlap=4, merge="uniform"),
            styles={"pose": {"style": "dwpose"}},
            stages={
                1: Stage(trains=LEARNS, settings=PAPER | {"global_batch": 4}),
                2: Stage(trains=("motion",), settings=PAPER | {"global_batch": 1}),
            },
        ),
        "mini": Size(
            build=build_mini,
            options=MultiCharacter.Options(),
            scheduler=MINI_SCHEDULER,
            sampling=replace(MINI_SAMPLING, merge="uniform"),
            styles={"pose": {"hands": False}},
            stages={
                1: Stage(
                    trains=(*LEARNS, "image_encoder"),
                    settings=MINI_FRAMES
                    | {"steps": 4_300, "drop_condition": 0.05, "drop": DROP, "people": 8, "domain": "crowds"},
                ),
                2: Stage(
                    trains=("motion",),
                    settings=MINI_CLIPS | {"steps": 400, "drop": DROP, "people": 8, "domain": "crowds"},
                ),
            },
        ),
    },
)  # fmt: skip
