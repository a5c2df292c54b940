"""What the documentation shows works as shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from promotion import cli, configuration, events, gates
from promotion.artifact_registry import ENDPOINT_VARIABLE
from promotion.delivery import Message
from promotion.inspection import READING
from tests.unit.artifact_registry_api import ArtifactRegistryApi, Resource, repository

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[str]:
    """All code blocks of one kind."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return [
        block for text in texts for block in re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("text", blocks("yaml"))
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
        result = events.parse(Message(data, {}, "1", datetime(2026, 1, 31, 12, tzinfo=UTC)))
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links between pages name files that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_finding_is_explained() -> None:
    """Each finding code that the gates know stands in the table of findings."""
    codes = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)",\n', (ROOT / "promotion/gates.py").read_text()))
    codes |= set(
        re.findall(r'Decision\.\w+, "([a-z-]+)"', (ROOT / "promotion/gates.py").read_text())
    )
    page = (ROOT / "docs/messages.md").read_text(encoding="utf-8")
    assert codes == set(re.findall(r"^\| `([a-z-]+)` \| (?:PROMOTE|WAIT|DENY)", page, re.MULTILINE))
