"""For the reference: "a, b: what they are" in a docstring's list of arguments or attributes is an entry for each of them."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(\s*)(?:Args|Attributes)(?:, .*)?:\s*$")
SEVERAL = re.compile(r"^(\s+)((?:\*{0,2}\w+, )+\*{0,2}\w+):( .*)?$")


def expanded(text: str) -> str:
    """The docstring with one name an entry; the second and later ones point at the first.

    A heading such as "Attributes, beside those of X:" becomes plain "Attributes:".
    """
    lines: list[str] = []
    held: list[str] = []
    inside = False
    for line in text.splitlines():
        entry = SEVERAL.match(line) if inside else None
        if held and (not line.strip() or len(line) - len(line.lstrip()) <= len(held[0]) - len(held[0].lstrip())):
            lines += held
            held = []
        if SECTION.match(line):
            inside = True
            line = re.sub(r", .*:\s*$", ":", line)
        elif inside and line.strip() and not line.startswith(" "):
            inside = False
        if entry is None:
            lines.append(line)
            continue
        first, *others = entry[2].split(", ")
        lines.append(f"{entry[1]}{first}:{entry[3] or ''}")
        held = [f"{entry[1]}{name}: see `{first}`." for name in others]
    return "\n".join(lines + held)


class SeveralNames(griffe.Extension):
    """Expands docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = expanded(obj.docstring.value)
