"""What the page says."""

import logging
import threading
from pathlib import Path

import pytest

from bunraku.apps.studio.words import heard, plain

STILL, CLIP = Path("/tmp/studio/ab/still.png"), Path("/tmp/studio/cd/clip.mp4")
NAMES = {STILL: "my elf.png", CLIP: "jump.mov"}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            f"the pose of {STILL} is doubtful: the left arm is short; look at it before a long run (`bunraku retarget {STILL} DRIVING "
            "-o pose.png` draws it), and mend it where it is wrong (`bunraku perceive x` writes it as a file for --reference-pose)",
            "The pose of my elf.png is doubtful: the left arm is short; look at it before a long run, and mend it where it is wrong.",
        ),
        (
            f"no person was found in any of the 48 frames of {CLIP} (detector: mediapipe); use a video that shows one whole person",
            "No person was found in any of the 48 frames of jump.mov (detector: mediapipe); use a video that shows one whole person.",
        ),
        (
            "no hand holds what is named of clip.mp4 through most of the clip: it stays where the driver has it, and the character's hands may "
            "miss it; --retarget off gives the character the driver's proportions",
            "No hand holds what is named of jump.mov through most of the clip: it stays where the driver has it, and the character's hands may miss it.",
        ),
        ("poses in frames 3 of clip.mp4: a limb lies on another one", "Poses in frames 3 of jump.mov: a limb lies on another one."),
        ("--pairs give a character two drivers", "This cannot be used."),
    ],
)  # fmt: skip
def test_messages_lose_paths_and_advice_for_the_command_line(message: str, words: str) -> None:
    assert plain(message, NAMES) == words


def test_warnings_of_this_thread_alone_are_heard() -> None:
    logger = logging.getLogger("bunraku.somewhere")
    with heard() as messages:
        logger.warning("the %s is short", "arm")
        logger.info("nothing to worry about")
        other = threading.Thread(target=lambda: logger.warning("somebody else's"))
        other.start()
        other.join()
        logger.warning("the %s is short", "arm")
    logger.warning("too late")
    assert messages == ["the arm is short"]
