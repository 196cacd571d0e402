"""How many people are followed, and the word that there are more."""

import logging

logger = logging.getLogger(__name__)

MOST_PEOPLE = 8


class MoreThanFollowed:
    """Says, once for a clip, that a frame shows more people than are followed."""

    def __init__(self, most: int) -> None:
        self._most, self._said = most, False

    def __call__(self, found: int) -> None:
        if found > self._most and not self._said:
            self._said = True
            level = logging.WARNING if self._most == MOST_PEOPLE else logging.INFO
            logger.log(
                level, "there are at least %d people in one frame; the %d largest are followed (--people, at most %d)",
                found, self._most, MOST_PEOPLE,
            )  # fmt: skip
