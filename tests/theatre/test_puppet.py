"""Every style that a character can wear is drawn, and bodies keep their proportions."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.theatre import character as wardrobe
from bunraku.theatre import render, sample_character, sample_scene
from bunraku.theatre.puppet import skeleton

STYLES = {
    "garment": wardrobe.GARMENTS,
    "pattern": wardrobe.PATTERNS,
    "hair_style": wardrobe.HAIR_STYLES,
    "hat": wardrobe.HATS,
    "ears": wardrobe.EARS,
    "eye_style": wardrobe.EYES,
    "mouth": wardrobe.MOUTHS,
}


@pytest.mark.parametrize("style", STYLES)
def test_every_style_looks_different(style):
    scene = sample_scene(4)
    look = replace(
        scene.actors[0].character.look,
        hat="none",
        hair_style="bald",
        skin=(240, 200, 170),
        top=(200, 30, 30),
        accent=(30, 200, 30),
    )
    pictures = {}
    for word in set(STYLES[style]):
        dressed = replace(scene.actors[0].character, look=replace(look, **{style: word}))
        pictures[word] = render(scene.recast(character=dressed), 1, 128).frames.tobytes()
    assert len(set(pictures.values())) == len(pictures)


def test_bone_lengths_are_the_bodys():
    scene = sample_scene(5)
    posture = scene.actors[0].motion.posture(np.arange(20) / 12)
    joints, body = skeleton(scene.actors[0].character, posture).joints, scene.actors[0].character.body
    thigh = np.linalg.norm(joints[:, 9] - joints[:, 8], axis=-1)
    np.testing.assert_allclose(thigh, body.thigh * posture.stretch[:, 4])
    upper_arm = np.linalg.norm(joints[:, 6] - joints[:, 5], axis=-1)
    np.testing.assert_allclose(upper_arm, body.upper_arm * posture.stretch[:, 2])


def test_feet_stand_on_the_floor_unless_they_jump():
    for seed in range(5):
        scene = sample_scene(seed)
        posture = scene.actors[0].motion.posture(np.arange(20) / 12)
        joints = skeleton(scene.actors[0].character, posture).joints
        np.testing.assert_allclose(
            joints[:, [10, 13], 1].max(1) + scene.actors[0].character.body.ankle, -posture.jump, atol=1e-9
        )


def test_bodies_stand_one_high_from_human_to_chibi():
    generator = np.random.default_rng(0)
    bodies = [sample_character(generator).body for _ in range(200)]
    heights = [b.head + b.neck + b.trunk + b.thigh + b.shin + b.ankle for b in bodies]
    np.testing.assert_allclose(heights, 1, atol=1e-9)
    heads = np.array([1 / b.head for b in bodies])
    assert heads.min() < 2.8
    assert heads.max() > 6


def test_left_and_right_can_be_told_apart_in_many_characters():
    generator = np.random.default_rng(0)
    looks = [sample_character(generator).look for _ in range(100)]
    asymmetric = sum(look.sleeves[0] != look.sleeves[1] or look.hands[0] != look.hands[1] for look in looks)
    assert 20 < asymmetric < 80
