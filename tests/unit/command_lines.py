"""The command lines that texts show: how they are found, and whether the parser takes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from promotion import cli

# At the beginning of a line, perhaps behind a prompt, a recipe's @, or the key of a CI step.
_BEGINNING = re.compile(r"^[ \t]*(?:\$ |@|- )?(?:run: |script: )?promotion (?=[a-z-])")
_SYNOPSIS = re.compile(r" \[[-A-Z]")


def shown_in(text: str) -> Iterator[str]:
    """Each line that runs the command; those that only describe what it takes are left out."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if _BEGINNING.match(line) and not _SYNOPSIS.search(line):
            yield line.strip()


def arguments_of(line: str) -> list[str]:
    """The arguments in it: to the end of the command, or to where its output goes."""
    command = _BEGINNING.sub("", line)
    # What make and shells fill in is one argument, whatever is written in it.
    while command != (filled := re.sub(r"\$\([^()]*\)|\$\{[^{}]*\}", "VALUE", command)):
        command = filled
    words = shlex.split(command, comments=True)
    ends = (number for number, word in enumerate(words) if re.fullmatch(r"[|;&>]+", word))
    return words[: next(ends, len(words))]


def check(line: str) -> None:
    """Let the real parser read it: it has to take all of it."""
    arguments = arguments_of(line)
    try:
        cli.parser(arguments).parse_args(arguments)
    except SystemExit as ended:
        pytest.fail(f"{line!r} is not understood: {arguments}, exit code {ended.code}")
