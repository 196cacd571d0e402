"""Markup as nested calls."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bunraku.evaluation.report.html import Html, element, joined


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_whatever_is_given_comes_back_as_text(child: str, attribute: str) -> None:
    reader = Reader()
    reader.feed(element("p", child, element("b", child), title=attribute))
    reader.close()
    assert reader.seen == [("p", {"title": attribute}), ("b", {})]
    assert reader.text == child * 2


def test_attributes() -> None:
    assert (
        element("line", x1=1.0, x2=2.25, stroke_width=3, hidden=False, class_=None)
        == '<line x1="1" x2="2.25" stroke-width="3"/>'
    )
    assert element("video", muted=True) == "<video muted></video>"


def test_joining_escapes_what_is_no_markup() -> None:
    assert joined("<", Html("<b>"), ">") == "&lt;<b>&gt;"
    assert isinstance(Html("<b>") + "<", Html)
    assert Html("<b>") + "<" == "<b>&lt;"
