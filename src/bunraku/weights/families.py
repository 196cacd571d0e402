"""The public families of weights: which networks make a model of each, and the settings that they were made with.

What a family shares with the recipe of its paper is read from there; what is said here is what its own code does otherwise. Two
corrections. Betas: the public Animate Anyone code trains with "scaled_linear" and samples with "linear"; the schedule of training is
used here. Windows do not close the loop.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from bunraku.recipes import Size, get_recipe
from bunraku.sampling.sampling import Sampling

Betas = Literal["scaled_linear", "linear"]

ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: as in the registry.
        about: what it is, one line.
        licence: conditions of the weights, one line.
        needs: networks without which there is no model.
        recipe: name of the recipe that its model is of.
        scheduler: configuration of its DDIM scheduler.
        sampling: of its own inference.
        size: (height, width).
        styles: how its conditions are drawn, see `recipes.Size`.
        options: of the recipe, by name.
        reference_blocks: see `ReferenceNet`.
        pooled_norms: see `Trunk`.
        start: whether this is what training starts from, not a finished model.
    """

    name: str
    about: str
    licence: str
    needs: tuple[str, ...]
    recipe: str
    scheduler: Mapping[str, Any]
    sampling: Sampling
    size: tuple[int, int] = (512, 512)
    styles: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"pose": {"style": "dwpose"}})
    options: Mapping[str, Any] = field(default_factory=dict)
    reference_blocks: str = "full"
    pooled_norms: bool = False
    start: bool = False

    @property
    def own_denoiser(self) -> bool:
        """Whether its denoiser is another than Stable Diffusion's."""
        return "pose_guider" in self.needs


ANIMATE_ANYONE = ("denoiser", "motion", "reference_net", "pose_guider", "image_encoder", "vae")
CONTROLLED = ("denoiser", "motion", "reference_net", "control_net", "text_encoder", "vae")
_AA: Size = get_recipe("animate-anyone").size("sd15")
_TCAN: Size = get_recipe("tcan").size("sd15")
_MULTI_CHARACTER: Size = get_recipe("multi-character").size("sd15")


def _animate_anyone(name: str, about: str, licence: str, steps: int, window: int, **more: Any) -> Family:
    """A family of the recipe animate-anyone, trained for v-prediction without terminal signal."""
    sampling = replace(_AA.sampling, num_inference_steps=steps, window=window)
    return Family(
        name, about, licence, ANIMATE_ANYONE, "animate-anyone", dict(_AA.scheduler) | ZERO_SNR, sampling, **more
    )  # fmt: skip


def _tcan(name: str, about: str, licence: str, **more: Any) -> Family:
    """A family of TCAN's wiring; its group norms are pooled, its reference joins middle and up."""
    common: dict[str, Any] = {
        "needs": CONTROLLED, "scheduler": _TCAN.scheduler, "sampling": _TCAN.sampling, "styles": _TCAN.styles,
    }  # fmt: skip
    return Family(
        name, about, licence, recipe="tcan", options=asdict(_TCAN.options), reference_blocks="midup", pooled_norms=True,
        **common | more,
    )  # fmt: skip


FAMILIES = {
    family.name: family
    for family in (
        _animate_anyone("moore", "Moore-AnimateAnyone", "Apache-2.0", 30, 24, size=(784, 512)),
        _animate_anyone(
            "musepose", "MusePose", "non-commercial research only", 20, 48, size=(768, 768), styles=_AA.styles
        ),
        _animate_anyone("champ", "Champ, its pose guidance alone", "MIT", 20, 24),
        _tcan(
            "magic-animate", "MagicAnimate", "BSD-3-Clause", styles={"pose": {"style": "dwpose"}},
            sampling=replace(_TCAN.sampling, temperature=0.0),
        ),
        _tcan("tcan", "TCAN", "no licence was given"),
        Family(
            "stable-diffusion", "Stable Diffusion 1.5 as a start for training", "CreativeML Open RAIL-M",
            ("denoiser", "image_encoder", "vae"),
            "animate-anyone", _AA.scheduler, _AA.sampling, styles=_AA.styles, start=True,
        ),
    )
}  # fmt: skip

STARTS = {
    family.recipe: family
    for family in (
        FAMILIES["stable-diffusion"],
        _tcan(
            "stable-diffusion", "Stable Diffusion 1.5 as a start for training TCAN", FAMILIES["stable-diffusion"].licence,
            needs=("denoiser", "control_net", "text_encoder", "vae"), start=True,
        ),
        replace(
            FAMILIES["stable-diffusion"], about="Stable Diffusion 1.5 as a start for training Multi-Character",
            recipe="multi-character", scheduler=_MULTI_CHARACTER.scheduler, sampling=_MULTI_CHARACTER.sampling,
            size=(896, 640), styles=_MULTI_CHARACTER.styles,
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
