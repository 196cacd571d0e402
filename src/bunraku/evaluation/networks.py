"""The networks behind the field's metrics, written after their papers so that the public weight files load by name.

Each maps uint8 frames (N, H, W, 3) to what its metric compares; resizing and scaling are part of the metric and happen here. The
bodies are modules without any of that. torchvision, lpips and pytorch-fid are not needed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

VGG16_TAPS, ALEXNET_TAPS = (3, 8, 15, 22, 29), (1, 4, 7, 9, 11)
"""Layers of torchvision's `features` after which LPIPS compares: relu1_2 to relu5_3, and the five ReLUs."""
LPIPS_CHANNELS = {"vgg": (64, 128, 256, 512, 512), "alex": (64, 192, 384, 256, 256)}
KINETICS_MEAN = (114.7748, 107.7354, 99.4750)
CLIP_VIT_B32 = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
    "patch_size": 32, "projection_dim": 512, "hidden_act": "quick_gelu",
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ LPIPS


class LPIPS(nn.Module):
    """Learned perceptual distance, version 0.1 (Zhang et al. 2018, equation 1): unit-normalised features of a classifier, squared
    differences weighted per channel, averaged over space, summed over layers.

    Keys are those of torchvision's trunk (`features.*`) and of the published heads (`lin0.model.1.weight` ...).

    Args:
        features: the trunk; taps: its layers to compare after; channels: of each.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, features: nn.Sequential, taps: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.features, self.taps = features, tuple(taps)
        for index, count in enumerate(channels):
            head = nn.Module()
            head.model = nn.Sequential(nn.Identity(), nn.Conv2d(count, 1, 1, bias=False))
            self.add_module(f"lin{index}", head)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
        """Distances of several sets of images from one.

        Args:
            a: (S N, 3, H, W), S sets one after the other; b: (N, 3, H, W). Meant to be in [-1, 1].
            where: (M, N, H, W), masks of what counts in each image of b, in [0, 1]; each layer has them at its own size, by area.
                None: everything.

        Returns:
            (S N,); with `where` (M, S N), NaN where a mask is empty.
        """
        x, count = (torch.cat([a, b]) - self.shift) / self.scale, len(b)
        distance = x.new_zeros(len(a)) if where is None else x.new_zeros(len(where), len(a))
        for index in range(self.taps[-1] + 1):
            x = self.features[index](x)
            if index in self.taps:
                unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                weigh = self.get_submodule(f"lin{self.taps.index(index)}.model")
                square = (unit[:-count].unflatten(0, (-1, count)) - unit[-count:]).square()  # S N C h w
                local = weigh(square.flatten(0, 1))[:, 0]  # (S N) h w
                if where is None:
                    distance = distance + local.mean((1, 2))
                else:
                    weight = F.adaptive_avg_pool2d(where, local.shape[-2:])  # M N h w
                    sums = torch.einsum("snhw,mnhw->msn", local.unflatten(0, (-1, count)), weight)
                    distance = distance + (sums / weight.sum((2, 3))[:, None]).flatten(1)
        return distance


def vgg16_features() -> nn.Sequential:
    """`features` of VGG16 (Simonyan & Zisserman 2015, configuration D)."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def alexnet_features() -> nn.Sequential:
    """`features` of AlexNet as in Krizhevsky 2014 (one tower)."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def lpips_vgg() -> LPIPS:
    return LPIPS(vgg16_features(), VGG16_TAPS, LPIPS_CHANNELS["vgg"])


def lpips_alex() -> LPIPS:
    return LPIPS(alexnet_features(), ALEXNET_TAPS, LPIPS_CHANNELS["alex"])


# ------------------------------------------------------------------------------------------------ Inception


class Conv(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)  # TensorFlow does not count the padding


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class Mixed(nn.Module):
    """One Inception block: branches side by side, their channels concatenated.

    Args:
        branches: each a list of (name, convolution); where an item is a list of those, all of them see the same input and
            their outputs are concatenated.
        pool: what the last branch sees instead of the input; with `branch_pool` None its output is the branch.
        branch_pool: the convolution behind it.
    """

    def __init__(
        self,
        branches: Sequence[Sequence[Any]],
        pool: Callable[[Tensor], Tensor],
        branch_pool: Conv | None = None,
    ) -> None:
        super().__init__()
        self.order: list[list[list[str]]] = []
        for branch in branches:
            steps = [step if isinstance(step, list) else [step] for step in branch]
            self.order.append([[name for name, _ in step] for step in steps])
            for name, conv in (pair for step in steps for pair in step):
                self.add_module(name, conv)
        self.pool, self.branch_pool = pool, branch_pool

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.order:
            y = x
            for names in branch:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            outputs.append(y)
        y = self.pool(x)
        outputs.append(y if self.branch_pool is None else self.branch_pool(y))
        return torch.cat(outputs, 1)


def _mixed_5(inputs: int, pooled: int) -> Mixed:
    return Mixed(
        [
            [("branch1x1", Conv(inputs, 64, 1))],
            [("branch5x5_1", Conv(inputs, 48, 1)), ("branch5x5_2", Conv(48, 64, 5, padding=2))],
            [
                ("branch3x3dbl_1", Conv(inputs, 64, 1)), ("branch3x3dbl_2", Conv(64, 96, 3, padding=1)),
                ("branch3x3dbl_3", Conv(96, 96, 3, padding=1)),
            ],
        ],
        _mean_pool, Conv(inputs, pooled, 1),
    )  # fmt: skip


def _mixed_6a(inputs: int) -> Mixed:
    return Mixed(
        [
            [("branch3x3", Conv(inputs, 384, 3, 2))],
            [
                ("branch3x3dbl_1", Conv(inputs, 64, 1)), ("branch3x3dbl_2", Conv(64, 96, 3, padding=1)),
                ("branch3x3dbl_3", Conv(96, 96, 3, 2)),
            ],
        ],
        nn.MaxPool2d(3, 2),
    )  # fmt: skip


def _mixed_6(width: int) -> Mixed:
    row: dict[str, Any] = {"kernel": (1, 7), "padding": (0, 3)}
    column: dict[str, Any] = {"kernel": (7, 1), "padding": (3, 0)}
    return Mixed(
        [
            [("branch1x1", Conv(768, 192, 1))],
            [
                ("branch7x7_1", Conv(768, width, 1)), ("branch7x7_2", Conv(width, width, **row)),
                ("branch7x7_3", Conv(width, 192, **column)),
            ],
            [
                ("branch7x7dbl_1", Conv(768, width, 1)), ("branch7x7dbl_2", Conv(width, width, **column)),
                ("branch7x7dbl_3", Conv(width, width, **row)), ("branch7x7dbl_4", Conv(width, width, **column)),
                ("branch7x7dbl_5", Conv(width, 192, **row)),
            ],
        ],
        _mean_pool, Conv(768, 192, 1),
    )  # fmt: skip


def _mixed_7a() -> Mixed:
    return Mixed(
        [
            [("branch3x3_1", Conv(768, 192, 1)), ("branch3x3_2", Conv(192, 320, 3, 2))],
            [
                ("branch7x7x3_1", Conv(768, 192, 1)), ("branch7x7x3_2", Conv(192, 192, (1, 7), padding=(0, 3))),
                ("branch7x7x3_3", Conv(192, 192, (7, 1), padding=(3, 0))), ("branch7x7x3_4", Conv(192, 192, 3, 2)),
            ],
        ],
        nn.MaxPool2d(3, 2),
    )  # fmt: skip


def _mixed_7(inputs: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    row: dict[str, Any] = {"kernel": (1, 3), "padding": (0, 1)}
    column: dict[str, Any] = {"kernel": (3, 1), "padding": (1, 0)}
    return Mixed(
        [
            [("branch1x1", Conv(inputs, 320, 1))],
            [
                ("branch3x3_1", Conv(inputs, 384, 1)),
                [("branch3x3_2a", Conv(384, 384, **row)), ("branch3x3_2b", Conv(384, 384, **column))],
            ],
            [
                ("branch3x3dbl_1", Conv(inputs, 448, 1)), ("branch3x3dbl_2", Conv(448, 384, 3, padding=1)),
                [("branch3x3dbl_3a", Conv(384, 384, **row)), ("branch3x3dbl_3b", Conv(384, 384, **column))],
            ],
        ],
        pool, Conv(inputs, 192, 1),
    )  # fmt: skip


class FIDInception(nn.Module):
    """Inception-v3 as it was on 2015-12-05 in TensorFlow, which every published FID uses, without its classifier.

    Two details differ from the paper (Szegedy et al. 2016) and belong to the metric: mean pooling leaves the padding out, and
    the last block pools by maximum. Keys are those of `pt_inception-2015-12-05-6726825d.pth`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _mixed_5(192, 32), _mixed_5(256, 64), _mixed_5(288, 64)
        self.Mixed_6a = _mixed_6a(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_mixed_6(width) for width in (128, 160, 160, 192))
        self.Mixed_7a = _mixed_7a()
        self.Mixed_7b, self.Mixed_7c = _mixed_7(1280, _mean_pool), _mixed_7(2048, _max_pool)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048) of images (N, 3, 299, 299) in [-1, 1]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x.mean((2, 3))


# ------------------------------------------------------------------------------------------------ 3D ResNet


class Bottleneck3D(nn.Module):
    """Residual block of three convolutions; `downsample` (shortcut B) where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(inputs, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, width * 4, 1, bias=False), nn.BatchNorm3d(width * 4)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != width * 4:
            self.downsample = nn.Sequential(
                nn.Conv3d(inputs, width * 4, 1, stride, bias=False), nn.BatchNorm3d(width * 4)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet3D50(nn.Module):
    """3D ResNet-50 (Hara, Kataoka & Satoh 2018) without its classifier; keys are those of `resnet-50-kinetics.pth`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inputs = 64
        for index, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
            blocks = []
            for block in range(count):
                blocks.append(Bottleneck3D(inputs, width, 2 if index and not block else 1))
                inputs = width * 4
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048) of clips (N, 3, 16, 112, 112)."""
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for index in range(1, 5):
            x = self.get_submodule(f"layer{index}")(x)
        return x.mean((2, 3, 4))


# ------------------------------------------------------------------------------------------------ networks from elsewhere


class I3D(nn.Module):
    """The logits of StyleGAN-V's TorchScript of I3D (Carreira & Zisserman 2017), which resizes and scales nothing here."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 400), mean over time, of clips (N, 3, 16, 224, 224) in [-1, 1]."""
        return self.script(x, rescale=False, resize=False, return_features=True)


class CLIPImage(nn.Module):
    """Image embeddings of a CLIP model (Radford et al. 2021)."""

    def __init__(self, config: Mapping[str, Any] = CLIP_VIT_B32) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        super().__init__()
        self.model = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (N, 512) of images (N, 3, 224, 224), see `for_clip`."""
        return self.model(x).image_embeds


# ------------------------------------------------------------------------------------------------ what the networks are fed


def unit_range(frames: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) as float32 (N, 3, H, W) in [0, 1], as `ToTensor` gives it."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def signed_range(frames: np.ndarray) -> Tensor:
    """The same in [-1, 1]."""
    return unit_range(frames) * 2 - 1


def bicubic(frames: np.ndarray, side: int) -> np.ndarray:
    """Pillow's antialiased bicubic resize in floats, clipped to [0, 255]: float32 (N, side, side, 3).

    clean-FID's (Parmar, Zhang & Zhu 2022) and what DisCo's video metrics use; the aspect ratio is not kept.
    """
    resized = np.empty((len(frames), side, side, 3), np.float32)
    for target, frame in zip(resized, frames):
        for channel in range(3):
            plane = Image.fromarray(frame[..., channel].astype(np.float32))
            target[..., channel] = np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC))
    return resized.clip(0, 255)


def for_fid(frames: np.ndarray) -> Tensor:
    """pytorch-fid's input: bilinear to 299 without antialiasing, [-1, 1]."""
    return F.interpolate(unit_range(frames), (299, 299), mode="bilinear", align_corners=False) * 2 - 1


def for_clean_fid(frames: np.ndarray) -> Tensor:
    """clean-FID's input: antialiased bicubic to 299, (x - 128) / 128 as in TensorFlow's graph."""
    return (torch.from_numpy(bicubic(frames, 299)).permute(0, 3, 1, 2) - 128) / 128


def for_resnet3d(frames: np.ndarray) -> np.ndarray:
    """FID-VID's frames: antialiased bicubic to 112, minus the mean of Kinetics, float32 (N, 112, 112, 3)."""
    return bicubic(frames, 112) - np.array(KINETICS_MEAN, np.float32)


def for_i3d(frames: np.ndarray) -> np.ndarray:
    """FVD's frames: antialiased bicubic to 224, [-1, 1], float32 (N, 224, 224, 3)."""
    return bicubic(frames, 224) / 127.5 - 1


def for_clip(frames: np.ndarray) -> Tensor:
    """CLIP's input: shorter side to 224 (Pillow's bicubic on bytes), centre crop, its mean and deviation."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    height, width = frames.shape[1:3]
    size = (224, 224 * width // height) if height <= width else (224 * height // width, 224)
    top, left = (size[0] - 224) // 2, (size[1] - 224) // 2
    cropped = np.stack([
        np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BICUBIC))[top : top + 224, left : left + 224]
        for frame in frames
    ])  # fmt: skip
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (unit_range(cropped) - mean) / std
