"""TCAN's claims at mini scale: the ablation of its Table 2, frozen against fine-tuned ControlNet, temperature, retargeting.

The base (denoiser and ControlNet) is trained on a wide domain and then frozen; everything else sees human puppets alone. Whether frozen
keeps what the base knew can be asked of characters that only the base has seen.
"""

from bunraku.bench.experiment import Claim, Expected, Experiment, Training, Variant

_STILL = ("psnr", "ssim", "psnr_character", "pck")
_ALL: tuple[str, ...] = (*_STILL, "flicker")
_OFF = {"temperature": 0.0}


def _expect(metrics: tuple[str, ...], expected: Expected, **others: Expected) -> dict[str, Expected]:
    return dict.fromkeys(metrics, expected) | others


def _table_2(benchmark: str) -> list[Claim]:
    return [
        Claim(
            "LoRA in the frozen denoiser (APPA) aligns appearance and pose", benchmark, "frozen", "+ APPA",
            _expect(_ALL, "better"),
            "Table 2: SSIM .709 to .728, LPIPS .342 to .306, FVD 369 to 252",
        ),
        Claim(
            "temporal layers in ControlNet make it calmer, and robust to wrong poses", benchmark, "+ APPA", "+ temporal",
            _expect(_ALL, "better", ssim="worse"),
            "Table 2: FVD 252 to 217, L1 9.52e-5 to 9.38e-5, but SSIM .728 to .724",
        ),
        Claim(
            "the temperature map holds the background still", benchmark, "+ temporal", "+ map",
            _expect(_ALL, "better", psnr_character=None, pck=None),
            "Table 2: SSIM .724 to .734, L1 9.38e-5 to 8.85e-5, FVD 217 to 190",
        ),
    ]  # fmt: skip


TCAN = Experiment(
    name="tcan",
    paper="TCAN, ECCV 2024, arXiv 2407.09012",
    trainings={
        "base": Training("tcan", "mini", 0),
        "appa-1": Training("tcan", "mini", 1, "base"),
        "frozen-1": Training("tcan", "mini", 1, "base", {"trains": ("reference_net",)}),
        "tuned-1": Training("tcan", "mini", 1, "base", {"trains": ("reference_net", "lora", "controlnet")}),
        "every-1": Training("tcan", "mini", 1, "base", {"options": {"reference_timestep": "every"}}),
        "temporal-2": Training("tcan", "mini", 2, "appa-1"),
        "appa-2": Training("tcan", "mini", 2, "appa-1", {"trains": ("denoiser.motion",)}),
        "frozen-2": Training("tcan", "mini", 2, "frozen-1", {"trains": ("denoiser.motion",)}),
    },
    systems={
        # the rows of Table 2; all have motion modules in the denoiser
        "frozen": Variant("frozen-2", _OFF, description="denoiser and ControlNet frozen, ReferenceNet trained"),
        "+ APPA": Variant("appa-2", _OFF, description="and LoRA on the denoiser's attention"),
        "+ temporal": Variant("temporal-2", _OFF, description="and motion modules in ControlNet"),
        "+ map": Variant("temporal-2", {"temperature": 3.0}, description="and the temperature map, tau = 3: TCAN"),
        "tau 1": Variant("temporal-2", {"temperature": 1.0}, description="TCAN with a flatter map"),
        "tau 10": Variant("temporal-2", {"temperature": 10.0}, description="TCAN with a steeper map"),
        # after stage 1, where frames are made one by one
        "stage 1": Variant("appa-1", _OFF, description="TCAN after stage 1"),
        "tuned": Variant("tuned-1", _OFF, description="stage 1 with ControlNet fine-tuned as well"),
        "every t": Variant("every-1", _OFF, description="stage 1 with ReferenceNet at every timestep"),
        "align": Variant("temporal-2", retarget="align", description="TCAN, body parts scaled by constants"),
        "off": Variant("temporal-2", retarget="off", description="TCAN, the driver's pose as it is"),
    },
    benchmarks={
        "solo": ("+ map", "+ temporal", "+ APPA", "frozen", "tau 1", "tau 10", "stage 1", "tuned", "every t"),
        "noisy": ("+ map", "+ temporal", "+ APPA", "frozen"),
        "bizarre": ("+ map", "align", "off", "stage 1", "tuned"),
    },
    claims=[
        *_table_2("solo"),
        *_table_2("noisy"),
        Claim(
            "a frozen ControlNet keeps what it knew of other bodies", "bizarre", "tuned", "stage 1",
            _expect(_STILL, "better"), "section 3.1 and figure 6; no numbers",
        ),
        Claim(
            "(the same on people like those of the training)", "solo", "tuned", "stage 1", _expect(_STILL, None), "no numbers",
        ),
        Claim(
            "retargeting keeps the character's proportions", "bizarre", "off", "+ map", _expect(_STILL, "better"),
            "figure 8 and the user study; no numbers",
        ),
        Claim("(retargeting part by part)", "bizarre", "align", "+ map", _expect(_STILL, None), "not in the paper"),
        Claim("a flatter map holds the background less", "solo", "+ map", "tau 1", _expect(("flicker",), "worse", psnr=None), "tau = 3 is given"),
        Claim("a steeper map", "solo", "+ map", "tau 10", _expect(("flicker", "psnr"), None), "not in the paper"),
        Claim(
            "(ReferenceNet at every timestep instead of once)", "solo", "stage 1", "every t", _expect(_STILL, None),
            "the code runs it at every step",
        ),
    ],
    metrics=("psnr", "ssim", "psnr_character", "psnr_background", "flicker", "pose_found", "pck", "keypoint_distance"),
)  # fmt: skip
