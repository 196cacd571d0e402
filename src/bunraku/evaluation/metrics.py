"""Frame metrics as the field computes them, the table of all metrics, and scoring one clip with those that need no weights.

Frames are uint8 (F, H, W, 3) RGB, results float64 (F,), one number per frame; a frame where a metric has no meaning (no
character in sight, nothing before the first frame) is NaN, so that means are to be taken with `np.nanmean`.

The sums behind L1 and PSNR come from a histogram of absolute differences and are exact. SSIM and MS-SSIM are written for speed
and agree with scikit-image and torchmetrics to 1e-6.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.evaluation.people import identity_accuracy, meetings, people_masks

LEVELS = np.arange(256, dtype=np.int64)
SQUARES = LEVELS**2
WRAPPED_SQUARES = SQUARES % 256  # of a difference d and of 256 - d alike

SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SSIM_WINDOW = 7
MS_SSIM_WINDOW, MS_SSIM_SIGMA = 11, 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
STATIC = 2
"""Grey levels that a pixel of the truth may change between frames and still count as static (a codec's noise)."""

Better = Literal["higher", "lower", "neither"]
Need = Literal["instances", "people", "driver", "reference", "pose"]
"""What a metric asks for besides the frames: masks of the characters, of at least two of them, of the driver whose place is taken, the still,
the keypoints of the driving clip."""


@dataclass(frozen=True)
class Metric:
    """What a metric is: how its number is read, and what it takes to compute it.

    Attributes:
        label: head of its column.
        summary: what it tells, in a few words.
        definition: exactly what is computed, and where that is published.
        unit: such as "dB"; empty for plain numbers.
        better: which direction is good.
        group: metrics of one group stand together.
        level: "frame" is one number per frame, "set" one for all clips together.
        needs: see `Need`.
        weights: name for `bunraku models pull`; None: needs none.
    """

    label: str
    summary: str = ""
    definition: str = ""
    unit: str = ""
    better: Better = "higher"
    group: str = "frame"
    level: Literal["frame", "set"] = "frame"
    needs: tuple[Need, ...] = ()
    weights: str | None = None


_MASKED: dict[str, Any] = {"group": "character", "needs": ("instances",)}
_LEAKAGE: dict[str, Any] = {"group": "leakage", "needs": ("instances", "driver")}
_PEOPLE: dict[str, Any] = {"group": "people", "needs": ("people",)}
_HALF_RANGE = (
    "the same fed [0, 1] instead of [-1, 1], as in DisCo's evaluation and all numbers of the field that come from it"
)
_POSE: dict[str, Any] = {"group": "pose", "needs": ("pose",)}
_SET: dict[str, Any] = {"better": "lower", "group": "distribution", "level": "set"}

METRICS: Mapping[str, Metric] = MappingProxyType({
    "l1": Metric(
        "L1", "mean absolute error, 0 to 1", "Mean over pixels and channels of |a - b| / 255.", better="lower",
    ),
    "l1_disco": Metric(
        "L1 (DisCo)", "L1 as DisCo and TCAN print it",
        "Mean |a - b| in grey levels, divided once more by H * W: comparable at one resolution only (DisCo's metric code).",
        better="lower",
    ),
    "psnr": Metric(
        "PSNR", "peak signal-to-noise ratio",
        "10 log10(255^2 / MSE) of RGB frames; 100 for equal frames, and at most.", "dB",
    ),
    "psnr_uint8_wrap": Metric(
        "PSNR (uint8 wrap)", "PSNR with the historical uint8 overflow, to compare with published numbers only",
        "As DisCo's code until April 2024, TCAN's and many others': difference and square both modulo 256. No measure of error.",
        "dB",
    ),
    "ssim": Metric(
        "SSIM", "structural similarity of grey frames",
        "Wang et al. 2004 with scikit-image's defaults on uint8 grey: 7x7 uniform window, sample covariance (DisCo).",
    ),
    "ssim_rgb": Metric("SSIM (RGB)", "structural similarity of colour frames", "Mean of SSIM over the three channels."),
    "ms_ssim": Metric(
        "MS-SSIM", "multi-scale structural similarity",
        "Wang, Simoncelli & Bovik 2003 as in torchmetrics: RGB, 11x11 Gaussian window, five scales; smaller frames have as many "
        "as the window fits into (five from 176 pixels, four from 88), weights renormalised.",
    ),
    "sharpness": Metric(
        "Sharpness", "strength of edges beside the truth's: below 1 softer, above 1 harsher",
        "Energy of the gradient (mean square of the differences between neighbouring pixels of the grey frame, along rows and columns) over "
        "that of the truth.", better="neither",
    ),
    "l1_character": Metric(
        "L1 character", "L1 where the truth shows a character", "L1 over the mask.", better="lower", **_MASKED
    ),
    "psnr_character": Metric(
        "PSNR character", "PSNR where the truth shows a character", "PSNR over the mask.", "dB", **_MASKED
    ),
    "ssim_character": Metric(
        "SSIM character", "SSIM where the truth shows a character",
        "Mean of the map of SSIM over the mask, the frame's borders mirrored.", **_MASKED,
    ),
    "l1_background": Metric(
        "L1 background", "L1 around the characters", "L1 over the mask's complement.", better="lower", **_MASKED
    ),
    "psnr_background": Metric(
        "PSNR background", "PSNR around the characters", "PSNR over the mask's complement.", "dB", **_MASKED
    ),
    "ssim_background": Metric(
        "SSIM background", "SSIM around the characters",
        "Mean of the map of SSIM over the mask's complement, the frame's borders mirrored.", **_MASKED,
    ),
    "psnr_inside": Metric(
        "PSNR inside the driver", "PSNR of the character where the driver was",
        "PSNR over the part of the mask that the driver's silhouette covers.", "dB", **_LEAKAGE,
    ),
    "psnr_outside": Metric(
        "PSNR outside the driver", "PSNR of the character beyond the driver: low where the driver's shape is kept",
        "PSNR over the part of the mask that the driver's silhouette does not cover.", "dB", **_LEAKAGE,
    ),
    "psnr_left": Metric(
        "PSNR left by the driver", "PSNR of the scene where the driver was and the character is not: low where the driver's shape is filled",
        "PSNR over the part of the driver's silhouette that the mask does not cover.", "dB", **_LEAKAGE,
    ),
    "psnr_person": Metric(
        "PSNR per person", "PSNR of each person by themselves",
        "PSNR over the mask of each person who has at least a thousandth of the frame's pixels; the mean over people, so that the "
        "small count as much as the large.", "dB", **_PEOPLE,
    ),
    "ssim_person": Metric(
        "SSIM per person", "SSIM of each person by themselves",
        "Mean of the map of SSIM over the mask of each person, the frame's borders mirrored; the mean over people.", **_PEOPLE,
    ),
    "lpips_person": Metric(
        "LPIPS per person", "learned perceptual distance of each person by themselves",
        "LPIPS (VGG) with each layer's distances averaged over the mask of a person, brought to the layer's size by area, instead of "
        "over the frame; the mean over people.", better="lower", weights="lpips-vgg", **_PEOPLE,
    ),
    "identity_accuracy": Metric(
        "Identities right", "share of frames in which everybody is who they should be",
        "Identity assignment accuracy: share of the frames in which the generated colours inside each person's true mask are nearer to "
        "that person's true colours than to anybody else's (Hellinger distance of histograms of 8x8x8 bins in RGB).", **_PEOPLE,
    ),
    "identity_accuracy_meeting": Metric(
        "Identities right, meeting", "the same where people pass before each other",
        "Identity assignment accuracy over the frames in which the masks of two people touch.", **_PEOPLE,
    ),
    "flicker": Metric(
        "Flicker", "change between frames where the truth stands still",
        "Mean |g(t) - g(t-1)| / 255 over the pixels that are the same in the truth's frames t-1 and t (and background in both, "
        "where masks are known).", better="lower", group="motion",
    ),
    "flicker_truth": Metric(
        "Flicker of truth", "the same of the truth itself: what is unavoidable", "Flicker with the truth as g.",
        better="neither", group="motion",
    ),
    "lpips_vgg": Metric(
        "LPIPS (VGG)", "learned perceptual distance, VGG16",
        "LPIPS v0.1 (Zhang et al. 2018) on VGG16, RGB in [-1, 1], at the frames' size.",
        better="lower", group="perceptual", weights="lpips-vgg",
    ),
    "lpips_vgg_unscaled": Metric(
        "LPIPS (VGG, [0,1])", "LPIPS on half the range, to compare with published numbers",
        f"LPIPS (VGG), {_HALF_RANGE}.", better="lower", group="perceptual", weights="lpips-vgg",
    ),
    "lpips_alex": Metric(
        "LPIPS (Alex)", "learned perceptual distance, AlexNet",
        "LPIPS v0.1 (Zhang et al. 2018) on AlexNet, RGB in [-1, 1], at the frames' size.",
        better="lower", group="perceptual", weights="lpips-alex",
    ),
    "lpips_alex_unscaled": Metric(
        "LPIPS (Alex, [0,1])", "LPIPS on half the range, to compare with published numbers",
        f"LPIPS (Alex), {_HALF_RANGE}.", better="lower", group="perceptual", weights="lpips-alex",
    ),
    "clip_i": Metric(
        "CLIP-I", "identity: CLIP similarity of each frame with the still",
        "Cosine of the image embeddings of CLIP ViT-B/32 of the reference still and of each generated frame.",
        group="perceptual", needs=("reference",), weights="clip-vit-b32",
    ),
    "pose_found": Metric(
        "Poses found", "share of driven poses that the detector finds again",
        "Share of the people in the driving poses to whom a person that the detector finds can be assigned.", **_POSE,
    ),
    "pck": Metric(
        "PCK@0.1", "share of joints at the right place, by re-detection",
        "Share of the driving body joints (score >= 0.3) that a detector finds again within a tenth of the larger side of the driving "
        "pose's box (Yang & Ramanan 2013); joints and people that are not found count as wrong.", **_POSE,
    ),
    "keypoint_distance": Metric(
        "Joint distance", "mean distance of the joints that are found again",
        "Mean distance of re-detected body joints from the driving ones, as a share of the larger side of the driving pose's box; "
        "joints that are not found are left out, so read it beside PCK.", better="lower", **_POSE,
    ),
    "fid": Metric(
        "FID", "distance of the distributions of frames",
        "Frechet distance (Heusel et al. 2017) of the 2048 pooled features of the TF Inception network over all frames of all clips, "
        "bilinear to 299 as in pytorch-fid.", weights="fid-inception", **_SET,
    ),
    "clean_fid": Metric(
        "clean-FID", "FID with antialiased resizing",
        "FID with Pillow's bicubic resize to 299 in floats before the network (Parmar, Zhang & Zhu 2022).",
        weights="fid-inception", **_SET,
    ),
    "fid_vid": Metric(
        "FID-VID", "distance of the distributions of 16-frame windows, 3D ResNet-50",
        "Frechet distance of the 2048 pooled features of the Kinetics 3D ResNet-50 (Hara et al. 2018) over all windows of 16 frames, "
        "stride 1, Pillow's bicubic to 112, minus the mean; shorter clips repeat their last frame (DisCo).",
        weights="fid-vid-resnet50", **_SET,
    ),
    "fvd": Metric(
        "FVD", "distance of the distributions of 16-frame windows, I3D",
        "Frechet distance (Unterthiner et al. 2018) of the 400 Kinetics logits of I3D over all windows of 16 frames, stride 1, "
        "Pillow's bicubic to 224 (DisCo; i3d_torchscript.pt); shorter clips are left out.", weights="fvd-i3d", **_SET,
    ),
})  # fmt: skip
"""Every metric by name, in the order of reports."""

CLIP_METRICS = tuple(
    name
    for name, metric in METRICS.items()
    if not metric.weights and metric.group in ("frame", "character", "leakage", "people", "motion")
)
"""What `score_clip` computes: needs neither weights nor a detector."""


def score_clip(
    generated: np.ndarray,
    truth: np.ndarray,
    *,
    instances: np.ndarray | None = None,
    static: np.ndarray | None = None,
    driver: np.ndarray | None = None,
    metrics: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """Every metric of a clip that needs no weights; what several of them need is computed once.

    Safe to call from several threads; most of the time is spent without the interpreter's lock.

    Args:
        generated, truth: uint8 (F, H, W, 3).
        instances: (F, H, W) integers, 0 is background; None leaves the masked metrics out, and so does a single person those of
            several people.
        static: bool (F, H, W), pixels that show the same in this frame of the truth as in the one before (row 0 is not used);
            None: where the truth changes by at most `STATIC` levels, among the background where `instances` says so.
        driver: bool (F, H, W), the silhouette of those whose place the characters take; None leaves out what asks for it.
        metrics: names out of `CLIP_METRICS`; None: all that the masks allow.

    Returns:
        {name: float64 (F,)} in the order of `METRICS`.

    Raises:
        BunrakuError: frames that are not uint8 of equal shape, masks of another shape, a name that is not a clip metric, a
            masked metric without `instances`, or one of several people where there are not two.
    """
    check_frames(generated, truth)
    character = None if instances is None else _mask("instances", instances, truth) != 0
    people = np.zeros((0, *truth.shape[:3]), bool) if instances is None else people_masks(instances)
    names = _chosen(metrics, character is not None, len(people), driver is not None)
    scores = _errors(generated, truth, character, names)
    if character is not None and driver is not None and any(METRICS[name].group == "leakage" for name in names):
        before = _mask("driver", driver, truth).astype(bool)
        places = {"inside": character & before, "outside": character & ~before, "left": before & ~character}
        scores |= {f"psnr_{name}": psnr(generated, truth, where) for name, where in places.items()}
    if names & {"ssim", "ssim_rgb", "ssim_character", "ssim_background", "ssim_person"}:
        scores |= _similarities(generated, truth, character, people, "ssim_rgb" in names)
    if "psnr_person" in names:
        scores["psnr_person"] = mean_seen(np.stack([psnr(generated, truth, person) for person in people]))
    if names & {"identity_accuracy", "identity_accuracy_meeting"}:
        right = scores["identity_accuracy"] = identity_accuracy(generated, truth, people)
        scores["identity_accuracy_meeting"] = np.where(meetings(people), right, np.nan)
    if "sharpness" in names:
        scores["sharpness"] = sharpness(generated, truth)
    if "ms_ssim" in names:
        scores["ms_ssim"] = ms_ssim(generated, truth)
    if names & {"flicker", "flicker_truth"}:
        still = static_pixels(truth, instances) if static is None else _mask("static", static, truth).astype(bool)
        scores["flicker"], scores["flicker_truth"] = flicker(generated, still), flicker(truth, still)
    return {name: scores[name] for name in METRICS if name in names}


def l1(generated: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Mean absolute error of each frame on a scale of 0 to 1: float64 (F,); NaN where `where` (bool, F H W) has no pixel."""
    return _l1(_histograms(generated, truth, where))


def l1_disco(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """L1 as DisCo's code prints it: the mean absolute error in grey levels, divided once more by H * W."""
    return 255 * l1(generated, truth) / (truth.shape[1] * truth.shape[2])


def psnr(generated: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio of each frame in dB.

    Args:
        generated, truth: uint8 (F, H, W, 3).
        where: bool (F, H, W), pixels that count; None: all.

    Returns:
        float64 (F,): 100 dB where there is no error, and at most; NaN where `where` has no pixel.
    """
    return _psnr(_histograms(generated, truth, where), SQUARES)


def psnr_uint8_wrap(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PSNR with the overflow of numpy's uint8: both the difference and its square are taken modulo 256, dB (F,).

    DisCo's evaluation had it until commit 6190108 (April 2024), and the systems that copied its code. A pair of 22.5 dB comes
    out near 29, and noise at 28.
    """
    return _psnr(_histograms(generated, truth), WRAPPED_SQUARES)


def sharpness(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Energy of the gradient of each grey frame over that of the truth's, float64 (F,); NaN where the truth has no edge."""
    check_frames(generated, truth)
    energy = np.array([[_gradient_energy(frame) for frame in clip] for clip in (generated, truth)])
    return np.asarray(energy[0] / np.where(energy[1] > 0, energy[1], np.nan))


def _gradient_energy(frame: np.ndarray) -> float:
    grey = _grey(frame).astype(np.float64)
    return float(np.square(np.diff(grey, axis=0)).mean() + np.square(np.diff(grey, axis=1)).mean())


def ssim(generated: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Structural similarity of the grey frames, float64 (F,), as `skimage.metrics.structural_similarity` by default.

    With `where` (bool, F H W) the mean of its full map over those pixels, NaN where there are none.
    """
    check_frames(generated, truth)
    maps = (ssim_map(_grey(a), _grey(b)) for a, b in zip(generated, truth))
    if where is None:
        return np.array([_inner(values).mean() for values in maps])
    return np.array([_mean(values, mask) for values, mask in zip(maps, _mask("where", where, truth).astype(bool))])


def ssim_rgb(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity of the colour frames, float64 (F,): scikit-image's with `channel_axis=-1`."""
    check_frames(generated, truth)
    return np.array([_inner(ssim_map(a, b)).mean() for a, b in zip(generated, truth)])


def ms_ssim(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Multi-scale structural similarity of the colour frames, float64 (F,).

    As `torchmetrics.functional.image.multiscale_structural_similarity_index_measure` with `normalize="relu"`. Frames too small
    for five scales have `ms_ssim_scales`, and the weights of these add up to 1.
    """
    check_frames(generated, truth)
    scales = ms_ssim_scales(*truth.shape[1:3])
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    if scales < len(MS_SSIM_WEIGHTS):
        weights /= weights.sum()
    return np.array([_ms_ssim(a.astype(np.float64), b.astype(np.float64), weights) for a, b in zip(generated, truth)])


def ms_ssim_scales(height: int, width: int) -> int:
    """How many scales, 1 to 5, of frames of this size `ms_ssim` compares: the 11-pixel window must fit into the last."""
    fitting = (scales for scales in range(5, 1, -1) if min(height, width) // 2 ** (scales - 1) >= MS_SSIM_WINDOW)
    return next(fitting, 1)


def mean_seen(values: np.ndarray) -> np.ndarray:
    """Means (F,) over the people (P, F) that have a value; NaN where nobody has."""
    seen = ~np.isnan(values)
    return _ratio(np.where(seen, values, 0).sum(0), seen.sum(0))


def static_pixels(truth: np.ndarray, instances: np.ndarray | None = None) -> np.ndarray:
    """Where a frame shows the same as the one before: bool (F, H, W), by at most `STATIC` levels in every channel.

    With `instances` ((F, H, W), 0 is background) only pixels that are background in both frames. Frame 0 has none.
    """
    still = np.zeros(truth.shape[:3], bool)
    for t in range(1, len(truth)):
        still[t] = cv2.inRange(cv2.absdiff(truth[t], truth[t - 1]), (0, 0, 0), (STATIC, STATIC, STATIC)) > 0
        if instances is not None:
            still[t] &= (instances[t] == 0) & (instances[t - 1] == 0)
    return still


def flicker(frames: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Mean absolute change since the frame before on a scale of 0 to 1, over the pixels of `static` (bool, F H W).

    Returns:
        float64 (F,); NaN for frame 0 and where nothing is static.
    """
    values = np.full(len(frames), np.nan)
    for t in range(1, len(frames)):
        histogram = _histogram(cv2.absdiff(frames[t], frames[t - 1]), static[t])
        values[t] = _l1(histogram[None])[0]
    return values


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Local similarity of two uint8 images (H, W) or (H, W, 3): float64 of the same shape, the map of scikit-image's `full=True`.

    Equation 13 of Wang et al. 2004 in 7x7 windows, sample covariance, borders mirrored.
    """
    n = SSIM_WINDOW**2
    x, y = a.astype(np.float32), b.astype(np.float32)
    # the sums are integers below 2^24 and exact; the equation needs the two variances only as a sum
    sx, sy, squares, products = (
        cv2.boxFilter(image, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW), normalize=False, borderType=cv2.BORDER_REFLECT)
        for image in (x, y, x * x + y * y, x * y)
    )
    cross, power = sx * sy, sx * sx + sy * sy  # n^2 times the products of means
    covariance = (n * products - cross) * (2 / (n * (n - 1))) + SSIM_C2
    variances = (n * squares - power) * (1 / (n * (n - 1))) + SSIM_C2
    return (cross * (2 / n**2) + SSIM_C1) * covariance / ((power * (1 / n**2) + SSIM_C1) * variances)


def check_frames(generated: np.ndarray, truth: np.ndarray) -> None:
    """Refuse frames that cannot be compared.

    Raises:
        BunrakuError: not uint8 (F, H, W, 3), smaller than 11 pixels, no frame, or different shapes; says what was given.
    """
    for name, frames in (("generated", generated), ("true", truth)):
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
            raise BunrakuError(f"The {name} frames are {_described(frames)}, expected uint8 0 to 255.")
        if frames.ndim != 4 or frames.shape[-1] != 3:
            raise BunrakuError(f"The {name} frames have the shape {frames.shape}, expected (frames, height, width, 3).")
        if not len(frames) or min(frames.shape[1:3]) < MS_SSIM_WINDOW:
            raise BunrakuError(
                f"The {name} frames have the shape {frames.shape}; at least one frame of {MS_SSIM_WINDOW}x{MS_SSIM_WINDOW} px is needed."
            )
    if generated.shape != truth.shape:
        raise BunrakuError(
            f"The generated clip has {_shape(generated)}, the true one {_shape(truth)}; "
            "cut or resize one of them (`--on-mismatch trim` or `resize`)."
        )


def _described(frames: object) -> str:
    if not isinstance(frames, np.ndarray):
        return f"a {type(frames).__name__}"
    if not np.issubdtype(frames.dtype, np.floating):
        return str(frames.dtype)
    if bad := int(frames.size - np.isfinite(frames).sum()):
        return f"{frames.dtype} with {bad} NaN or infinite values (a model that diverged?)"
    return f"{frames.dtype}; convert a 0 to 1 scale with np.uint8(np.rint(frames * 255)); they are"


def _shape(frames: np.ndarray) -> str:
    return f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}"


def _mask(name: str, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    if mask.shape != truth.shape[:3] or not (mask.dtype == bool or np.issubdtype(mask.dtype, np.integer)):
        raise BunrakuError(
            f"`{name}` is {mask.dtype} of shape {mask.shape}, expected a mask (frames, height, width) of shape {truth.shape[:3]}."
        )
    return mask


def _chosen(metrics: Collection[str] | None, masks: bool, people: int, driver: bool) -> set[str]:
    met = {"instances"} if masks else set()
    met |= {"driver"} if driver else set()
    met |= {"people"} if people > 1 else set()
    possible = {name for name in CLIP_METRICS if met.issuperset(METRICS[name].needs)}
    if metrics is None:
        return possible
    if unknown := [name for name in metrics if name not in CLIP_METRICS]:
        raise BunrakuError(
            f"{', '.join(unknown)}: no metric of a clip without weights; known: {', '.join(CLIP_METRICS)}."
        )
    if masked := [name for name in metrics if name not in possible]:
        raise BunrakuError(
            f"{', '.join(masked)} can only be computed with masks of the characters (`instances`), and what is asked of several "
            f"people only where there are at least two; got {f'masks of {people}' if masks else 'no masks'}."
        )
    return set(metrics)


def _errors(
    generated: np.ndarray, truth: np.ndarray, character: np.ndarray | None, names: Collection[str]
) -> dict[str, np.ndarray]:
    whole = _histograms(generated, truth)
    scores = {
        "l1": _l1(whole),
        "l1_disco": 255 * _l1(whole) / (truth.shape[1] * truth.shape[2]),
        "psnr": _psnr(whole, SQUARES),
        "psnr_uint8_wrap": _psnr(whole, WRAPPED_SQUARES),
    }
    if character is not None and any(METRICS[name].group == "character" for name in names):
        inside = _histograms(generated, truth, character)
        for part, histograms in (("character", inside), ("background", whole - inside)):
            scores[f"l1_{part}"], scores[f"psnr_{part}"] = _l1(histograms), _psnr(histograms, SQUARES)
    return scores


def _similarities(
    generated: np.ndarray, truth: np.ndarray, character: np.ndarray | None, people: np.ndarray, colour: bool
) -> dict[str, np.ndarray]:
    scores = {name: np.full(len(truth), np.nan) for name in ("ssim", "ssim_rgb", "ssim_character", "ssim_background")}
    persons = np.full((len(people), len(truth)), np.nan)
    for t, (a, b) in enumerate(zip(generated, truth)):
        grey = ssim_map(_grey(a), _grey(b))
        scores["ssim"][t] = _inner(grey).mean()
        if colour:
            scores["ssim_rgb"][t] = _inner(ssim_map(a, b)).mean()
        if character is not None:
            scores["ssim_character"][t] = _mean(grey, character[t])
            scores["ssim_background"][t] = _mean(grey, ~character[t])
        persons[:, t] = [_mean(grey, person[t]) for person in people]
    return scores | {"ssim_person": mean_seen(persons)}


def _histograms(generated: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """How often each absolute difference occurs, over the pixels of `where` and all channels: int64 (F, 256)."""
    check_frames(generated, truth)
    masks = [None] * len(truth) if where is None else _mask("where", where, truth).astype(bool)
    return np.stack([_histogram(cv2.absdiff(a, b), mask) for a, b, mask in zip(generated, truth, masks)])


def _histogram(difference: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    counted = difference if where is None else difference[where]
    return np.bincount(counted.ravel(), minlength=256)


def _l1(histograms: np.ndarray) -> np.ndarray:
    return _ratio(histograms @ LEVELS, 255 * histograms.sum(1))


def _psnr(histograms: np.ndarray, squares: np.ndarray) -> np.ndarray:
    error = _ratio(histograms @ squares, histograms.sum(1))
    return np.minimum(10 * np.log10(255**2 / np.maximum(error, 1e-12)), 100)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _inner(values: np.ndarray) -> np.ndarray:
    """Where the whole window lies in the frame."""
    margin = SSIM_WINDOW // 2
    return values[margin:-margin, margin:-margin]


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def _ms_ssim(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    terms = np.empty(len(weights))
    for scale in range(len(weights)):
        if scale:
            a, b = _halved(a), _halved(b)
        luminance, contrast = _gaussian_ssim(a, b)
        last = scale == len(weights) - 1
        margin = MS_SSIM_WINDOW // 2
        # torchmetrics leaves the border out of the contrast but not out of the last scale's similarity
        terms[scale] = (luminance * contrast).mean() if last else contrast[margin:-margin, margin:-margin].mean()
    return float(np.prod(np.maximum(terms, 0) ** weights))


def _gaussian_ssim(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure terms in 11x11 Gaussian windows, each (H, W, 3)."""
    window = (MS_SSIM_WINDOW, MS_SSIM_WINDOW)
    x, y, squares, products = (
        cv2.GaussianBlur(image, window, MS_SSIM_SIGMA, borderType=cv2.BORDER_REFLECT_101)
        for image in (a, b, a * a + b * b, a * b)
    )
    cross, power = x * y, x * x + y * y
    contrast = (2 * (products - cross) + SSIM_C2) / (np.maximum(squares - power, 0) + SSIM_C2)
    return (2 * cross + SSIM_C1) / (power + SSIM_C1), contrast


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; an odd last row or column is dropped."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
