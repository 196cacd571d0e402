"""Files of tensors by name: the report of what does not fit, and everything that is no weight file."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bunraku.errors import BunrakuError
from bunraku.weights.states import load_state, read_state, weight_files


def test_report_names_every_kind_and_loads_nothing():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {
        "0.weight": torch.zeros(3, 2),
        "0.bias": torch.zeros(5),
        "1.weight": torch.zeros(4, 3),
        "extra": torch.zeros(1),
    }
    with pytest.raises(BunrakuError) as caught:
        load_state(module, state, name="toy")
    assert str(caught.value).splitlines() == [
        "The weights do not fit the toy, nothing was loaded:",
        "  1 missing: 1.bias",
        "  1 unexpected: extra",
        "  1 mis-shaped: 0.bias is (5,), expected (3,)",
    ]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_long_reports_are_shortened():
    with pytest.raises(BunrakuError, match=r"30 unexpected: k0, .*k19, and 10 more$"):
        load_state(nn.Identity(), {f"k{i}": torch.zeros(1) for i in range(30)}, name="toy")


def test_named_patterns_may_be_absent_but_shapes_must_fit():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    state = {
        "0.weight": torch.ones(3, 2, dtype=torch.float16),
        "0.bias": torch.ones(3),
        "old.position_ids": torch.zeros(1),
    }
    load_state(module, state, allowed_missing=("1.*",), allowed_unexpected=("*.position_ids",), name="toy")
    assert module[0].weight.dtype == torch.float32
    assert (module[0].weight == 1).all()
    with pytest.raises(BunrakuError, match="mis-shaped"):
        load_state(
            module, state | {"1.bias": torch.ones(9)}, allowed_missing=("*",), allowed_unexpected=("*",), name="toy"
        )


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin", ".safetensors"])
def test_formats(tmp_path, suffix):
    state = {"weight": torch.randn(3, 2)}
    (save_file if suffix == ".safetensors" else torch.save)(state, tmp_path / f"x{suffix}")
    assert torch.equal(read_state(tmp_path / f"x{suffix}")["weight"], state["weight"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_files(tmp_path, suffix, kept):
    path = tmp_path / f"x{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"weight": torch.randn(300, 20)}, path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(BunrakuError, match="damaged or was not downloaded to the end"):
        read_state(path)


def test_a_pickle_of_nothing(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x02a.")  # takes from an empty stack
    with pytest.raises(BunrakuError, match="damaged or was not downloaded to the end"):
        read_state(tmp_path / "x.ckpt")


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_not_executed(tmp_path, zipped):
    torch.save({"weight": Attack(tmp_path / "executed")}, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BunrakuError, match="holds code"):
        read_state(tmp_path / "x.ckpt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore:.*TorchScript archive")
def test_a_compiled_program_is_no_weight_file(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "x.pt")
    with pytest.raises(BunrakuError, match="holds code"):
        read_state(tmp_path / "x.pt")


def test_what_is_no_weight_file(tmp_path):
    with pytest.raises(BunrakuError, match="There is no weight file"):
        read_state(tmp_path / "x.pth")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(BunrakuError, match="is no weight file; expected"):
        read_state(tmp_path / "x.txt")
    (tmp_path / "x.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BunrakuError, match="git-LFS pointer"):
        read_state(tmp_path / "x.bin")
    torch.save({"weights": {"weight": torch.zeros(1)}, "epoch": 3}, tmp_path / "x.ckpt")
    with pytest.raises(BunrakuError, match="does not hold tensors by name"):
        read_state(tmp_path / "x.ckpt")


def test_what_trainers_wrap_is_unwrapped(tmp_path):
    """AnimateDiff and MagicAnimate keep counters and settings beside the weights."""
    state = {"weight": torch.randn(3), "animatediff_config": {"max_len": 24}}
    torch.save({"state_dict": state, "global_step": 7, "epoch": 1}, tmp_path / "x.ckpt")
    assert read_state(tmp_path / "x.ckpt").keys() == {"weight"}
    torch.save(state, tmp_path / "y.ckpt")
    assert torch.equal(read_state(tmp_path / "y.ckpt")["weight"], state["weight"])


def test_values_are_mapped_not_read(tmp_path):
    """Files of 200 MB are opened without taking their size in memory."""
    state = {"weight": torch.zeros(10_000, 5_000)}
    save_file(state, tmp_path / "x.safetensors")
    torch.save(state, tmp_path / "x.pth")
    code = (
        "import resource, sys; from bunraku.weights.states import read_state\n"
        "peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    before = peak()\n"
        "    state = read_state(path)\n"
        "    print(peak() - before, float(state['weight'][9_999, 4_999]))"
    )
    files = [str(tmp_path / "x.safetensors"), str(tmp_path / "x.pth")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        grown, value = line.split()
        assert int(grown) < 50e6
        assert float(value) == 0


def test_files_of_a_component(tmp_path):
    with pytest.raises(BunrakuError, match=r"has no weights; expected diffusion_pytorch_model\.safetensors"):
        weight_files(tmp_path)
    for name in (
        "model.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors",
    ):
        (tmp_path / name).touch()
        assert weight_files(tmp_path) == [tmp_path / name]
