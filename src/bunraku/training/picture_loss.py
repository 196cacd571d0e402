"""The error of predicted frames as they are shown, and how much each sample counts."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from bunraku.data.samples import Sample
from bunraku.nets.pixels import unit_clips, with_detail
from bunraku.training.config import TrainingConfig


class PictureLoss:
    """Mean error of some of the predicted frames as they are shown, in [-1, 1], with the detail that they trust.

    Args:
        config: its `huber`, `pictured` and `relative`.
        vae: the frozen autoencoder.
        trusted: name of the frames that the model trusts, if it trusts any.
        autocast: in what the autoencoder computes.
    """

    def __init__(
        self,
        config: TrainingConfig,
        vae: Any,
        trusted: str | None,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.config, self.vae, self.trusted, self.autocast = config, vae, trusted, autocast

    def __call__(self, output: Tensor, batch: Sample[Tensor], share: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of a micro-batch. A squared error makes whatever is doubtful half transparent.

        Args:
            output: prediction and trust, as of `Animator.predict`.
            share: (B,), how much each sample counts, see `shares`.
        """
        channels = self.vae.config.latent_channels
        scale, every = self.vae.config.scaling_factor, output.shape[0] * output.shape[2]
        chosen = torch.randperm(every, generator=generator)[: self.config.pictured].to(output.device)

        def rows(clips: Tensor) -> Tensor:
            return clips.transpose(1, 2).flatten(0, 1)[chosen]

        def pixels(clips: Tensor) -> Tensor:
            return rows(unit_clips(clips[..., :3])) * 2 - 1

        with self.autocast():
            made = self.vae.decode(rows(output[:, :channels]) / scale).sample
        if self.trusted is not None and self.trusted in batch.driven:
            full = pixels(batch.driven[self.trusted])
            with torch.no_grad(), self.autocast():
                plain = self.vae.decode(self.vae.encode(full).latent_dist.mode()).sample
            made = with_detail(made.float(), rows(output[:, channels:]), full, plain.float())
        counts = share.repeat_interleave(output.shape[2])[chosen]
        return (self.error(made - pixels(batch.frames)).mean((1, 2, 3)) * counts).mean()

    def error(self, apart: Tensor) -> Tensor:
        """What differences of pixels count, see `TrainingConfig.huber`."""
        size, soft = apart.abs(), self.config.huber
        return torch.where(size < soft, size.square() / (2 * soft), size - soft / 2) if soft else size

    def shares(self, batch: Sample[Tensor], dropped: Mapping[str, Tensor], error: Callable[[Tensor], Tensor]) -> Tensor:
        """How much each sample's losses count (B,), see `TrainingConfig.relative`; who goes without the trusted frames begins with grey.

        Args:
            error: what the loss sums of differences.
        """
        relative, device = self.config.relative, batch.frames.device
        if not relative:
            return torch.ones(len(batch.frames), device=device)
        truth, before = batch.frames / 127.5 - 1, torch.zeros(batch.frames.shape, device=device)
        if self.trusted is not None and self.trusted in batch.driven:
            before = batch.driven[self.trusted][..., :3] / 127.5 - 1
            if self.trusted in dropped:
                before = before * ~dropped[self.trusted].view(-1, 1, 1, 1, 1)
        least = error(torch.tensor(relative**0.5, device=device))
        return 1 / (least + error(before - truth).mean((1, 2, 3, 4)))
