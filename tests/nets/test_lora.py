"""LoRA: Eq. 2 against float64 numpy, identity at the start, merging."""

import numpy as np
import pytest
import torch

from bunraku.nets.denoiser import Denoiser
from bunraku.nets.lora import add_lora, merge_lora
from bunraku.nets.ports import Ports
from tests.tiny import TINY, randomise


@pytest.fixture
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    net = randomise(Denoiser(**TINY, motion_num_attention_heads=2, motion_norm_num_groups=4)).eval()
    return net.requires_grad_(False)


def run(net: Denoiser) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    tokens = {name: torch.randn(1, 4, 4, 16, generator=g) for name in net.reference_block_names("midup")}
    latents, token = torch.randn(1, 4, 3, 8, 8, generator=g), torch.randn(1, 5, 16, generator=g)
    with torch.no_grad():
        return net(latents, 7, Ports(token, reference=net.project_reference(tokens)))


def adapted(net: Denoiser) -> list[str]:
    return sorted(name.split(".lora_A")[0] for name, _ in net.named_parameters() if ".lora_A." in name)


def test_nothing_changes_at_the_start_and_only_the_adapters_learn(denoiser):
    before = run(denoiser)
    add_lora(denoiser, rank=2)
    assert torch.equal(run(denoiser), before)
    trained = [name for name, parameter in denoiser.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    assert not any(".motion_modules." in name for name in trained)
    assert {name.split(".")[-1] for name in adapted(denoiser)} == {"to_q", "to_k", "to_v"}
    blocks = denoiser.reference_block_names("full")
    assert len(adapted(denoiser)) == len(blocks) * 2 * 3


@pytest.mark.parametrize("layers", [("attn1",), ("attn2",), ("attn1", "attn2")])
def test_layers_can_be_chosen(denoiser, layers):
    add_lora(denoiser, layers=layers)
    assert {name.split(".")[-2] for name in adapted(denoiser)} == set(layers)


@pytest.mark.parametrize("layers", [(), ("attn3",), ("attn1", "ff")])
def test_other_layers_are_refused(denoiser, layers):
    with pytest.raises(ValueError, match="LoRA is for attn1 and attn2"):
        add_lora(denoiser, layers=layers)


@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "equation 2"])
def test_attention_to_the_reference(denoiser, adapted):
    """Queries of z; keys and values of z and za, by the same projections: the frozen ones, or those adapted by Eq. 2."""
    name = denoiser.reference_block_names("midup")[0]
    if adapted:
        add_lora(denoiser, rank=3, alpha=6)
    block = randomise(denoiser.get_submodule(name))
    weights = {key: value.double().numpy() for key, value in block.attn1.state_dict().items()}

    def projection(which: str) -> np.ndarray:
        if not adapted:
            return weights[f"{which}.weight"]
        part = {key: weights[f"{which}.{key}.weight"] for key in ("base_layer", "lora_A.default", "lora_B.default")}
        return part["base_layer"] + 6 / 3 * part["lora_B.default"] @ part["lora_A.default"]

    g = torch.Generator().manual_seed(3)
    z, za = torch.randn(1, 6, 16, generator=g), torch.randn(1, 2, 3, 16, generator=g)
    with torch.no_grad():
        out = block.attn1(z, extra=block.project_reference(za))[0]
    rows, both = z[0].double().numpy(), np.concatenate([z[0].double().numpy(), za[0].double().numpy().reshape(6, 16)])
    heads = []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        q, k, v = (x @ projection(w).T[:, part] for w, x in (("to_q", rows), ("to_k", both), ("to_v", both)))
        logits = q @ k.T / np.sqrt(8)
        attention = np.exp(logits - logits.max(1, keepdims=True))
        heads.append(attention / attention.sum(1, keepdims=True) @ v)
    expected = np.concatenate(heads, 1) @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


def test_merging_keeps_the_function_and_restores_the_names(denoiser):
    names = list(denoiser.state_dict())
    add_lora(denoiser, rank=2)
    for parameter_name, parameter in denoiser.named_parameters():
        if ".lora_" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3)
    blocks = [denoiser.get_submodule(name) for name in denoiser.reference_block_names("full")]
    g = torch.Generator().manual_seed(2)
    grid, token = torch.randn(2, 4, 4, 16, generator=g), torch.randn(2, 5, 16, generator=g)
    with torch.no_grad():
        before = [block(grid, token, None)[0] for block in blocks]
        merge_lora(denoiser)
        assert list(denoiser.state_dict()) == names
        for block, expected in zip(blocks, before, strict=True):
            torch.testing.assert_close(block(grid, token, None)[0], expected, atol=1e-4, rtol=1e-4)


def test_adapters_can_be_kept_beside_the_model(denoiser, tmp_path):
    add_lora(denoiser, rank=2)
    randomise(denoiser)
    expected = run(denoiser)
    denoiser.save_lora_adapter(tmp_path / "lora")
    state = {key.replace(".base_layer", ""): v for key, v in denoiser.state_dict().items() if ".lora_" not in key}
    other = Denoiser.from_config(denoiser.config)
    other.load_state_dict(state)
    other.eval().load_lora_adapter(tmp_path / "lora", prefix=None, weight_name="pytorch_lora_weights.safetensors")
    torch.testing.assert_close(run(other), expected)
