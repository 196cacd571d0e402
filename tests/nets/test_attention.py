"""Attention against a float64 numpy reference."""

import numpy as np
import pytest
import torch

from bunraku.nets.attention import EXPLICIT_LOGITS, Attention, attend, sinusoid, sinusoid_2d


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def numpy_attention(module: Attention, query_from, key_from, value_from, divisor=1.0) -> np.ndarray:
    """Row by row and head by head, as the textbook has it; arrays (B, N, C), float64."""
    q, k, v = (
        tokens @ linear.weight.detach().numpy().T
        for tokens, linear in ((query_from, module.to_q), (key_from, module.to_k), (value_from, module.to_v))
    )
    width = q.shape[-1] // module.heads
    out = np.empty_like(q)
    for row in range(len(q)):
        for head in range(module.heads):
            part = slice(head * width, (head + 1) * width)
            logits = q[row][:, part] @ k[row][:, part].T / np.sqrt(width)
            out[row][:, part] = softmax(logits / np.broadcast_to(divisor, (len(q), 1, 1))[row]) @ v[row][:, part]
    last = module.to_out[0]
    return out @ last.weight.detach().numpy().T + last.bias.detach().numpy()


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(8, 2).double()


def tokens(*shape: int, seed: int = 1) -> torch.Tensor:
    return 2 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_self_attention(attention):
    x = tokens(3, 5, 8)
    expected = numpy_attention(attention, x.numpy(), x.numpy(), x.numpy())
    np.testing.assert_allclose(attention(x).detach(), expected, atol=1e-12)


def test_positions_enter_queries_and_keys_but_not_values(attention):
    x, positions = tokens(3, 5, 8), tokens(5, 8, seed=2)
    placed = (x + positions).numpy()
    expected = numpy_attention(attention, placed, placed, x.numpy())
    np.testing.assert_allclose(attention(x, positions=positions).detach(), expected, atol=1e-12)


def test_extra_keys_are_attended_beside_the_own_ones_and_serve_all_frames_of_their_clip(attention):
    x, reference = tokens(6, 5, 8), tokens(2, 7, 8, seed=3)  # two clips of three frames
    both = np.concatenate([x.numpy(), np.repeat(reference.numpy(), 3, axis=0)], axis=1)
    expected = numpy_attention(attention, x.numpy(), both, both)
    np.testing.assert_allclose(attention(x, extra=attention.project(reference)).detach(), expected, atol=1e-12)


def test_the_reference_in_several_pictures_weighs_as_much_as_in_one(attention):
    x, reference, other = tokens(6, 5, 8), tokens(2, 5, 8, seed=3), tokens(2, 5, 8, seed=4)
    once = attention(x, extra=attention.project(reference))
    twice = attention(x, extra=attention.project(torch.cat([reference, reference], 1)))
    torch.testing.assert_close(twice, once)
    # softmax with each of the further keys counted as half a key
    both = torch.cat([x, *(t.repeat_interleave(3, 0) for t in (reference, other))], 1)
    queries, (keys, values) = attention.queries(x), attention.project(both)
    share = torch.tensor([1.0] * 5 + [0.5] * 10, dtype=torch.float64)
    weights = share * (queries @ keys.transpose(-1, -2) / 2).exp()
    expected = attention.to_out[0](((weights / weights.sum(-1, keepdim=True)) @ values).transpose(1, 2).flatten(2))
    found = attention(x, extra=attention.project(torch.cat([reference, other], 1)))
    torch.testing.assert_close(found, expected)


def test_a_look_is_the_logits_for_the_further_keys(attention):
    x, reference, positions = tokens(6, 5, 8), tokens(2, 7, 8, seed=3), tokens(5, 8, seed=2)
    found = attention.look(x, attention.project(reference)[0], positions)
    q = (x + positions).numpy() @ attention.to_q.weight.detach().numpy().T
    k = np.repeat(reference.numpy(), 3, axis=0) @ attention.to_k.weight.detach().numpy().T
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        expected = q[..., part] @ k[..., part].swapaxes(1, 2) / 2
        np.testing.assert_allclose(found[:, head].detach(), expected, atol=1e-12)


def test_temperature_divides_the_logits(attention):
    x = tokens(3, 5, 8)
    temperature = torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64).view(3, 1, 1)
    expected = numpy_attention(attention, x.numpy(), x.numpy(), x.numpy(), temperature.numpy())
    np.testing.assert_allclose(attention(x, temperature=temperature).detach(), expected, atol=1e-12)


def test_cross_attention_to_several_tokens():
    torch.manual_seed(0)
    attention, x, context = Attention(8, 2, 6).double(), tokens(6, 5, 8), tokens(2, 3, 6, seed=3)
    spread = np.repeat(context.numpy(), 3, axis=0)
    np.testing.assert_allclose(
        attention(x, context).detach(), numpy_attention(attention, x.numpy(), spread, spread), atol=1e-12
    )


def test_cross_attention_to_one_token_is_a_constant_equal_to_full_attention():
    torch.manual_seed(0)
    attention, x, context = Attention(8, 2, 6).double(), tokens(6, 5, 8), tokens(2, 1, 6, seed=3)
    spread = np.repeat(context.numpy(), 3, axis=0)
    out = attention(x, context)
    assert out.shape == (6, 1, 8)
    expected = numpy_attention(attention, x.numpy(), spread, spread)
    np.testing.assert_allclose(np.broadcast_to(out.detach(), expected.shape), expected, atol=1e-12)


def test_both_ways_of_computing_agree():
    query, key, value = (tokens(1, 2, 1024, 4, seed=s).float() for s in (1, 2, 3))
    assert EXPLICIT_LOGITS < 1024 * 1024
    for bias in (None, tokens(1024, seed=4).float()):
        fused = attend(query, key, value, bias)
        explicit = torch.cat([attend(part, key, value, bias) for part in query.split(256, dim=2)], dim=2)
        torch.testing.assert_close(fused, explicit, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [8, 7])
def test_sinusoid_is_that_of_the_formula(channels):
    table = sinusoid(6, channels).numpy()
    for k in range(6):
        for c in range(channels):
            angle = k / 10000 ** ((c - c % 2) / channels)
            assert table[k, c] == pytest.approx(np.cos(angle) if c % 2 else np.sin(angle), abs=1e-6)


def test_sinusoid_2d_tells_rows_in_one_half_and_columns_in_the_other():
    table = sinusoid_2d(3, 5, 16).view(3, 5, 16)
    assert torch.equal(table[..., :8], table[:, :1, :8].expand(3, 5, 8))
    assert torch.equal(table[..., 8:], table[:1, :, 8:].expand(3, 5, 8))
    flat = table.view(15, 16)
    distance = torch.cdist(flat, flat)
    assert (distance + torch.eye(15) > 0.1).all()  # no two places alike
