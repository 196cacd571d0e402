"""Chains of clips: every frame is made once, and what a step sees."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.sampling.chain import ChainedClip, carried_timesteps, chain_clips, enter_carried, join_clips


@given(st.integers(1, 300), st.integers(2, 40), st.data())
def test_every_frame_is_made_once_by_full_clips(frames, size, data):
    carried = data.draw(st.integers(1, size - 1))
    clips = chain_clips(frames, size, carried)
    made = [frame for clip in clips for frame in range(clip.start + clip.carried, clip.stop)]
    assert made == list(range(frames))
    assert clips[0].carried == 0
    assert all(clip.stop - clip.start == min(size, frames) for clip in clips)
    assert all(clip.carried == carried for clip in clips[1:-1])
    assert all(clip.carried >= carried and clip.start >= 0 for clip in clips[1:])


def test_the_papers_single_frame():
    assert chain_clips(46, 16) == [ChainedClip(0, 16, 0), ChainedClip(15, 31, 1), ChainedClip(30, 46, 1)]
    assert chain_clips(1, 16) == [ChainedClip(0, 1, 0)]


@pytest.mark.parametrize(
    ("frames", "size", "carried", "message"), [(0, 8, 1, "no frames"), (9, 8, 0, "carry 0"), (9, 8, 8, "carry 8")]
)
def test_chains_that_cannot_be(frames, size, carried, message):
    with pytest.raises(BunrakuError, match=message):
        chain_clips(frames, size, carried)


def test_carried_frames_enter_clean_at_timestep_0_and_come_out_untouched():
    """The loop of the module's docstring with a network that adds 1 to what it sees."""
    torch.manual_seed(0)
    noise, joined = torch.randn(1, 2, 11, 3, 3), None
    for clip in chain_clips(11, 4, 2):
        x = noise[:, :, clip.start : clip.stop]
        carried = x[:, :, :0] if joined is None else joined[:, :, clip.start : clip.start + clip.carried]
        for timestep in (900, 300):
            seen = enter_carried(x, carried)
            steps = carried_timesteps(torch.tensor(timestep), 1, 4, clip.carried)
            assert torch.equal(seen[:, :, : clip.carried], carried)
            assert torch.equal(seen[:, :, clip.carried :], x[:, :, clip.carried :])
            assert steps.tolist() == [[0] * clip.carried + [timestep] * (4 - clip.carried)]
            x = x + 1
        before = joined
        joined = join_clips(joined, x, clip)
        if before is not None:
            assert torch.equal(joined[:, :, : before.shape[2]], before)
    torch.testing.assert_close(joined, noise + 2)


def test_clips_that_do_not_follow():
    latents = torch.zeros(1, 2, 4, 3, 3)
    with pytest.raises(ValueError, match="cannot follow 4 frames"):
        join_clips(latents, latents, ChainedClip(4, 8, 1))
    with pytest.raises(ValueError, match="latents of 4"):
        join_clips(None, latents, ChainedClip(0, 5, 0))


def test_a_timestep_for_each_frame_is_what_the_denoiser_takes():
    """Other timesteps for the carried frames change what comes out, and equal ones are one timestep."""
    from bunraku.nets.denoiser import Denoiser
    from tests.tiny import TINY, randomise

    net: Denoiser = randomise(Denoiser(**TINY, motion_num_attention_heads=2, motion_norm_num_groups=4)).eval()  # type: ignore[assignment]
    embedded = net.embed_time(carried_timesteps(700, 2, 3, 1), torch.zeros(2, 4), 3)
    torch.testing.assert_close(embedded[[0, 3]], net.embed_time(0, torch.zeros(2, 4)))
    torch.testing.assert_close(embedded[[1, 2, 4, 5]], net.embed_time(700, torch.zeros(4, 4)))
