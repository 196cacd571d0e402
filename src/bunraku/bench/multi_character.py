"""Multi-Character's claims at mini scale: what each guider adds to Animate Anyone, and identity binding.

One base, the shipped mini Animate Anyone brought to crowds before moving cameras, is trained once; every system goes on from it for the same
number of steps with everything learning, so that the systems differ in nothing but their conditions, and one in how fast its guiders learn.
"""

from typing import Any

from bunraku.bench.experiment import FEW_STEPS, Claim, Expected, Experiment, Training, Variant
from bunraku.training.binding import WEIGHT

SEEDS = (0, 1, 2)
"""Of the systems that the two claims are about that matter most."""

CROWDS: dict[str, Any] = {"domain": "crowds", "drop": {}}
BASE = {"options": {"reference_pose": False}}
STEPS = 400
"""Of every system, beyond the base."""

GOES_ON: dict[str, Any] = CROWDS | {
    "steps": STEPS, "learning_rate": 7e-4, "drop_condition": 0.0,
    "trains": ("motion", "denoiser", "reference_net", "pose_guider", "image_encoder"),
}  # fmt: skip


FASTER = {"reference_pose_guider": 10.0, "depth_order_guider": 10.0, "flow_guider": 10.0}
"""Of one system: how many times as fast its new guiders learn, which start from zero."""


def _with(*guiders: str, seeds: tuple[int, ...] = (0,), **settings: Any) -> Training:
    """The recipe multi-character with some of its guiders, from the base."""
    learns = {"trains": (*GOES_ON["trains"], *(f"{name}_guider" for name in guiders))}
    dropped = {"drop": dict.fromkeys(guiders, 0.1)}
    about = GOES_ON | learns | dropped | {"options": {"guiders": guiders}} | settings
    return Training("multi-character", "mini", 2, "base-2", about, seeds)


def _expect(expected: Expected, *metrics: str, **others: Expected) -> dict[str, Expected]:
    return dict.fromkeys(metrics, expected) | others


_PEOPLE = ("psnr_person", "ssim_person", "identity_accuracy", "identity_accuracy_meeting")
_WHOLE = ("psnr", "ssim", "psnr_character")

MULTI_CHARACTER = Experiment(
    name="multi-character",
    paper="Follow-Your-Pose v2 / Multi-Character, ICLR 2025, arXiv 2406.03035",
    trainings={
        "base-1": Training("animate-anyone", "mini", 1, "mini", CROWDS | BASE | {"steps": 1_000}),
        "base-2": Training("animate-anyone", "mini", 2, "base-1", CROWDS | BASE | {"steps": 200}),
        "animate-anyone": Training("animate-anyone", "mini", 2, "base-2", GOES_ON | BASE),
        "reference-pose": _with("reference_pose", seeds=SEEDS),
        "depth-order": _with("reference_pose", "depth_order", seeds=SEEDS),
        "flow": _with("reference_pose", "depth_order", "flow", seeds=SEEDS),
        "binding": _with("reference_pose", "depth_order", "flow", binding=WEIGHT),
        "fast-guiders": _with("reference_pose", "depth_order", "flow", seeds=SEEDS, rates=FASTER),
    },
    systems={
        "base": Variant("animate-anyone", FEW_STEPS, description="Animate Anyone, trained on the same crowds for as long"),
        "+ reference pose": Variant("reference-pose", FEW_STEPS, description="and the reference's pose"),
        "+ depth order": Variant("depth-order", FEW_STEPS, description="and who is in front of whom"),
        "+ flow": Variant("flow", FEW_STEPS, description="and the background's flow: Multi-Character"),
        "+ binding": Variant("binding", FEW_STEPS, description="Multi-Character with the identity binding loss of WeLike2Party"),
        "+ fast guiders": Variant("fast-guiders", FEW_STEPS, description="Multi-Character whose new guiders learn ten times as fast as the rest"),
    },
    benchmarks={
        "crowd": ("+ flow", "+ depth order", "+ reference pose", "base", "+ binding", "+ fast guiders"),
        "camera-still": ("+ flow", "+ depth order", "base", "+ fast guiders"),
        "camera": ("+ flow", "+ depth order", "base"),
        "solo": ("+ flow", "+ reference pose", "base"),
    },
    claims=[
        Claim(
            "with the flow guider, a model that learnt from moving cameras keeps the background still", "camera-still",
            "+ depth order", "+ flow", _expect("better", "psnr_background", "flicker", psnr=None, psnr_character=None),
            "abstract and figure of the guiders; tables not public",
        ),
        Claim(
            "with the depth order, people who pass before each other stay apart", "crowd", "+ reference pose", "+ depth order",
            _expect("better", *_PEOPLE), "abstract and Algorithm 1; tables not public",
        ),
        Claim(
            "the reference's pose separates texture from pose", "crowd", "base", "+ reference pose",
            _expect("better", *_WHOLE, "psnr_person"), "section on the guiders; tables not public",
        ),
        Claim("(the same of one person)", "solo", "base", "+ reference pose", _expect("better", *_WHOLE), "the same"),
        Claim(
            "the whole recipe beats Animate Anyone that was trained on the same crowds for as long", "crowd", "base", "+ flow",
            _expect("better", *_PEOPLE, *_WHOLE), "abstract: by over 35 % on two data sets and seven metrics",
        ),
        Claim("the whole recipe beats the copy by 4 dB", "crowd", "copy", "+ flow", {"psnr": "better"}, least={"psnr": 4.0}),
        Claim(
            "(the flow guider where the camera does move)", "camera", "+ depth order", "+ flow",
            _expect(None, "psnr_background", "psnr_character"), "at inference the flow is zero",
        ),
        Claim("(the whole recipe on one person)", "solo", "base", "+ flow", _expect(None, *_WHOLE, "psnr_background", "flicker")),
        Claim(
            "identity binding keeps everybody who they are", "crowd", "+ flow", "+ binding",
            _expect("better", "identity_accuracy", "identity_accuracy_meeting", psnr_person=None, ssim_person=None),
            "WeLike2Party, 2026: identity assignment .898 to .930",
        ),
        Claim(
            "guiders that learn ten times as fast beat Animate Anyone", "crowd", "base", "+ fast guiders",
            _expect("better", *_PEOPLE, *_WHOLE), "no claim of the paper: whether 400 steps from zero are too few for the guiders",
        ),
        Claim(
            "(the same, the background of moving cameras)", "camera-still", "base", "+ fast guiders",
            _expect(None, "psnr_background", "flicker", "psnr", "psnr_character"), "no claim of the paper",
        ),
        Claim("(beside the classical puppet)", "crowd", "puppet-warp", "+ flow", _expect(None, *_PEOPLE, *_WHOLE), "not in the paper"),
    ],
    metrics=(
        "psnr", "ssim", "psnr_character", "psnr_background", "psnr_person", "ssim_person", "identity_accuracy",
        "identity_accuracy_meeting", "flicker",
    ),
    baselines=("puppet-warp", "copy", "codec"),
)  # fmt: skip
