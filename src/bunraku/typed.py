"""Whether a value that somebody wrote is of the type that a field of a dataclass says."""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def is_of_type(value: Any, kind: Any) -> bool:
    """Whether a value, of JSON or YAML, is of a type such as `dict[str, float | None]`; a list may stand for a tuple, text for a path.

    >>> is_of_type([0.9, 1], tuple[float, float])
    True
    >>> is_of_type({"pose": "much"}, dict[str, float])
    False
    """
    origin, of = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(is_of_type(value, one) for one in of)
    if origin is Literal:
        return value in of
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = [of[0]] * len(value) if of[-1] is Ellipsis else of
        return len(value) == len(kinds) and all(map(is_of_type, value, kinds))
    if origin is list:
        return isinstance(value, list) and all(is_of_type(one, of[0]) for one in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(is_of_type(k, of[0]) and is_of_type(v, of[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str | Path)
    return isinstance(value, dict if origin is dict or kind is dict else type(None) if kind is None else kind)
