"""SECURITY.md and the locks: every threat has a test that exists, every requirement a hash."""

from __future__ import annotations

import re

import pytest

from dev.stack import ROOT

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
LOCKS = sorted(file.name for file in ROOT.glob("requirements*.txt"))


def threats() -> list[str]:
    """The rows of the table of threats."""
    table = TEXT.partition("| threat | answer | covered by |\n")[2].partition("\n\n")[0]
    return table.splitlines()[1:]


def covering(row: str) -> list[str]:
    """The tests that a row names."""
    return re.findall(r"`(tests/[^`]+)`", row)


def test_every_threat_names_a_test() -> None:
    """In its last column."""
    assert len(threats()) > 10
    for row in threats():
        assert covering(row.split(" | ")[2]), row


class Collected:
    """The tests that a run of pytest finds."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep their names."""
        self.names = [item.nodeid for item in session.items]


def test_every_test_named_can_be_collected() -> None:
    """By its whole name, or as all tests of a file or function."""
    names = sorted({name for row in threats() for name in covering(row)})
    found = Collected()
    options = ["--collect-only", "-qq", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    files = [str(ROOT / name) for name in names]
    assert pytest.main([*options, *files], plugins=[found]) == 0
    for name in names:
        assert any(each.startswith(name) for each in found.names), name


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_locked_with_hashes(lock: str) -> None:
    """So pip asks for hashes for all of them, and takes nothing else."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
