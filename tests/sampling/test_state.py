"""A run that is stopped at any step and begun again: the same latents bit for bit, with every scheduler, in chains, and with what is kept between steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.nets.ports import Ports
from bunraku.sampling.denoise import denoise, initial_noise
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.state import SamplingState, Stand, fingerprint
from tests.sampling.test_denoise import SCHEDULERS, numbered, scheduler

FRAMES = 14


class Stopped(Exception):
    pass


def predict(noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
    """Depends on everything; its fifth channel is beyond the latents."""
    level = torch.as_tensor(timestep).float().mean() / 1000
    made = (noisy * 1.3 + ports.add[:, :1] * 0.1).sin() * (1 + level) + noisy.mean()
    return torch.cat([made, made[:, :1].cos()], 1)


def run(
    name: str, state: SamplingState | None = None, stop: int | None = None, **settings: Any
) -> tuple[tuple[Tensor, Tensor], int]:
    """Latents and what is beyond them, and how many steps were made; `stop` ends the run after so many."""
    generator, made = torch.Generator().manual_seed(3), 0

    def on_step(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
        nonlocal made
        if made == stop:
            raise Stopped
        made += 1
        return latents

    sampling = Sampling(**{"num_inference_steps": 6, "guidance_scale": 2.0, "window": 6, "overlap": 2} | settings)
    noise = initial_noise((4, FRAMES, 3, 2), generator)
    return denoise(predict, numbered, scheduler(name), noise, sampling, generator, on_step, state=state), made


def begun_again(name: str, file: Path, stop: int, **settings: Any) -> tuple[tuple[Tensor, Tensor], int]:
    with pytest.raises(Stopped):
        run(name, SamplingState(file, "this run", every=0), stop, **settings)
    return run(name, SamplingState(file, "this run", every=0), **settings)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_run_goes_on_bit_for_bit(name: str, stop: int, tmp_path: Path) -> None:
    whole, steps = run(name)
    again, made = begun_again(name, tmp_path / "run.state", stop)
    assert made == steps - stop
    assert all(map(torch.equal, again, whole))


@pytest.mark.parametrize("stop", [2, 6, 9, 13])
def test_a_clip_in_two_halves_joined_by_the_state_is_the_clip(stop: int, tmp_path: Path) -> None:
    """In a chain frames are made one window after the other: a stop between two windows leaves a first half behind, and nothing of it is made
    again."""
    settings = {"chain": 2, "num_inference_steps": 6}
    whole, steps = run("DDIMScheduler", **settings)
    again, made = begun_again("DDIMScheduler", tmp_path / "run.state", stop, **settings)
    assert (steps, made) == (18, 18 - stop)
    assert all(map(torch.equal, again, whole))


def test_kept_features_are_never_missing(tmp_path: Path) -> None:
    """With deep features used again in every second step, a run goes on from a step in which they are computed."""
    whole, steps = run("UniPCMultistepScheduler", deep_cache=2)
    again, made = begun_again("UniPCMultistepScheduler", tmp_path / "run.state", 3, deep_cache=2)
    assert made == steps - 2
    assert all(map(torch.equal, again, whole))


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    """Its frames are still to be decoded and written."""
    first, _ = run("DDIMScheduler", SamplingState(tmp_path / "run.state", "this run"))
    again, made = run("DDIMScheduler", SamplingState(tmp_path / "run.state", "this run"))
    assert made == 0
    assert all(map(torch.equal, again, first))


def test_it_is_written_now_and_then(tmp_path: Path) -> None:
    state = SamplingState(tmp_path / "run.state", "this run", every=1e9)
    with pytest.raises(Stopped):
        run("DDIMScheduler", state, 5)
    assert not list(tmp_path.iterdir())


def test_another_runs_state_and_what_is_none(tmp_path: Path) -> None:
    file = tmp_path / "run.state"
    SamplingState(file, "this run").keep(Stand(0, 1, {"latents": torch.zeros(2)}), now=True)
    with pytest.raises(BunrakuError, match=r"run\.state is the state of another run.*remove it"):
        SamplingState(file, "another")
    for text in (b"", b"mist", file.read_bytes()[:-3]):
        file.write_bytes(text)
        with pytest.raises(BunrakuError, match="holds no state of a run"):
            SamplingState(file, "this run")


def test_runs_are_told_apart_by_all_that_they_are_given() -> None:
    torch.manual_seed(0)
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    base: list[Any] = [network, Sampling(), {"a": torch.ones(2)}, {0: np.zeros((2, 2), bool)}]
    assert fingerprint(base) == fingerprint(list(base))
    for index, changed in enumerate(
        [other, Sampling(window=9), {"a": torch.tensor([1, 1.5])}, {0: np.eye(2, dtype=bool)}]
    ):
        assert fingerprint([*base[:index], changed, *base[index + 1 :]]) != fingerprint(base)
