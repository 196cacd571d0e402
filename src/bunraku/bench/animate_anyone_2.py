"""Animate Anyone 2's claims at mini scale: scene, objects, depth along the skeleton, and the shape of the hole.

Everything starts from the shipped mini Animate Anyone. It goes on as the plain model that the composite pastes, and, for as long, as a model
that is shown the scene and nothing else; every system goes on from that one for the same number of steps with everything learning.
"""

from typing import Any

from bunraku.bench.experiment import COMPOSITE, FEW_STEPS, Claim, Expected, Experiment, Training, Variant
from bunraku.puppet_warp import PUPPET_WARP

SEEDS = (0,)
"""Of the rows of the paper's Table 4; more of them tell how much chance has to do with a difference."""

FRAMES = 2_000
"""Steps on frames that the shipped model takes first."""

STEPS = 400
"""On clips, of every system, beyond what they all go on from."""

NETS = ("denoiser", "reference_net", "pose_guider", "image_encoder")
SCENE: dict[str, Any] = {
    "options": {"objects": "none", "modulation": False, "scene_start": "latents"},
    "drop": {"environment": 0.05},
}
PAINTED = FEW_STEPS | {"keep_scene": False}
"""Everything as the networks paint it, as in the paper."""
GOES_ON: dict[str, Any] = {"steps": STEPS, "learning_rate": 7e-4, "trains": ("motion", *NETS)}


def _system(seeds: tuple[int, ...] = (0,), **settings: Any) -> Training:
    """The recipe with all its conditions from the common start, but for these settings."""
    options = {"objects": "blend", "modulation": True} | settings.pop("options", {})
    things = {"object_guider"} if options["objects"] == "blend" else set()
    dropped = {"environment": 0.05}
    dropped |= {"structured_depth": 0.1} if options["modulation"] else {}
    dropped |= {"object": 0.1} if options["objects"] != "none" else {}
    about = GOES_ON | {"trains": (*GOES_ON["trains"], *things), "options": options, "drop": dropped}
    return Training("animate-anyone-2", "mini", 2, "scene", about | settings, seeds)


def _hole(law: str) -> dict[str, Any]:
    return {"styles": {name: {"law": law} for name in ("mask", "environment")}}


def _expect(expected: Expected, *metrics: str, **others: Expected) -> dict[str, Expected]:
    return dict.fromkeys(metrics, expected) | others


_WHOLE = ("psnr", "ssim", "ms_ssim", "lpips_vgg")
_ALL = (*_WHOLE, "psnr_character", "psnr_background", "flicker")

ANIMATE_ANYONE_2 = Experiment(
    name="animate-anyone-2",
    paper="Animate Anyone 2, arXiv 2502.06145",
    trainings={
        "plain-1": Training("animate-anyone", "mini", 1, "mini", {"steps": FRAMES}),
        "plain": Training("animate-anyone", "mini", 2, "plain-1", GOES_ON),
        "scene": Training("animate-anyone-2", "mini", 1, "mini", SCENE | {"steps": FRAMES, "trains": NETS}),
        "full": _system(SEEDS),
        "no-objects": _system(options={"objects": "none"}),
        "noise": _system(SEEDS, options={"objects": "noise"}),
        "no-modulation": _system(SEEDS, options={"modulation": False}),
        "exact": _system(**_hole("exact")),
        "box": _system(**_hole("box")),
    },
    systems={
        "full": Variant("full", PAINTED, description="scene, objects by spatial blending, depth: Animate Anyone 2"),
        "full, scene kept": Variant("full", FEW_STEPS, description="the same model; where the character is not, the scene keeps its pixels"),
        "without blending": Variant("no-objects", PAINTED, description="without spatial blending: objects are not shown"),
        "objects in noise": Variant("noise", PAINTED, description="objects merged into the noise instead of blending"),
        "without modulation": Variant("no-modulation", PAINTED, description="without depth-wise pose modulation"),
        "exact mask": Variant("exact", PAINTED, description="the hole is the driver's exact shape, in training too"),
        "box mask": Variant("box", PAINTED, description="the hole is the driver's box, in training too"),
        "plain": Variant("plain", PAINTED, description="Animate Anyone, trained for as long on plain stages"),
    },
    benchmarks={
        "stage": (
            "full", "full, scene kept", "without blending", "objects in noise", "without modulation", "exact mask", "box mask",
        ),
        "solo": ("full", "full, scene kept", "without modulation", "plain"),
    },
    claims=[
        Claim(
            "the character made in its scene beats one that is pasted into it", "stage", COMPOSITE, "full",
            _expect("better", *_ALL), "Table 3: SSIM .785 to .794, PSNR 28.71 to 28.83, LPIPS .291 to .276, FVD 195 to 186",
        ),
        Claim(
            "the same with the scene's own pixels outside of the hole", "stage", COMPOSITE, "full, scene kept", _expect("better", *_ALL),
            "as above; whether the paper keeps them is not said",
        ),
        Claim("the whole recipe beats the copy by 8 dB (the scene is given)", "stage", "copy", "full", {"psnr": "better"}, least={"psnr": 8.0}),
        Claim(
            "objects blended beat objects merged into the noise", "stage", "objects in noise", "full", _expect("better", *_ALL),
            "Table 4, without spatial blending: SSIM .789 to .794, PSNR 28.74 to 28.83, LPIPS .283 to .276, FVD 191 to 186",
        ),
        Claim(
            "objects blended beat none", "stage", "without blending", "full", _expect("better", *_ALL), "section on object injection; no numbers",
        ),
        Claim(
            "depth along the skeleton helps", "stage", "without modulation", "full", _expect("better", *_ALL),
            "Table 4: SSIM .769 to .794, PSNR 28.56 to 28.83, LPIPS .301 to .276, FVD 211 to 186",
        ),
        Claim(
            "a hole that does not tell the shape keeps the driver's out: where the character is wider than the driver, and where it is narrower",
            "stage", "exact mask", "full", _expect("better", "psnr_outside", "psnr_left", psnr_inside=None, psnr=None, psnr_background=None),
            "ablation of the environment formulation; qualitative only",
        ),
        Claim(
            "a hole in blocks keeps more of the scene than a box", "stage", "box mask", "full",
            _expect("better", "psnr_background", "psnr", psnr_character=None, psnr_outside=None, psnr_left=None),
            "ablation of the environment formulation; qualitative only",
        ),
        Claim("(beside the classical puppet in the same scene)", "stage", PUPPET_WARP, "full", _expect(None, *_ALL), "not in the paper"),
        Claim("(depth, where a scene has none)", "solo", "without modulation", "full", _expect(None, *_ALL), "not in the paper"),
        Claim(
            "on its own ground the character is as good as that of a model for plain ground", "solo", "plain", "full",
            _expect("better", *_ALL), "Table 1, TikTok: SSIM .718 to .778, PSNR 29.56 to 29.82, LPIPS .285 to .248, FVD 172 to 159",
        ),
        Claim(
            "the same with the scene's own pixels outside of the hole", "solo", "plain", "full, scene kept", _expect("better", *_ALL),
            "as above; whether the paper keeps them is not said",
        ),
        Claim("the whole recipe beats the copy", "solo", "copy", "full", _expect("better", "psnr", "psnr_character")),
    ],
    metrics=(
        "psnr", "ssim", "ms_ssim", "lpips_vgg", "psnr_character", "psnr_background", "psnr_inside", "psnr_outside", "psnr_left",
        "flicker",
    ),
    baselines=(PUPPET_WARP, "copy", "codec"),
    composite="plain",
)  # fmt: skip
