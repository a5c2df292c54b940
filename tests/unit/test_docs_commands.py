"""The command lines that the documentation shows are of the commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit import command_lines

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILES = "\n".join((ROOT / name).read_text("utf-8") for name in ("Makefile", "p2p.mk"))


def code(page: Path) -> str:
    """The code blocks of a page, wherever in a list they stand."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE))


LINES = [(page.name, line) for page in PAGES for line in command_lines.shown_in(code(page))]


@pytest.mark.parametrize("line", [line for _, line in LINES])
def test_every_command_line_shown_is_understood(line: str) -> None:
    """The real parser takes all of it."""
    command_lines.check(line)


def test_command_lines_are_found_where_they_stand() -> None:
    """In every page that is about a command, and in all that are about moving here."""
    for page in ("README.md", "copy.md", "check.md", "status.md", "migrate.md"):
        assert [line for name, line in LINES if name == page], page
    moving = [line for name, line in LINES if name == "migrate.md"]
    assert {command_lines.arguments_of(line)[0] for line in moving} == {
        *("promote", "copy", "latest", "publish", "status"),
    }


_TARGET = re.compile(r"(?:`|^)make ([a-z0-9][a-z0-9.-]*[a-z0-9])", re.MULTILINE)
TARGETS = sorted({target for page in PAGES for target in _TARGET.findall(page.read_text("utf-8"))})


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_shown_exists(target: str) -> None:
    """In the Makefile of this repository."""
    assert re.search(rf"^{re.escape(target)}:", MAKEFILES, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("$ promotion check --online | jq -r '.checks[]'", ["check", "--online"]),
        ('\tpromotion copy $(addsuffix :$(B),$(A)) "${C}" # why', ["copy", "VALUE", "VALUE"]),
        ("    run: promotion keygen > file", ["keygen"]),
    ],
)
def test_a_command_ends_where_the_shell_says(line: str, arguments: list[str]) -> None:
    """Prompts, comments and pipes are not the command's; what is filled in is one argument."""
    assert list(command_lines.shown_in(line)) == [line.strip()]
    assert command_lines.arguments_of(line) == arguments
