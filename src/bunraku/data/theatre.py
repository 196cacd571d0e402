"""Training samples from the procedural theatre: sample i is a function of (seed, split, i) alone."""

from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from bunraku.cues.skeleton import draw_skeleton
from bunraku.data.samples import Sample
from bunraku.theatre import render, sample_scene

CLIP_FRAMES = 64
"""Reference and frames of a sample are drawn from this many frames of a scene."""


@dataclass(frozen=True)
class TheatreSamples(Dataset):
    """Endless theatre samples.

    Args:
        seed: of the whole data set.
        split: "train", "val" or "test": disjoint characters, motions and backgrounds.
        frames: driven frames per sample.
        size: (height, width).
        consecutive: frames in a row (motion modules) instead of any frames of the scene.
        permute_colours: permute the colour channels of a whole sample: six times the wardrobe.
    """

    seed: int
    split: str = "train"
    frames: int = 1
    size: tuple[int, int] = (128, 128)
    consecutive: bool = False
    permute_colours: bool = False

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, index])
        scene = sample_scene(int(rng.integers(2**31)), self.split)
        if self.consecutive:
            start = int(rng.integers(CLIP_FRAMES - self.frames + 1))
            driven = list(range(start, start + self.frames))
            reference = int(rng.integers(CLIP_FRAMES))
        else:
            reference, *driven = (int(i) for i in rng.choice(CLIP_FRAMES, self.frames + 1, replace=False))
        rendering = render(scene, [reference, *driven], self.size)
        images = rendering.frames
        if self.permute_colours:
            images = images[..., rng.permutation(3)]
        poses = draw_skeleton(rendering.pose)
        return images[1:], poses[1:], images[0], poses[0]
