"""What docs/promote.md shows is what the command takes, and what is said of its statement is so."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from promotion import cli
from promotion.commands import promote
from promotion.evidence import by_hand
from promotion.evidence.statement import Statement, Subject
from promotion.registry.reference import Digest
from tests.unit.test_docs import blocks

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/promote.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition(" #")[0]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("promotion ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shown_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line takes it, and it names images."""
    taken: list[argparse.Namespace] = []
    monkeypatch.setattr(promote, "run", lambda options, _: taken.append(options))
    assert cli.main(shlex.split(command)[1:], {}) == 0
    assert all(image.startswith("shop") for image in taken[0].images)


def test_every_flag_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """The page has each flag of the command's help, and each variable that gives a default."""
    with pytest.raises(SystemExit):
        cli.main(["promote", "--help"], {})
    shown = capsys.readouterr().out
    flags = set(re.findall(r"--[a-z-]+", shown)) - {"--help", "--verbose"}
    variables = set(re.findall(r"\$([A-Z_]+)", shown))
    assert len(flags) == 10
    assert {name for name in flags | variables if f"`{name}`" not in PAGE} == set()
    assert "examples:" in shown


def test_every_variable_of_the_make_targets_is_explained() -> None:
    """Those of P2P's that p2p.mk takes, and its own two."""
    text = (ROOT / "p2p.mk").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\(([A-Z][A-Z0-9_]+)\)", text))
    assert {"P2P_REGISTRY", "PROMOTION_FLAGS", "FAST_FEEDBACK_PATH"} <= used
    assert {name for name in used if f"`{name}`" not in PAGE} == set()


def test_the_statement_shown_can_be_read() -> None:
    """The example in docs/evidence.md is one of a promotion by hand."""
    (shown,) = [block for block in blocks("json") if '"gated"' in block]
    predicate = shown.replace("REGISTRY", "registry.example").encode()
    digest = Digest(f"sha256:{'a' * 64}")
    subject = Subject.of("registry.example/shop/extended-test/shop", digest)
    said = by_hand.read(Statement(subject, by_hand.PREDICATE_TYPE, predicate))
    assert (said.author.name, said.to_stage) == ("ann@acme.example", "extended-test")
