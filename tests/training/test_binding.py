"""The identity binding loss against loops in float64, and what it teaches."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.training.binding import COVERED, NOISIEST, WEIGHT, identity_binding_loss, token_coverage


def by_loops(logits, targets, references, timesteps, count, noisiest, covered):
    losses = []
    covered = torch.tensor(covered).item()  # a share of 0.7 in float32 covers 0.7
    for b in range(len(logits)):
        if int(timesteps[b]) < (1 - noisiest) * count:
            continue
        for n in range(logits.shape[2]):
            shares = targets[b, n].tolist()
            person = shares.index(max(shares))
            own = [m for m in range(logits.shape[3]) if references[b, m, person] >= covered]
            if shares[person] < covered or not own:
                continue
            mass = 0.0
            for head in range(logits.shape[1]):
                weights = [math.exp(float(x)) for x in logits[b, head, n]]
                mass += sum(weights[m] for m in own) / sum(weights) / logits.shape[1]
            losses.append(-math.log(mass))
    return sum(losses) / len(losses) if losses else 0.0


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([0.2, 0.4, 1.0]), st.sampled_from([0.5, 0.7, 1.0]))
def test_against_loops(seed, people, noisiest, covered):
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    logits = 6 * rand(3, 2, 5, 7) - 3
    targets, references = (rand(3, n, people).round(decimals=1) for n in (5, 7))
    timesteps = torch.randint(0, 1000, (3,), generator=generator)
    found = identity_binding_loss(logits, targets, references, timesteps, 1000, noisiest=noisiest, covered=covered)
    assert found.item() == pytest.approx(
        by_loops(logits, targets, references, timesteps, 1000, noisiest, covered), rel=2e-5, abs=1e-6
    )
    # probabilities serve as well, through their logarithm
    again = identity_binding_loss(
        logits.softmax(-1).log(), targets, references, timesteps, 1000, noisiest=noisiest, covered=covered
    )
    torch.testing.assert_close(again, found)


def test_published_numbers():
    assert (WEIGHT, NOISIEST, COVERED) == (0.05, 0.4, 0.7)
    logits, one = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1)
    half = torch.tensor([[[1.0], [0.0]]])
    for timestep, loss in ((599, 0), (600, math.log(2)), (999, math.log(2))):
        assert identity_binding_loss(logits, one, half, torch.tensor([timestep]), 1000).item() == pytest.approx(loss)
    for share, loss in ((0.69, 0), (0.7, math.log(2))):
        assert identity_binding_loss(logits, share * one, half, torch.tensor([999]), 1000).item() == pytest.approx(loss)


def test_coverage_is_the_share_of_each_tokens_pixels():
    generator = torch.Generator().manual_seed(0)
    instances = torch.randint(0, 4, (2, 12, 20), generator=generator).to(torch.uint8)
    found = token_coverage(instances, 3, (3, 4))
    assert found.shape == (2, 12, 3)
    for n in range(2):
        for y in range(3):
            for x in range(4):
                cell = instances[n, 4 * y : 4 * y + 4, 5 * x : 5 * x + 5]
                for person in range(3):
                    assert found[n, 4 * y + x, person].item() == pytest.approx(
                        (cell == person + 1).float().mean().item()
                    )


def test_learning_moves_attention_to_the_own_person_and_leaves_the_rest_alone():
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 6, 8, requires_grad=True)
    targets = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.4], [0, 0]]).repeat(2, 1, 1)
    references = torch.eye(2).repeat_interleave(3, 0)
    references = torch.cat([references, torch.zeros(2, 2)]).repeat(2, 1, 1)  # 3 tokens each, 2 of the background
    timesteps = torch.tensor([999, 100])

    def own(values):
        shares = values.softmax(-1)[0].mean(0)
        return torch.stack([shares[:2, :3].sum(-1), shares[2:4, 3:6].sum(-1)]).mean()

    before = own(logits).item()
    for _ in range(100):
        (gradient,) = torch.autograd.grad(identity_binding_loss(logits, targets, references, timesteps, 1000), logits)
        assert not gradient[1].any()  # too little noise
        assert not gradient[0, :, 4:].any()  # tokens of nobody
        logits = (logits - 5 * gradient).detach().requires_grad_()
    assert before < 0.6
    assert own(logits) > 0.95


def test_nobody_to_bind_costs_nothing_and_gives_no_nan():
    logits = (1e4 * torch.randn(1, 2, 3, 4)).half().requires_grad_()
    nobody, everybody, references = torch.zeros(1, 3, 2), torch.ones(1, 3, 2), torch.zeros(1, 4, 2)
    for targets in (nobody, everybody):  # everybody: but the reference shows no one
        loss = identity_binding_loss(logits, targets, references, torch.tensor([999]), 1000)
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()
    assert torch.isfinite(identity_binding_loss(logits, everybody, 1 - references, torch.tensor([999]), 1000))
