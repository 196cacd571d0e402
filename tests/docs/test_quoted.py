"""What the documentation quotes is there: commands with their options, scripts, Python names."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bunraku.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("README.md"))]
COMMAND: Any = typer.main.get_command(app)
USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What the parser raises; typer keeps a click of its own."""
LAUNCHER = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:torchrun(?: --?\w[\w-]*(?:[ =]\d+)?)* -m bunraku|python -m bunraku|bunraku)(?= |$)"
)


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(
        rf"^[ ]*```{language}[^\n]*\n(.*?)^[ ]*```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def quoted_commands(page: Path) -> Iterator[tuple[str, bool]]:
    """The arguments of each `bunraku` command of a page, and whether they stand in a sentence, where what is required may be left out."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|\s", re.sub(r"(^|\s)#.*$", "", line)):
                if (launched := LAUNCHER.match(part.strip())) is not None:
                    yield part.strip()[launched.end() :].strip(), False
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for quoted in re.findall(r"`bunraku\s+([^`]+)`", text):
        yield " ".join(quoted.split()).rstrip(".… "), True


def parse(arguments: str, in_a_sentence: bool = False) -> None:
    """Have the real parser read arguments.

    Raises:
        USAGE_ERROR: there is no such command or option, something is missing, or a value cannot be.
    """
    command, name, given, context = COMMAND, "bunraku", shlex.split(arguments), None
    try:
        while hasattr(command, "get_command"):
            if not given and in_a_sentence:
                return
            context = command.make_context(name, given, parent=context)
            name, *given = [*context._protected_args, *context.args]
            command = command.get_command(context, name)
            if command is None:
                raise USAGE_ERROR(f"there is no command {name!r}")
        command.make_context(name, given, parent=context)
    except USAGE_ERROR as error:
        if not (in_a_sentence and type(error).__name__ == "MissingParameter"):
            raise


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood_by_the_real_parser(page: Path) -> None:
    for arguments, in_a_sentence in quoted_commands(page):
        try:
            parse(arguments, in_a_sentence)
        except USAGE_ERROR as error:
            pytest.fail(f"bunraku {arguments}: {error}")


def test_the_parser_of_these_tests_finds_faults() -> None:
    for wrong in (
        "anime x", "animate a.png b.mp4 --nonsense", "animate a.png b.mp4 --steps many", "models pulls sd15", "train x --stage",
        "models pull", "",
    ):  # fmt: skip
        with pytest.raises(USAGE_ERROR):
            parse(wrong)
    parse("animate a.png b.mp4 -o out.mp4 --steps 4 --retarget full")
    parse("models pull", in_a_sentence=True)


def test_pages_quote_commands() -> None:
    assert sum(len(list(quoted_commands(page))) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_and_their_options_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for script, rest in re.findall(r"python ((?:benchmarks|examples)/\w+\.py)([^`#\n]*)", text):
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z][a-z-]+", rest):
            assert f'"{option}"' in source, f"{script} has no {option}"
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", made, re.MULTILINE), f"no make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_is_python_and_its_names_are_there(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bunraku"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_dotted_names_are_there(page: Path) -> None:
    for name in re.findall(r"`(bunraku(?:\.\w+)+)`", page.read_text(encoding="utf-8")):
        module, rest = name, []
        while module:
            try:
                thing = importlib.import_module(module)
                break
            except ModuleNotFoundError:
                module, _, last = module.rpartition(".")
                rest.insert(0, last)
        for attribute in rest:
            assert hasattr(thing, attribute), name
            thing = getattr(thing, attribute)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target
