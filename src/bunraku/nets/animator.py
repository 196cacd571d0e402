"""The networks of one recipe together: from conditions to the denoiser's ports, the same way in training and inference."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from bunraku.nets.attention import Tokens
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import GuidanceEncoder, LiteralPoseGuider, PoseGuider, add_guided
from bunraku.nets.reference_net import ReferenceNet

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Animator(nn.Module):
    """Denoiser, ReferenceNet, pose guider and image encoder, wired as in Animate Anyone's figure 2, or TCAN's figure 2 where the
    pose comes in through a ControlNet.

    Args:
        reference_pose: also guide the ReferenceNet, by the reference's own skeleton through the same pose guider.
        reference_timestep: what ReferenceNet is told in training: "zero" (Animate Anyone), or "every": the denoiser's (TCAN).
    """

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseGuider | LiteralPoseGuider | GuidanceEncoder | ControlNet,
        image_encoder: Any,
        reference_pose: bool = False,
        reference_timestep: Literal["zero", "every"] = "zero",
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.reference_net = reference_net
        self.pose_guider: Any = pose_guider
        self.image_encoder = image_encoder
        self.reference_pose = reference_pose
        self.reference_timestep = reference_timestep

    def image_token(self, pixels: Tensor) -> Tensor:
        """CLIP pixels (B, 3, S, S) -> the projected embedding as one token (B, 1, D), or the prompt's tokens (B, N, D)."""
        if isinstance(self.image_encoder, ConstantToken):
            return self.image_encoder(pixels)
        # transformers opens what is stored in half precision in half precision, diffusers does not
        return self.image_encoder(pixels.to(self.image_encoder.dtype)).image_embeds[:, None].to(pixels.dtype)

    def unconditional_token(self, batch: int) -> Tensor:
        """What the unconditional half sees: a zero token (B, 1, D); an empty prompt stays what it is (TCAN, MagicAnimate)."""
        if isinstance(self.image_encoder, ConstantToken):
            return self.image_encoder.tokens.expand(batch, -1, -1)
        width: int = self.denoiser.config.cross_attention_dim  # type: ignore[union-attr, assignment]
        return self.denoiser.conv_in.weight.new_zeros(batch, 1, width)

    def guide(self, poses: Tensor) -> Tensor:
        """Drawn skeletons (B, 3, F, H, W) in [0, 1] -> guider maps, or ControlNet's embedding of them, (B, C, F, H/8, W/8)."""
        return self.pose_guider.embed(poses) if self.controlled else self.pose_guider(poses)

    @property
    def controlled(self) -> bool:
        """Whether the pose comes in through a ControlNet."""
        return isinstance(self.pose_guider, ControlNet)

    def control(self, latents: Tensor, timestep: Tensor, token: Tensor, guided: Tensor) -> list[Tensor]:
        """ControlNet's maps for the denoiser's skips, (B * F, C, h, w) each, from what `guide` gave."""
        return self.pose_guider(latents, timestep, token, guided)

    def reference(
        self, latents: Tensor, token: Tensor, pose: Tensor | None = None, timestep: Tensor | int = 0
    ) -> dict[str, Tokens]:
        """Clean reference latents (B, C, h, w) and the drawn pose (B, 3, H, W) -> keys and values for the denoiser.

        Args:
            timestep: what ReferenceNet is told: 0 (Animate Anyone), or the denoiser's own (MagicAnimate, TCAN).
        """
        guided = None if pose is None or not self.reference_pose else self.guide(pose[:, :, None])[:, :, 0]
        latents, add = add_guided(latents, guided)
        return self.denoiser.project_reference(self.reference_net(latents, token, timestep, add=add))

    def denoise(
        self,
        latents: Tensor,
        timestep: Tensor,
        token: Tensor,
        guided: Tensor,
        reference: Mapping[str, Tokens] | None,
        *,
        residuals: Sequence[Tensor] | None = None,
        temperature: Tensor | None = None,
    ) -> Tensor:
        """One call of the denoiser with the pose where it belongs.

        Args:
            residuals: from `control`, where they are known already.
            temperature: (B, 1, h, w), see `Denoiser`.
        """
        if self.controlled:
            add = None
            residuals = self.control(latents, timestep, token, guided) if residuals is None else residuals
        else:
            latents, add = add_guided(latents, guided)
        return self.denoiser(
            latents, timestep, token, add=add, reference=reference, residuals=residuals or (), temperature=temperature
        )

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        poses: Tensor,
        reference_latents: Tensor,
        clip_pixels: Tensor,
        reference_pose: Tensor | None = None,
        unconditional: bool = False,
    ) -> Tensor:
        """Everything at once, for training: predictions (B, C, F, h, w) for noisy `latents`; the shapes are as above.

        Args:
            unconditional: as the unconditional half of guidance sees it: no reference, no image token, but the pose.
        """
        guided = self.guide(poses)
        if unconditional:
            return self.denoise(latents, timestep, self.unconditional_token(len(latents)), guided, None)
        token = self.image_token(clip_pixels)
        told = timestep if self.reference_timestep == "every" else 0
        keys = self.reference(reference_latents, token, reference_pose, told)
        return self.denoise(latents, timestep, token, guided, keys)


def clip_pixels(images: np.ndarray, size: int) -> Tensor:
    """uint8 images (B, H, W, 3) -> CLIP's normalised pixels, float32 (B, 3, size, size); bicubic, aspect ratio not kept."""
    resized = np.stack([np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BICUBIC)) for i in images])
    pixels = (resized.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_DEVIATION
    return rearrange(torch.from_numpy(pixels.astype(np.float32)), "b h w c -> b c h w").contiguous()


def unit_pixels(images: np.ndarray | Tensor) -> Tensor:
    """uint8 (..., H, W, 3) -> float32 (..., 3, H, W) in [0, 1], contiguous."""
    tensor = torch.as_tensor(images)
    return tensor.movedim(-1, -3).float().div_(255).contiguous()
