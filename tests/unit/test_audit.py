"""What `make lint` says of known vulnerabilities, and when nobody can be asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dev import audit

Audit = Callable[[str], int]

CLEAN = {"dependencies": [{"name": "flask", "version": "3.1", "vulns": []}], "fixes": []}
KNOWN = {
    "dependencies": [
        {
            "name": "flask",
            "version": "3.1",
            "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.2"], "description": "…"}],
        }
    ]
}


@pytest.fixture
def asked(tmp_path: Path) -> Audit:
    """Asks a pip-audit that is a shell script."""

    def ask(script: str) -> int:
        program = tmp_path / "pip-audit"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        return audit.main([str(program), "requirements.txt"])

    return ask


def test_a_known_vulnerability_fails(asked: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, with the version that mends it."""
    assert asked(f"echo '{json.dumps(KNOWN)}'; exit 1") == 1
    assert "flask 3.1 has PYSEC-1, mended in 3.2" in capsys.readouterr().out


def test_without_one_it_says_what_was_asked(
    asked: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many packages there are."""
    assert asked(f"echo '{json.dumps(CLEAN)}'") == 0
    assert "1 packages, no known vulnerability" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["echo 'no route to host' >&2; exit 1", "exec sleep 60"])
def test_a_service_that_does_not_answer_is_no_failure(
    asked: Audit,
    script: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is said that nothing was looked at, and why; a hang has an end."""
    monkeypatch.setattr(audit, "_SECONDS", 0.5)
    assert asked(script) == 0
    out = capsys.readouterr().out
    assert "requirements.txt was not looked at" in out
    assert "no route to host" in out or "no answer in" in out
