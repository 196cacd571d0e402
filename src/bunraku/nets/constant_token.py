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
    """

    tokens: nn.Parameter

    @register_to_config
    def __init__(self, length: int = 77, width: int = 768) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(length, width), requires_grad=False)

    def forward(self, rows: Tensor) -> Any:
        """Any tensor of B rows -> tokens (B, length, width)."""
        return self.tokens.expand(len(rows), -1, -1)
