"""The puppet theatre: procedurally drawn characters in motion, with exact ground truth."""

from bunraku.theatre.background import Background, sample_background, sample_studio
from bunraku.theatre.camera import Camera, Placement, sample_camera
from bunraku.theatre.character import Character, sample_character
from bunraku.theatre.motion import Motion, motion_from_pose, sample_dance
from bunraku.theatre.photograph import Style, photograph, sample_scene_photograph
from bunraku.theatre.props import Prop, SetPiece, sample_prop, sample_set_piece
from bunraku.theatre.scene import Actor, Rendering, Scene, render, sample_scene
from bunraku.theatre.walk import Walk

__all__ = [
    "Actor",
    "Background",
    "Camera",
    "Character",
    "Motion",
    "Placement",
    "Prop",
    "Rendering",
    "Scene",
    "SetPiece",
    "Style",
    "Walk",
    "motion_from_pose",
    "photograph",
    "render",
    "sample_background",
    "sample_camera",
    "sample_character",
    "sample_dance",
    "sample_prop",
    "sample_scene",
    "sample_scene_photograph",
    "sample_set_piece",
    "sample_studio",
]
