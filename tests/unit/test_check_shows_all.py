"""``promotion check`` shows whatever promotion.yaml says: no key of it is left out."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from promotion.written import (
    FreezeWritten,
    GateWritten,
    PipelinesWritten,
    PipelineWritten,
    SigningWritten,
    StageWritten,
    SuiteWritten,
)
from tests.unit.checking import check, write

KEY = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions"
FILE: dict[str, Any] = {
    "pipelines": {
        "shop": {
            "results": "projects/p/subscriptions/results",
            "stages": {
                "first": {
                    "registry": "registry.example",
                    "promotes_to": "second",
                    "gate": {"suites": ["functional"]},
                },
                "second": {
                    "registry": "registry.example",
                    "promotes_to": "third",
                    "gate": {
                        "suites": [{"suite": "extended"}],
                        "soak": "4h",
                        "approvals": 1,
                        "freeze": [{"from": "fri 16:00", "to": "mon 08:00", "reason": "weekend"}],
                    },
                },
                "third": {"registry": "registry.example"},
            },
        }
    },
    "signals": "projects/p/subscriptions/signals",
    "signing": {"kms": f"{KEY}/1"},
}
STAGE = ("pipelines", "shop", "stages", "second")
GATE = (*STAGE, "gate")
SUITE = (*GATE, "suites", 0)
FREEZE = (*GATE, "freeze", 0)
# What else could stand at each key.
OTHERWISE: dict[type[msgspec.Struct], tuple[tuple[str | int, ...], dict[str, Any]]] = {
    PipelinesWritten: (
        (),
        {
            "pipelines": {"other": FILE["pipelines"]["shop"]},
            "signals": "projects/p/subscriptions/others",
            "signing": {"key": "key.pem"},
        },
    ),
    PipelineWritten: (
        ("pipelines", "shop"),
        {
            "stages": {"only": {"registry": "registry.example"}},
            "results": "projects/p/subscriptions/others",
            "mode": "observe",
        },
    ),
    StageWritten: (
        STAGE,
        {
            "registry": "other.example",
            "path": "elsewhere",
            "promotes_to": [],
            "gate": {"suites": ["other"]},
            "entry": "any",
            "auto": False,
            "expect_within": "2h",
        },
    ),
    GateWritten: (
        GATE,
        {
            "suites": ["other"],
            "refs": ["refs/heads/main"],
            "versions": "semver",
            "order": "any",
            "soak": "5h",
            "soak_from": "promotion",
            "restart_soak_on_alert": True,
            "alerts": "none",
            "approvals": 2,
            "approvers": ["ann@example.com"],
            "freeze": [],
        },
    ),
    SuiteWritten: (
        SUITE,
        {"suite": "other", "from": "first", "via": "projects/p/subscriptions/others"},
    ),
    FreezeWritten: (
        FREEZE,
        {
            "from": "fri 17:00",
            "to": "mon 09:00",
            "reason": "other",
            "timezone": "Europe/London",
        },
    ),
    SigningWritten: (
        ("signing",),
        {"kms": f"{KEY}/2", "key": "key.pem", "trusted": ["a public key"]},
    ),
}
CHANGES = [
    pytest.param(kind, (*path, key), value, id=".".join(map(str, (*path, key))))
    for kind, (path, values) in OTHERWISE.items()
    for key, value in values.items()
]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("kind", "path", "value"), CHANGES)
def test_what_is_written_otherwise_is_shown_otherwise(
    kind: type[msgspec.Struct],
    path: tuple[str | int, ...],
    value: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the tables as in the JSON, for every key there is."""
    changed = deepcopy(FILE)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    if kind is SigningWritten and path[-1] == "key":
        del place["kms"]
    if path == (*STAGE, "promotes_to"):
        del place["gate"]
    for options in ([], ["--json"]):
        assert shown(FILE, options, capsys) != shown(changed, options, capsys)


@pytest.mark.parametrize("kind", OTHERWISE, ids=lambda kind: kind.__name__)
def test_no_key_is_forgotten_here(kind: type[msgspec.Struct]) -> None:
    """A key that is new has to be shown, too."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert set(OTHERWISE[kind][1]) == known


def shown(
    content: dict[str, Any], options: list[str], capsys: pytest.CaptureFixture[str]
) -> object:
    """What is said of a right file with this content."""
    write(yaml.safe_dump(content))
    assert check(*options) == 0
    printed = capsys.readouterr().out
    return json.loads(printed) if options else printed
