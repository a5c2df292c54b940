"""Help: every command has some, with examples that it takes; what is mistyped is explained."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from promotion import __version__, cli
from tests.unit import command_lines

LAZY = ("requests", "rich", "yaml", "cryptography", "urllib3", "grpc", "semver", "google.auth")


def ended(*arguments: str) -> int:
    """The exit code of a command that ends by itself."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments, {})
    return int(end.value.code or 0)


@pytest.mark.parametrize("command", ["", *cli.MODULES])
def test_every_command_has_examples_that_it_takes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its help shows examples of the command itself, and the parser takes each of them."""
    assert ended(*command.split(), "--help") == 0
    text = capsys.readouterr().out
    _, examples, shown = text.partition("\nexamples:\n")
    lines = list(command_lines.shown_in(shown))
    assert examples
    assert lines
    for line in lines:
        assert line.startswith(f"promotion {command}")
        command_lines.check(line)


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it is for; also where a command is named behind the option."""
    assert ended("--help") == 0
    text = capsys.readouterr().out
    for command in cli.MODULES:
        assert re.search(rf"^ +{command} +\w", text, re.MULTILINE), command
    assert ended("--help", "copy") == 0
    assert capsys.readouterr().out == text


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, in a line."""
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"promotion {__version__}\n"


def test_an_unknown_command_is_a_usage_error_that_lists_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that one finds the right one."""
    assert ended("promot", "x") == 2
    error = capsys.readouterr().err
    assert "'promot'" in error
    assert all(f"'{command}'" in error for command in cli.MODULES)


@pytest.mark.parametrize(
    ("arguments", "program"), [([], "promotion"), (["keygen", "x"], "promotion keygen")]
)
def test_a_usage_error_leads_to_the_help(
    arguments: list[str], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the command, or of all."""
    assert ended(*arguments) == 2
    assert capsys.readouterr().err.endswith(f"; see `{program} --help`\n")


@pytest.mark.parametrize(
    "arguments", [["copy", "--dry", "a", "b"], ["--verb", "check"], ["latest", "a", "--sta", "b"]]
)
def test_half_an_option_is_not_taken(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that relies on it would break when another option begins alike."""
    assert ended(*arguments) == 2
    assert "usage: promotion" in capsys.readouterr().err


def test_a_log_level_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the variable that it was given in."""
    assert cli.main(["check"], {"LOG_LEVEL": "loud"}) == 1
    assert "LOG_LEVEL" in capsys.readouterr().err


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a process has loaded when it has parsed such arguments."""
    program = (
        "import sys; from promotion import cli\n"
        "try: cli.parser(sys.argv[1:]).parse_args()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-I", "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def test_a_command_loads_no_other_and_nothing_before_it_runs() -> None:
    """Its parser is made of Python's own; help needs all commands, and no more than that."""
    commands = {f"promotion.commands.{module}" for module in cli.MODULES.values()}
    for arguments, expected in [
        (["copy", "a", "b"], {"promotion.commands.copy"}),
        (["-h"], commands),
    ]:
        loaded = loaded_by(*arguments)
        assert loaded & commands == expected
        assert not loaded & set(LAZY)
