"""The public families of weights: which networks make a model of each, and the settings that they were made with.

Settings are those of each family's own inference, with two corrections. Betas: the public Animate Anyone code trains with
"scaled_linear" and samples with "linear"; the schedule of training is used here. Windows do not close the loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Betas = Literal["scaled_linear", "linear"]

DDIM = {"beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "steps_offset": 1}
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: as in the registry.
        about: what it is, one line.
        licence: conditions of the weights, one line.
        needs: networks without which there is no model.
        scheduler: configuration of its DDIM scheduler.
        defaults: arguments of `AnimationPipeline.stream`.
        size: (height, width).
        skeleton: how its poses are drawn, arguments of `draw_skeleton`.
        reference_blocks: see `ReferenceNet`.
        pooled_norms: see `UNet`.
        recipe: name of the recipe that its model is of.
    """

    name: str
    about: str
    licence: str
    needs: tuple[str, ...]
    scheduler: Mapping[str, Any]
    defaults: Mapping[str, Any]
    size: tuple[int, int] = (512, 512)
    skeleton: Mapping[str, Any] = field(default_factory=lambda: {"style": "dwpose"})
    reference_blocks: str = "full"
    pooled_norms: bool = False
    recipe: str = "animate-anyone"

    @property
    def start(self) -> bool:
        """Whether this is what training starts from, not a finished model."""
        return self.name == "stable-diffusion"

    @property
    def own_unet(self) -> bool:
        """Whether its denoiser is another than Stable Diffusion's."""
        return "pose_guider" in self.needs


def _defaults(steps: int, guidance: float, window: int, **more: Any) -> dict[str, Any]:
    """Arguments of `stream`; all of these families let windows of equal weight overlap by 4 frames."""
    return {
        "num_inference_steps": steps, "guidance_scale": guidance, "window": window, "overlap": 4, "merge": "uniform",
        "reference_timestep": "zero",
    } | more  # fmt: skip


ANIMATE_ANYONE = ("denoiser", "motion", "reference_net", "pose_guider", "image_encoder", "vae")
V_PREDICTION = DDIM | {"beta_schedule": "scaled_linear"} | ZERO_SNR
EPSILON = DDIM | {"beta_schedule": "linear"}
TILED = {"noise_period": 16, "reference_timestep": "every"}

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "moore", "Moore-AnimateAnyone", "Apache-2.0", ANIMATE_ANYONE, V_PREDICTION, _defaults(30, 3.5, 24),
            size=(784, 512),
        ),
        Family(
            "musepose", "MusePose", "non-commercial research only", ANIMATE_ANYONE, V_PREDICTION, _defaults(20, 3.5, 48),
            size=(768, 768), skeleton={"style": "dwpose", "face": False},
        ),
        Family("champ", "Champ, its pose guidance alone", "MIT", ANIMATE_ANYONE, V_PREDICTION, _defaults(20, 3.5, 24)),
        Family(
            "magic-animate", "MagicAnimate", "BSD-3-Clause",
            ("denoiser", "motion", "reference_net", "control_net", "text_encoder", "vae"), EPSILON,
            _defaults(25, 7.5, 16, **TILED), reference_blocks="midup", pooled_norms=True,
        ),
        Family(
            "tcan", "TCAN", "no licence was given",
            ("denoiser", "motion", "reference_net", "control_net", "text_encoder", "vae"), EPSILON,
            _defaults(25, 7.5, 16, temperature=3.0, **TILED), skeleton={"hands": False}, reference_blocks="midup", pooled_norms=True,
            recipe="tcan",
        ),
        Family(
            "stable-diffusion", "Stable Diffusion 1.5 as a start for training", "CreativeML Open RAIL-M", ("denoiser", "vae"),
            DDIM | {"beta_schedule": "scaled_linear"}, _defaults(20, 3.5, 24), skeleton={"style": "dwpose", "face": False},
        ),
    )
}  # fmt: skip

STARTS = {
    family.recipe: family
    for family in (
        FAMILIES["stable-diffusion"],
        replace(
            FAMILIES["tcan"], name="stable-diffusion", about="Stable Diffusion 1.5 as a start for training TCAN",
            licence=FAMILIES["stable-diffusion"].licence, needs=("denoiser", "control_net", "text_encoder", "vae"),
        ),
    )
}  # fmt: skip
"""What each recipe's training starts from at the paper's size, by the recipe's name."""


def family_of(roles: Mapping[str, Any]) -> Family | None:
    """The family whose networks these are, by the names of what was found; None: too little for a model.

    Args:
        roles: `weights.survey.Found` by name of the network.
    """
    has = roles.keys()
    if "denoiser" not in has and "reference_net" not in has:
        return None
    if "guidance_encoder" in has:
        return FAMILIES["champ"]
    if "pose_guider" in has:
        motion = roles.get("motion")
        return FAMILIES["musepose" if motion is not None and motion.part.max_frames == 128 else "moore"]
    if "reference_net" in has:
        denoiser, control = roles.get("denoiser"), roles.get("control_net")
        adapted = denoiser is not None and "LoRA" in denoiser.part.layout
        return FAMILIES["tcan" if adapted or (control is not None and control.part.max_frames) else "magic-animate"]
    return FAMILIES["stable-diffusion"]
