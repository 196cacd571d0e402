"""Animate Anyone 2's depth-wise pose modulation: a pose guider that also knows which limb is in front."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from bunraku.nets.attention import Attention, attend, sinusoid_2d
from bunraku.nets.pose_guider import PoseGuider


class PoseModulation(ModelMixin, ConfigMixin):
    """Two pose-guider encoders, cross-attention from skeleton to structured depth, a convolution over time, a zero convolution.

        s, d = encode_skeleton(skeleton), encode_depth(depth)
        s = s + CrossAttention(q = s, k, v = pooled d)        frame by frame
        s = s + Conv3D(s)
        out = ZeroConv(s)

    The paper names these parts and their order. Choices: skeleton asks and depth answers; residuals, whose last layers start from zero;
    depth tokens pooled (at the latent's resolution they cost h^2 w^2); sinusoidal positions on queries and keys, so that a limb finds its
    depth; the first and last frame repeated before the convolution over time, so that a still clip stays still.

    Config:
        in_channels: of each drawing.
        out_channels: width of the denoiser's conv_in, and of everything behind the encoders.
        block_out_channels, unshuffle, norm: of both encoders, see `PoseGuider`.
        num_attention_heads: of the cross-attention.
        depth_pool: this many cells a side become one depth token.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Depth-wise pose modulation" and its figure.
    """

    onto: ClassVar[Literal["features", "noise"]] = "features"

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 320,
        block_out_channels: Sequence[int] = (16, 32, 96, 256),
        num_attention_heads: int = 8,
        depth_pool: int = 2,
        unshuffle: int = 1,
        norm: bool = False,
    ) -> None:
        super().__init__()

        def encoder() -> PoseGuider:
            guider = PoseGuider(in_channels, out_channels, block_out_channels, unshuffle, norm)
            # the one zero convolution comes at the end; two in a row would never learn
            nn.init.kaiming_normal_(guider.conv_out.weight)
            return guider

        self.skeleton = encoder()
        self.depth = encoder()
        self.norm_skeleton = nn.LayerNorm(out_channels)
        self.norm_depth = nn.LayerNorm(out_channels)
        self.attention = Attention(out_channels, num_attention_heads, out_channels)
        self.conv_time = nn.Conv3d(out_channels, out_channels, 3, padding=(0, 1, 1))
        self.conv_out = nn.Conv2d(out_channels, out_channels, 1)
        for zero in (self.attention.to_out[0], self.conv_time, self.conv_out):
            nn.init.zeros_(zero.weight)  # type: ignore[arg-type]
            nn.init.zeros_(zero.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def start_as(self, guider: PoseGuider) -> None:
        """Take over a trained pose guider of the same widths, in place: until depth and time have learnt, the output is the guider's."""
        self.skeleton.load_state_dict(guider.state_dict())
        nn.init.dirac_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, skeleton: Tensor, depth: Tensor | None = None) -> Tensor:
        """Drawn conditions -> what is added to the denoiser's first features.

        A frame depends on its neighbours: a clip that is encoded part by part needs one frame more on either side of a part.

        Args:
            skeleton: (B, 3, F, H, W) in [0, 1].
            depth: structured depth of the same shape, or None; a frame of black depth counts as None.

        Returns:
            (B, out_channels, F, H/8, W/8).
        """
        frames = skeleton.shape[2]
        hidden = self.skeleton(skeleton)
        if depth is not None:
            known = (depth != 0).any(-1).any(-1).any(1).to(hidden)[:, None, :, None, None]
            hidden = hidden + known * self._attended(hidden, self.depth(depth))
        hidden = hidden + self.conv_time(F.pad(hidden, (0, 0, 0, 0, 1, 1), mode="replicate"))
        out = self.conv_out(rearrange(hidden, "b c f h w -> (b f) c h w"))
        return rearrange(out, "(b f) c h w -> b c f h w", f=frames)

    def _attended(self, skeleton: Tensor, depth: Tensor) -> Tensor:
        """What each cell of the skeleton's map learns from the depth of its frame, (B, C, F, h, w) twice -> the same."""
        frames, h, w = skeleton.shape[2:]
        pool = self.config.depth_pool
        places = rearrange(sinusoid_2d(h, w, skeleton.shape[1]), "(h w) c -> 1 c h w", h=h).to(skeleton)
        queries = rearrange(skeleton, "b c f h w -> (b f) (h w) c")
        pooled = F.avg_pool2d(rearrange(depth, "b c f h w -> (b f) c h w"), pool, ceil_mode=True)
        context, coarse = (
            rearrange(t, "b c h w -> b (h w) c") for t in (pooled, F.avg_pool2d(places, pool, ceil_mode=True))
        )
        placed = self.norm_skeleton(queries) + rearrange(places, "1 c h w -> (h w) c")
        key, value = self.attention.project(self.norm_depth(context), coarse[0])
        answer = attend(self.attention.split(self.attention.to_q(placed)), key, value)
        answer = self.attention.to_out[0](rearrange(answer, "b n m d -> b m (n d)"))
        return rearrange(answer, "(b f) (h w) c -> b c f h w", f=frames, h=h)
