"""The puppet theatre: procedurally drawn characters in motion, with exact ground truth."""

from bunraku.theatre.background import Background, sample_background
from bunraku.theatre.character import Character, sample_character
from bunraku.theatre.motion import Motion, motion_from_pose, sample_dance
from bunraku.theatre.scene import Placement, Rendering, Scene, render, sample_scene

__all__ = [
    "Background",
    "Character",
    "Motion",
    "Placement",
    "Rendering",
    "Scene",
    "motion_from_pose",
    "render",
    "sample_background",
    "sample_character",
    "sample_dance",
    "sample_scene",
]
