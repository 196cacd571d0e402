"""The whole way for a user: a reference picture and a driving clip in, an animated video out."""

from bunraku.animate.options import AnimateOptions, MotionOptions
from bunraku.animate.run import Animation, animate

__all__ = ["AnimateOptions", "Animation", "MotionOptions", "animate"]
