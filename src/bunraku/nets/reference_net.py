"""ReferenceNet: a UNet without time or output, read for its tokens."""

from collections.abc import Sequence

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from bunraku.nets.blocks import Conditions, ReferenceTail
from bunraku.nets.ports import Ports
from bunraku.nets.unet import Trunk, UNet


class ReferenceNet(UNet, ModelMixin, ConfigMixin):
    """Animate Anyone's ReferenceNet: the denoising UNet without motion modules, run once per clip on the clean reference.

    What lies behind the last norm that is read (end of the last transformer block, output head) does not exist.

    Config beyond `Trunk`'s:
        reference_blocks: "full" (every transformer block; Animate Anyone) or "midup" (middle and up; TCAN, Animate Anyone 2).
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        attention_levels: Sequence[bool] | None = None,
        num_attention_heads: int | Sequence[int] = 8,
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        spatial_positions: float = 0.0,
        reference_blocks: str = "full",
    ) -> None:
        trunk = Trunk(
            block_out_channels, layers_per_block, attention_levels, num_attention_heads, cross_attention_dim,
            norm_num_groups, spatial_positions,
        )  # fmt: skip
        super().__init__(in_channels, trunk)
        self.read_blocks = self.reference_block_names(reference_blocks)
        self.up_blocks[-1].attentions[-1] = ReferenceTail(block_out_channels[0], norm_num_groups)

    def forward(
        self, latents: Tensor, image_token: Tensor, timestep: Tensor | int = 0, add: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Tokens of a reference image.

        Args:
            latents: clean latents (B, C, h, w).
            image_token: (B, N, D).
            timestep: 0 (Animate Anyone), or the denoiser's own (TCAN).
            add: guider maps of the reference's own pose (B, C0, h, w), added after conv_in.

        Returns:
            {transformer block: tokens (B, h, w, C)}, outputs of the block's first norm.
        """
        hidden = self.conv_in(latents)
        if add is not None:
            hidden = hidden + add
        conditions = Conditions(self.embed_time(timestep, latents), Ports(image_token))
        tokens: dict[str, Tensor] = {}
        self.ascend(self.descend(hidden, conditions, tokens), conditions, tokens)
        return {name: tokens[name] for name in self.read_blocks}
