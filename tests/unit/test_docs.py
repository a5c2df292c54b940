"""What the documentation shows works as shown."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from promotion import cli, configuration, decision, gates, messages
from promotion.artifact_registry import ENDPOINT_VARIABLE
from promotion.delivery import Message
from promotion.inspection import READING
from promotion.messages import TestResult
from promotion.pipeline import Pipeline
from tests.unit.artifact_registry_api import ArtifactRegistryApi, Resource, repository
from tests.unit.written_histories import Written, verdicts

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GATES = ROOT / "docs/gates.md"
WHOLE = "pipelines:"


def blocks(kind: str) -> list[str]:
    """All code blocks of one kind."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return [
        block for text in texts for block in re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if WHOLE in text])
def test_every_promotion_yaml_shown_can_be_run(text: str) -> None:
    """Configurations are valid, and ask for nothing that is not there yet."""
    gates.check_supported(configuration.parse("promotion.yaml", text))


def test_every_test_result_shown_can_be_read() -> None:
    """Messages parse, once the places left open are filled in."""
    shown = [block for block in blocks("json") if '"outcome"' in block]
    assert len(shown) == 2
    for text in shown:
        filled = text.replace("sha256:…", "sha256:" + "a" * 64)
        filled = filled.replace("REGISTRY/PATH/NAME:TAG", "gcr.io/acme/shop:1")
        data = json.dumps(json.loads(filled)).encode()
        result = messages.parse(Message(data, {}, "1", datetime(2026, 1, 31, 12, tzinfo=UTC)))
        assert isinstance(result, TestResult)
        assert result.suite == "functional"


def test_check_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file in docs/check.md gives the tables that stand there, on repositories like its."""
    page = (ROOT / "docs/check.md").read_text(encoding="utf-8")
    (file,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "promotion.yaml").write_text(file, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"```text\n\$ promotion ([^\n]*)\n(.*?)```", page, re.DOTALL)
    assert [command for command, _ in shown] == ["check", "check --online"]
    deletes_old = {"action": "DELETE", "condition": {"olderThan": "2592000s"}}
    with ArtifactRegistryApi() as api:
        place = "locations/europe-west2/repositories/tenant"
        api.repositories = {
            f"projects/acme-dev/{place}": repository(cleanupPolicies={"old": deletes_old}),
            f"projects/acme-prod/{place}": Resource(
                repository(dockerConfig={}).settings, granted=READING
            ),
        }
        for command, text in shown:
            cli.main(command.split(), {ENDPOINT_VARIABLE: api.endpoint})
            printed = capsys.readouterr()
            assert printed.out + printed.err == text


def test_every_decision_shown_can_be_sent() -> None:
    """What the page on people's decisions shows is of the form that the function takes."""
    page = (ROOT / "docs/control.md").read_text(encoding="utf-8")
    shown = re.findall(r"```json\n(.*?)```", page, re.DOTALL) + re.findall(r"-d '(.*)'", page)
    actions = {decision.parse(text.encode()).action for text in shown}
    assert actions == {"override", "hold", "approve"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links between pages name files that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def with_changes(written: Any, changes: Any) -> Any:
    """A configuration in which some keys are others, or further ones."""
    if not isinstance(written, dict) or not isinstance(changes, dict):
        return changes
    changed = {key: with_changes(written.get(key), value) for key, value in changes.items()}
    return {**written, **changed}


def gate_examples() -> Iterator[tuple[Pipeline, Written]]:
    """The verdicts that the page on gates shows, each with the pipeline it is about."""
    page = GATES.read_text(encoding="utf-8")
    (whole,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if WHOLE in text]
    pipeline = changed = yaml.safe_load(whole)
    for kind, text in re.findall(r"```(yaml|text)\n(.*?)```", page, re.DOTALL):
        if kind == "yaml" and text != whole:
            changed = with_changes(pipeline, {"pipelines": {"shop": yaml.safe_load(text)}})
        read = configuration.parse("promotion.yaml", yaml.safe_dump(changed))
        gates.check_supported(read)
        if kind == "text":
            yield from ((read.pipelines[0], written) for written in verdicts(text))


EXAMPLES = list(gate_examples())


@pytest.mark.parametrize(("pipeline", "written"), EXAMPLES)
def test_every_history_shown_has_the_verdict_shown(pipeline: Pipeline, written: Written) -> None:
    """What is stated in an example leads to its verdict, findings and messages."""
    verdict = written.history.judged(pipeline, written.stage, written.to_stage)
    assert pipeline.stages[written.stage].promotes_to == (written.to_stage,)
    assert verdict.decision is written.decision
    assert tuple(finding.code for finding in verdict.findings) == written.codes
    if written.messages:
        assert tuple(finding.message for finding in verdict.findings) == written.messages


def finding_codes() -> set[str]:
    """The codes of all findings that the source of the gates makes."""
    modules = sorted((ROOT / "promotion/gates").glob("*.py"))
    made = [
        call.args[1]
        for module in modules
        for call in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("Finding", "_failed")
    ]
    return {str(code.value) for code in made if isinstance(code, ast.Constant)}


def test_every_finding_is_explained_and_shown() -> None:
    """Each finding code that the gates know has a row, what it speaks for, and an example."""
    rows = r"^\| `([a-z-]+)` \| (PROMOTE|WAIT|DENY) \|"
    explained = dict(re.findall(rows, GATES.read_text(encoding="utf-8"), re.MULTILINE))
    shown = {
        finding.code: finding.decision.name
        for pipeline, written in EXAMPLES
        for finding in written.history.judged(pipeline, written.stage, written.to_stage).findings
    }
    assert set(explained) == finding_codes()
    assert explained == shown
