"""The recorded numbers and tiny random weights of the public Animate Anyone code."""

from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


def moore_files(folder: Path, suffix: str) -> Path:
    """Moore's layout: four files, and the folders of the autoencoder and the image encoder."""
    folder.mkdir()
    for name in ("denoising_unet", "reference_unet", "motion_module", "pose_guider"):
        state = torch.load(GOLDEN / "weights" / f"{name}.pth", weights_only=True)
        (save_file if suffix == ".safetensors" else torch.save)(state, folder / f"{name}{suffix}")
    for name in ("denoising_unet", "reference_unet"):  # heads and groups are not those of SD1.5
        (folder / f"{name}.json").write_bytes((GOLDEN / "config" / f"{name}.json").read_bytes())
    for name in ("vae", "image_encoder"):
        (folder / name).mkdir()
        for path in (GOLDEN / "weights" / name).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())
    return folder
