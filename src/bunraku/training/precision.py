"""What networks compute in while they learn, chosen from the machine."""

import torch

MIXED = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
"""accelerate's names."""


def mixed_precision(wanted: str) -> str:
    """accelerate's `mixed_precision` for a setting of `TrainingConfig`.

    "auto" is bf16 where a GPU computes in it, fp16 on older GPUs, and float32 on CPUs: of those without bf16 instructions one is 6 to 56
    times slower in bf16, and those with them gain nothing at the sizes that CPUs train.
    """
    if wanted != "auto":
        return MIXED[wanted]
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
