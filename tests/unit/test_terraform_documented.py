"""terraform/README.md and the module agree, and every variable says what it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MODULE = Path(__file__).parent.parent.parent / "terraform"
PAGE = (MODULE / "README.md").read_text(encoding="utf-8")


def _blocks(file: str, kind: str) -> dict[str, str]:
    """What a file declares: name → text."""
    text = (MODULE / file).read_text(encoding="utf-8")
    found = re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', text, re.MULTILINE | re.DOTALL)
    return dict(found)


def _documented(heading: str) -> set[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_every_input_is_documented() -> None:
    """The table has each variable, and no other."""
    assert _documented("Inputs") == set(_blocks("variables.tf", "variable"))


def test_every_output_is_documented() -> None:
    """The table has each output, and no other."""
    assert _documented("Outputs") == set(_blocks("outputs.tf", "output"))


@pytest.mark.parametrize(("name", "text"), _blocks("variables.tf", "variable").items())
def test_every_variable_is_described_typed_and_checked(name: str, text: str) -> None:
    """Any boolean is right; of all else some values are not."""
    keys = set(re.findall(r"^  (\w+)", text, re.MULTILINE))
    expected = {"description", "type"} | ({"validation"} if "= bool" not in text else set())
    assert expected <= keys
    assert "default" in keys or name in ("configuration", "project_id", "region")


def test_every_file_is_listed() -> None:
    """What the module makes is in files by purpose, each with a line of its own."""
    shape = {"variables.tf", "outputs.tf", "versions.tf"}
    assert {path.name for path in MODULE.glob("*.tf")} - shape <= set(
        re.findall(r"`(\w+\.tf)`", PAGE)
    )


def test_the_module_is_shown_with_variables_that_it_has() -> None:
    """What is shown names only variables of the module, and all that have no default."""
    (shown,) = re.findall(r"```hcl\n(.*?)```", PAGE, re.DOTALL)
    variables = _blocks("variables.tf", "variable")
    used = set(re.findall(r"^  (\w+) +=", shown, re.MULTILINE)) - {"source"}
    required = {name for name, text in variables.items() if "\n  default" not in f"\n{text}"}
    assert required <= used <= set(variables)


def test_every_metric_is_listed() -> None:
    """The table has each metric that metrics.tf makes."""
    text = (MODULE / "metrics.tf").read_text(encoding="utf-8")
    metrics = set(re.findall(r"^    (\w+) += { display", text, re.MULTILINE))
    assert len(metrics) == 11
    assert metrics <= _documented("Metrics")
