"""Identity binding: a loss that makes the target's tokens of one person look at the reference's tokens of that person."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional as F

from bunraku.cues.drawn import REFERENCE, VIEWS
from bunraku.nets.attention import Look
from bunraku.recipes import Reads

INSTANCES = "instances"
REFERENCE_INSTANCES, VIEWS_INSTANCES = f"{REFERENCE}_{INSTANCES}", f"{VIEWS}_{INSTANCES}"
WEIGHT = 0.05
NOISIEST = 0.4
COVERED = 0.7


def bound(reads: Reads) -> Reads:
    """What a recipe reads, and beside it who is where, which the loss needs."""
    return replace(reads, stills=(*reads.stills, REFERENCE_INSTANCES), frames=(*reads.frames, INSTANCES))


def binding_loss(
    looks: Mapping[str, Look], targets: Tensor, references: Tensor, timesteps: Tensor, count: int
) -> Tensor:
    """`identity_binding_loss` of all blocks whose looks were taken down, on average; 0 where there are none.

    Args:
        looks: by block, of B * F rows.
        targets: integer (B, F, H, W), 0 nobody, p + 1 person p; references: (B, R, H, W), the same of the R pictures of the reference.
        timesteps: (B,), or one per frame (B, F).
        count: number of training timesteps.
    """
    people, frames = int(max(targets.max(), references.max())), targets.shape[1]
    if not looks or not people or not len(targets):
        return torch.zeros((), device=targets.device)
    times = timesteps if timesteps.ndim == 2 else repeat(timesteps, "b -> b f", f=frames)
    losses = []
    for logits, grid in looks.values():
        seen = token_coverage(targets.flatten(0, 1), people, grid)
        known = token_coverage(references.flatten(0, 1), people, grid)
        known = rearrange(known, "(b r) n p -> b (r n) p", b=len(references))
        known = repeat(known, "b m p -> (b f) m p", f=frames)
        losses.append(identity_binding_loss(logits, seen, known, times.flatten(), count))
    return torch.stack(losses).mean()


def token_coverage(instances: Tensor, people: int, size: tuple[int, int]) -> Tensor:
    """Which share of each token's area each person takes.

    Args:
        instances: integer (N, H, W), 0 nobody, p + 1 person p.
        people: P.
        size: (h, w) of the tokens' grid.

    Returns:
        float32 (N, h w, P) in [0, 1].

    >>> token_coverage(torch.tensor([[[1, 1, 2, 0]]]), 2, (1, 2)).tolist()
    [[[1.0, 0.0], [0.0, 0.5]]]
    """
    persons = torch.arange(1, people + 1, device=instances.device)[:, None, None]
    return F.adaptive_avg_pool2d((instances[:, None] == persons).float(), size).flatten(2).transpose(1, 2)


def identity_binding_loss(
    logits: Tensor,
    targets: Tensor,
    references: Tensor,
    timesteps: Tensor,
    count: int,
    *,
    noisiest: float = NOISIEST,
    covered: float = COVERED,
) -> Tensor:
    """How far the bound tokens are from looking only at their own person, as a cross-entropy.

        L = - mean over bound tokens n of log mean over heads of sum over m in R(p(n)) of softmax(logits)_nm

    p(n) is the person who covers at least `covered` of target token n, R(p) are the reference tokens that p covers as much of. A token is bound
    if there are both, and its timestep is among the noisiest: there the layout is decided, later it is too late.

    Args:
        logits: (B, heads, N, M), of target tokens to all reference tokens, background included; logarithms of probabilities are logits too.
        targets: (B, N, P), from `token_coverage`.
        references: (B, M, P), likewise.
        timesteps: integer (B,).
        count: number of training timesteps.
        noisiest: share of the timesteps at which tokens are bound.
        covered: least share of a token.

    Returns:
        float32 scalar, to be weighted with `WEIGHT`; 0 where no token is bound.

    Source: WeLike2Party (2026), the identity binding loss; that it is a cross-entropy over the reference tokens with the mean over heads inside of
    the logarithm is a choice.

    >>> logits = torch.log(torch.tensor([[[[0.25, 0.75]]]]))
    >>> both = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # two reference tokens, one of each person
    >>> float(identity_binding_loss(logits, torch.tensor([[[1.0, 0.0]]]), both, torch.tensor([900]), 1000).exp())  # 1 / 0.25
    4.0
    """
    share, person = targets.max(-1)  # B N
    own = (references >= covered).transpose(1, 2)  # B P M
    looked_for = torch.take_along_dim(own, person[..., None], dim=1)  # B N M
    noisy = timesteps >= (1 - noisiest) * count
    bound = (share >= covered) & looked_for.any(-1) & noisy[:, None]
    # a token that is not bound looks for everything and loses nothing
    looked_for = looked_for | ~bound[..., None]
    log_shares = logits.float().log_softmax(-1)
    per_head = log_shares.masked_fill(~looked_for[:, None], -math.inf).logsumexp(-1)  # B heads N
    log_mass = per_head.logsumexp(1) - math.log(logits.shape[1])
    return -(log_mass * bound).sum() / bound.sum().clamp_min(1)
