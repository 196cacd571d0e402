"""Low-rank adaptation of a denoiser's spatial attention: TCAN's APPA (appearance-pose adaptation)."""

from collections.abc import Sequence
from typing import Any

LAYERS = ("attn1", "attn2")


def add_lora(denoiser: Any, rank: int = 16, alpha: int = 16, layers: Sequence[str] = LAYERS) -> None:
    """Give the query, key and value projections of the spatial attentions low-rank companions, in place.

    Q = (Wq + Bq Aq) z,  K = (Wk + Bk Ak)(z || za),  V = (Wv + Bv Av)(z || za)   (Eq. 2)

    z are the denoiser's tokens and za the reference's, which pass the same adapted projections. A starts Gaussian and B zero, so
    that nothing changes at first. The layers themselves are peft's; the names of the frozen weights get `.base_layer`.

    Args:
        rank: r of the paper, 16.
        alpha: B A is multiplied by alpha / rank.
        layers: "attn1" (self- and reference attention), "attn2" (cross-attention), or both, as TCAN's code has it.

    Raises:
        ValueError: other layers.

    Source: TCAN (Kim et al., ECCV 2024), section 3.1; LoRA (Hu et al., ICLR 2022).
    """
    from peft import LoraConfig

    if not layers or not set(layers) <= set(LAYERS):
        raise ValueError(f"LoRA is for {' and '.join(LAYERS)}, not {', '.join(layers) or 'nothing'}")
    # the whole name: the motion modules' attentions are called alike
    names = rf".*\.attentions\.\d+\.transformer_blocks\.\d+\.({'|'.join(layers)})\.to_[qkv]"
    denoiser.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=names))


def merge_lora(denoiser: Any) -> None:
    """W <- W + (alpha / r) B A, in place; parameter names are the plain ones again."""
    denoiser.fuse_lora(safe_fusing=True)
    denoiser.unload_lora()
