"""Values as people write them, on the command line and in tables: sizes, rates, people, pairs."""

import logging
import re
from fractions import Fraction

from bunraku.errors import BunrakuError
from bunraku.sampling.strength import Strength

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "puppet-warp"
"""What animates where nothing else is asked for."""


def parsed_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if (found := re.fullmatch(r"(\d+)(?:\s*[x×,]\s*(\d+))?", text.strip())) is None:
        raise BunrakuError(f"{text!r} is no size; give height x width in pixels, such as 768x512, or one number")
    if found[2] is None:
        logger.info("the size %s is a square, %sx%s; give height x width for another shape", *3 * [found[1]])
    return int(found[1]), int(found[2] or found[1])


def parsed_people(text: str) -> int:
    if text.strip() == "all":
        from bunraku.perception.detector import MOST_PEOPLE

        return MOST_PEOPLE
    if not text.strip().isdigit():
        raise BunrakuError(f"{text!r} is no number of people (--people); give a number or all")
    return int(text)


def parsed_pairs(text: str | None) -> tuple[tuple[int, int], ...] | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d+:\d+(,\d+:\d+)*", text.replace(" ", "")):
        raise BunrakuError(f"{text!r} are no pairs (--pairs); give CHARACTER:DRIVER, such as 0:1,1:0")
    return tuple((int(one), int(driver)) for one, driver in (pair.split(":") for pair in text.split(",")))


def parsed_strengths(text: str | None) -> tuple[Strength, ...]:
    """NAME=AMOUNT or NAME=AMOUNT@START:END, several separated by commas."""
    if text is None:
        return ()
    number = r"(\d+(?:\.\d*)?|\.\d+)"
    found = [
        re.fullmatch(rf"([a-z_]+)={number}(?:@{number}:{number})?", part) for part in text.replace(" ", "").split(",")
    ]
    if not all(found):
        raise BunrakuError(
            f"{text!r} are no strengths (--strength); give NAME=AMOUNT, or NAME=AMOUNT@START:END with START and END from 0 to 1, such as "
            "pose=0.8,reference=1.5@0:0.6"
        )
    return tuple(Strength(one[1], float(one[2]), float(one[3] or 0), float(one[4] or 1)) for one in found if one)


def parsed_interval(text: str | None) -> tuple[float, float] | None:
    """START:END, shares of the steps."""
    if text is None:
        return None
    number = r"(\d+(?:\.\d*)?|\.\d+)"
    found = re.fullmatch(f"{number}:{number}", text.replace(" ", ""))
    if not found or not 0 <= float(found[1]) < float(found[2]) <= 1:
        raise BunrakuError(
            f"{text!r} is no interval (--guidance-interval); give START:END, shares of the steps from 0 to 1, such as 0:0.6"
        )
    return float(found[1]), float(found[2])


def parsed_rate(text: str | None) -> Fraction | None:
    try:
        return None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise BunrakuError(
            f"{text!r} is no frame rate; give frames per second, such as 24, 29.97 or 30000/1001"
        ) from None
