"""Animator: the networks of one recipe, wired; what they read, and what of it is computed once per clip."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from einops import rearrange
from torch import Tensor, nn

from bunraku.cues.drawn import VIEWS
from bunraku.nets.attention import Look, Tokens
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pixels import unit_clips, unit_pixels
from bunraku.nets.ports import Ports
from bunraku.perception.pose import PoseTrack
from bunraku.sampling.denoise import frames_at

MOST_PICTURES = 5
"""Of one reference."""


@dataclass(frozen=True)
class Reads:
    """Names of what an animator reads.

    Attributes:
        stills: one picture per clip; "reference" is the character.
        frames: one picture per driven frame, keys of `cues.drawn.DRAWN`.
        latents: those of them that it wants through the autoencoder.
    """

    stills: tuple[str, ...] = ("reference",)
    frames: tuple[str, ...] = ("pose",)
    latents: tuple[str, ...] = ("reference",)


REFERENCE_AND_POSE = Reads()
"""The least that any recipe reads."""


@dataclass(frozen=True)
class Inputs:
    """What a batch of clips offers the networks, uint8; the same object in training and in inference.

    Attributes:
        stills: by name, (B, H, W, C); `VIEWS`, which every recipe may be given, and what is drawn of them, (B, V, H, W, C).
        frames: by name, (B, F, H, W, C).
        dropped: by name, bool (B,): samples that go without that condition (training); no entry: none.
    """

    stills: Mapping[str, Tensor]
    frames: Mapping[str, Tensor]
    dropped: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Inputs":
        return Inputs(
            *({name: t.to(device) for name, t in part.items()} for part in (self.stills, self.frames, self.dropped))
        )

    def still_pixels(self, name: str, dtype: torch.dtype) -> Tensor:
        """(B, C, H, W) in [0, 1]; a condition that a sample goes without is black."""
        return self.kept(name, unit_pixels(self.stills[name])).to(dtype)

    def picture_pixels(self, name: str, further: str, count: int, dtype: torch.dtype) -> Tensor:
        """What a still (B, H, W, C) and its further ones (B, V, H, W, C) show, (B, C, count, H, W) in [0, 1]; black where there is none."""
        like = self.stills["reference"]
        black = torch.zeros(like.shape[0], count, *like.shape[1:3], 3, dtype=torch.uint8, device=like.device)
        if name in self.stills:
            black[:, 0] = self.stills[name]
        if further in self.stills:
            black[:, 1:] = self.stills[further]
        return self.kept(name, unit_clips(black)).to(dtype)

    def frame_pixels(self, name: str, dtype: torch.dtype) -> Tensor:
        """(B, C, F, H, W) in [0, 1]; a condition that a sample goes without is black."""
        return self.kept(name, unit_clips(self.frames[name])).to(dtype)

    def kept(self, name: str, values: Tensor) -> Tensor:
        """Values (B, ...) that come from the condition `name`; zero for samples that go without it."""
        if name not in self.dropped:
            return values
        kept = ~self.dropped[name]
        return values * kept.view(-1, *[1] * (values.ndim - 1)).to(values)


@dataclass(frozen=True)
class Encoded:
    """A clip's conditions as the networks see them; computed once per clip.

    Attributes:
        stills: tensors of B rows, by names that the animator chooses.
        frames: maps (B, C, F, h, w), or what makes those of a window; those of a long clip may lie in main memory.
    """

    stills: Mapping[str, Tensor]
    frames: Mapping[str, Tensor | Callable[[Sequence[int]], Tensor]]
    _known: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def at(self, name: str, window: Sequence[int], like: Tensor) -> Tensor:
        """Maps of a window's frames, on the device of `like`."""
        maps = self.frames[name]
        return (frames_at(maps, window) if isinstance(maps, Tensor) else maps(window)).to(like.device)

    def once(self, name: str, make: Callable[[], Any], timestep: Any = None) -> Any:
        """What `make` gives, made once for a timestep (None: once for the clip); only the newest is kept.

        Timesteps are told apart as objects: the loop hands every window of a step the same one.
        """
        if name not in self._known or self._known[name][0] is not timestep:
            self._known[name] = timestep, make()
        return self._known[name][1]

    def rows(self, chosen: Tensor) -> "Encoded":
        """The samples `chosen` (indices) of a batch, whose maps are all there."""
        stills = {name: tensor[chosen] for name, tensor in self.stills.items()}
        return Encoded(stills, {name: maps[chosen] for name, maps in self.frames.items() if isinstance(maps, Tensor)})


@dataclass(frozen=True)
class NoOptions:
    """Options of a recipe without any."""


class Animator(nn.Module, ABC):
    """Base of every recipe's wiring. A subclass takes its parts as named arguments and keeps them under these names, which are keys
    of `recipes.parts.PARTS`; beside them it takes `options`.

    Attributes:
        Options: dataclass of the recipe's own switches.
        idle: patterns (fnmatch) of parameter names that never learn: nothing depends on them.
        people: how many characters of a picture it moves.
        added: parts that change nothing at their start values, so that training may start from a model without them.
        strengths: conditions whose effect can be made weaker or stronger (`weighted`).
        halo: frames on either side of a piece of a clip that `encode_frames` has to see to encode it as it is within the clip.
        trusted: name of the frames whose own pixels the picture may show, as far as the prediction's trust says; None: there are none.
    """

    Options: ClassVar[type] = NoOptions
    idle: ClassVar[tuple[str, ...]] = ()
    added: ClassVar[tuple[str, ...]] = ()
    people: ClassVar[int] = 1
    strengths: ClassVar[tuple[str, ...]] = ("pose", "reference")
    halo: ClassVar[int] = 0
    trusted: ClassVar[str | None] = None
    denoiser: Denoiser
    options: Any

    @property
    @abstractmethod
    def reads(self) -> Reads:
        """What it reads."""

    def refine(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        """The poses that it follows, of driving poses (F, P, K) on the characters, whose own are (1, P, K) in the still: here they themselves."""
        return driving

    @abstractmethod
    def encode_stills(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the stills are to the networks.

        Args:
            latents: of the stills in `reads.latents`, (B, C, h, w), and of `VIEWS` (B, V, C, h, w), where there are any.
        """

    @abstractmethod
    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What some frames are to the networks: maps (B, C, F, h, w). A long clip comes in pieces, each with its `halo`.

        Args:
            latents: of the frames in `reads.latents`, (B, C, F, h, w).
        """

    @abstractmethod
    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        """The denoiser's ports for a window of frames at one step.

        Args:
            noisy: noisy latents of the whole clip (B, C, F, h, w).
            timestep: one, (B,), or one per frame (B, F).
            shown: False: what the unconditional half of guidance sees.
        """

    def weighted(self, ports: Ports, factors: Mapping[str, float]) -> Ports:
        """The ports with the effects of some conditions multiplied: "pose" is all that guides beside the reference.

        Args:
            factors: by names of `strengths`; what is not named stays as it is.
        """
        pose, reference = factors.get("pose", 1.0), factors.get("reference", 1.0)
        guiding = {name: maps * pose for name in ("noise", "add") if (maps := getattr(ports, name)) is not None}
        residuals = tuple(maps * pose for maps in ports.residuals)
        return replace(ports, **guiding, residuals=residuals, reference_weight=reference)

    def figure_kept(self, factors: Mapping[str, float]) -> float:
        """How much, in [0, 1], of the figure that the `trusted` frames show stays in the picture, pixel by pixel; arguments as of `weighted`."""
        return 0.0

    def reference_tokens(
        self, pictures: Tensor, token: Tensor, timestep: Tensor | int, add: Tensor | None = None
    ) -> dict[str, Tokens]:
        """Keys and values of the reference for the denoiser: those of all its pictures side by side.

        Args:
            pictures: clean latents (B, R, C, h, w), see `pictures_of`.
            token: context of the cross-attention (B, N, D), of every picture.
            timestep: what ReferenceNet is told, one or (B,).
            add: guider maps of the pictures' own poses (B, R, C0, h, w).
        """
        count, net = pictures.shape[1], self.parts()["reference_net"]
        told = timestep.repeat_interleave(count) if torch.is_tensor(timestep) and timestep.ndim == 1 else timestep
        read = net(
            pictures.flatten(0, 1),
            token.repeat_interleave(count, 0),
            told,
            add=None if add is None else add.flatten(0, 1),
        )
        return {
            name: (_beside(key, count), _beside(value, count))
            for name, (key, value) in self.denoiser.project_reference(read).items()
        }

    def predict(self, noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        """What the scheduler is told of a window of frames.

        Args:
            noisy: noisy latents (B, C, F, h, w).
            timestep: one, (B,), or one per frame (B, F).

        Returns:
            prediction (B, C, F, h, w); of an animator with `trusted` frames one more channel, the trust in [0, 1].
        """
        return self.denoiser(noisy, timestep, ports)

    def answers(self, noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        """What training judges: the channels of `predict`, and behind them C channels for each picture that the prediction is mixed from and
        that is to be right by itself."""
        return self.predict(noisy, timestep, ports)

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.denoiser.dtype  # type: ignore[return-value]

    def parts(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return dict(self.named_children())

    def forward(
        self,
        noisy: Tensor,
        timestep: Tensor,
        inputs: Inputs,
        latents: Mapping[str, Tensor],
        shown: Tensor,
        watched: bool = False,
    ) -> Any:
        """Everything at once, for training.

        Args:
            noisy: noisy latents (B, C, F, h, w).
            timestep: (B,), or one per frame (B, F).
            latents: of the stills and frames in `reads.latents`, as of `encode_stills` and `encode_frames`.
            shown: bool (B,): samples that see the conditions; the others learn what the unconditional half of guidance predicts.
            watched: also say how the samples that see the reference look at it.

        Returns:
            predictions as of `answers`; where it is watched, with the looks by block, whose rows are the frames of the shown samples.
        """
        stills = {name: value for name, value in latents.items() if name in inputs.stills}
        frames = {name: value for name, value in latents.items() if name in inputs.frames}
        encoded = Encoded(self.encode_stills(inputs, stills), self.encode_frames(inputs, frames))
        groups = [(flag, torch.nonzero(shown == flag).flatten()) for flag in (True, False)]
        predicted, order = [], []
        looks: dict[str, Look] = {}
        for flag, chosen in groups:
            if len(chosen):
                part, level = noisy[chosen], timestep[chosen]
                ports = self.ports(encoded.rows(chosen), range(part.shape[2]), part, level, flag)
                ports = replace(ports, looks=looks if watched and flag else None)
                predicted.append(self.answers(part, level, ports))
                order.append(chosen)
        predictions = torch.cat(predicted)[torch.cat(order).argsort()]
        return (predictions, looks) if watched else predictions

    @staticmethod
    def pictures_of(latents: Mapping[str, Tensor]) -> Tensor:
        """The reference's latents and those of its further views, (B, R, C, h, w)."""
        first = latents["reference"][:, None]
        return torch.cat([first, latents[VIEWS]], 1) if VIEWS in latents else first

    def inherit(self, name: str, source: nn.Module) -> bool:
        """Start the part `name` from the part of a start model that has that name and is of another class; whether that was possible."""
        return False

    def begin(self) -> None:
        """Once the parts have the weights of a start model: change what must not start as it was there."""

    @classmethod
    def assemble(cls, parts: Mapping[str, nn.Module], options: Mapping[str, Any]) -> Self:
        """The animator of these parts; options by name."""
        return cls(**parts, options=cls.Options(**options))


def _beside(tokens: Tensor, count: int) -> Tensor:
    """(B * count, heads, N, d) -> (B, heads, count * N, d)."""
    return rearrange(tokens, "(b r) h n d -> b h (r n) d", r=count)
