"""HTML and SVG as nested calls, with everything that comes from outside escaped."""

from html import escape

VOID = {"br", "circle", "line", "source"}


class Html(str):
    """Text that is markup already."""

    def __add__(self, other: str) -> "Html":
        return Html(str(self) + str(_safe(other)))


def element(name: str, *children: str, **attributes: str | float | bool | None) -> Html:
    """One element; children that are not `Html` are escaped, attributes that are None or False left out.

    Names of attributes lose a trailing underscore, and other underscores become hyphens.

    >>> element("td", "<1", element("b", "x"), class_="best", data_clip="a&b", hidden=True)
    '<td class="best" data-clip="a&amp;b" hidden>&lt;1<b>x</b></td>'
    """
    written = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        written += f" {key}" if value is True else f' {key}="{escape(text)}"'
    end = "/>" if name in VOID else f">{joined(*children)}</{name}>"
    return Html(f"<{name}{written}{end}")


def joined(*parts: str) -> Html:
    """Parts one after the other."""
    return Html("".join(_safe(part) for part in parts))


def _safe(part: str) -> str:
    return part if isinstance(part, Html) else escape(part, quote=False)
