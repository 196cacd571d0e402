"""ConstantToken: the same cross-attention tokens for every picture, where a recipe has a text prompt and no image token."""

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


class ConstantToken(ModelMixin, ConfigMixin):
    """Takes the place of the image encoder in models of the text-to-image kind (MagicAnimate, TCAN), whose prompt is always empty.

    The embedding of "" is computed once, when weights are converted, instead of carrying a text encoder along.

    Config:
        length, width: of the tokens; CLIP ViT-L/14's text has 77 tokens of 768.
        image_size: pictures are not looked at; this is the size they are brought to for it.
    """

    tokens: nn.Parameter

    @register_to_config
    def __init__(self, length: int = 77, width: int = 768, image_size: int = 1) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(length, width), requires_grad=False)

    def forward(self, pixels: Tensor) -> Any:
        """Any pictures (B, ...) -> tokens (B, length, width)."""
        return self.tokens.expand(len(pixels), -1, -1)
