"""``promotion check``: what it says of promotion.yaml, and how it says what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.registry import EmbeddedRegistry
from promotion.keys import PrivateKey
from tests.unit import processes
from tests.unit.checking import (
    DEV_ADDRESS,
    PROD_ADDRESS,
    SHOP,
    check,
    stage_at,
    write,
)

ROOT = Path(__file__).parent.parent.parent
RESULTS = "projects/p/subscriptions/shop-results"
SIGNALS = "projects/p/subscriptions/signals"
KMS = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_right_file_is_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage has its repository, where images go from there, and on which conditions."""
    write(SHOP)
    assert check() == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line.split() for line in printed.out.splitlines()]
    assert lines[0] == ["pipeline", "stage", "repository", "promotes", "to", "gate"]
    assert lines[1:7] == [
        [
            *("shop", "fast-feedback", f"{DEV_ADDRESS}/shop/fast-feedback", "extended-test"),
            *("functional", "succeeded"),
        ],
        ["ref", "refs/heads/main", "or", "refs/tags/*"],
        ["not", "behind", "the", "next", "stage's", "versions", "of", "the", "same", "minor"],
        [
            *("shop", "extended-test", f"{DEV_ADDRESS}/shop/extended-test", "prod"),
            *("extended", "succeeded"),
        ],
        ["a", "version", "like", "[a-z]+"],
        ["also", "behind", "the", "next", "stage's", "versions"],
    ]
    assert lines[7] == ["shop", "prod", f"{PROD_ADDRESS}/shop/prod"]
    assert printed.out.endswith("\n\npromotion.yaml is right\n")


def test_each_problem_is_a_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has file, line, key and what is wrong; standard error says how many."""
    write(SHOP.replace("[functional]", "[functional]\n          sok: 4h").replace("shop\n", "\n"))
    assert check("--online") == 1
    printed = capsys.readouterr()
    place = "promotion.yaml:9: pipelines.shop.stages.fast-feedback.gate"
    assert printed.out == f"{place}.sok: unknown key; did you mean 'soak'?\n"
    assert printed.err == ("promotion: 1 problem in promotion.yaml; mend that and check again\n")


def test_what_nothing_would_judge_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """The function would not start with it; what the file means is shown all the same."""
    write(SHOP.replace("suites: [functional]", "suites: [functional]\n          alerts: none"))
    assert check() == 1
    printed = capsys.readouterr()
    assert "stages.fast-feedback.gate.alerts: alerts come through signals" in printed.out
    assert "no open alert" in printed.out
    assert "1 problem in promotion.yaml" in printed.err


def test_a_pipeline_that_copies_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Its name has a word behind it."""
    write(SHOP.replace("    stages:", "    mode: observe\n    stages:"))
    check()
    assert "\nshop (observed)  fast-feedback  " in capsys.readouterr().out


def test_what_a_stage_says_beside_its_gate_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Below its conditions; below the table is where messages come through, and who signs."""
    write(
        f"""\
pipelines:
  shop:
    results: {RESULTS}
    stages:
      fast-feedback:
        registry: registry.example
        promotes_to: prod
        auto: false
        entry: any
        expect_within: 120m
        gate: {{suites: [functional], order: any}}
      prod:
        registry: registry.example
signals: {SIGNALS}
signing: {{kms: {KMS}}}
"""
    )
    assert check() == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1].endswith("functional succeeded")
    assert lines[3:6] == [
        "a person says promote",
        "also without a record of how it came in",
        "reported when it has waited for 2h",
    ]
    assert lines[8:] == [
        f"results of shop come through {RESULTS}",
        f"signals come through {SIGNALS}",
        f"the key {KMS} signs, and is trusted",
        "",
        "promotion.yaml is right",
    ]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "JSON"])
@pytest.mark.parametrize("where", ["key: {}", "key: key.pem, trusted: [{}]"])
def test_a_key_that_stands_in_the_file_is_not_repeated(
    where: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be a private one: that there is one is all that is shown."""
    key = PrivateKey.generate().to_pem().decode()
    write(SHOP + f"signing: {{{where.format(json.dumps(key))}}}\n")
    assert check(*options) == 0
    printed = "".join(capsys.readouterr())
    assert not any(line in printed for line in key.splitlines())


def test_the_file_is_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument comes before PROMOTION_CONFIG, and that before promotion.yaml."""
    assert check() == 1
    assert "promotion.yaml cannot be read" in capsys.readouterr().out
    Path("other.yaml").write_text(SHOP, encoding="utf-8")
    assert check(PROMOTION_CONFIG="other.yaml") == 0
    assert "other.yaml is right" in capsys.readouterr().out
    assert check("absent.yaml", PROMOTION_CONFIG="other.yaml") == 1
    assert "absent.yaml cannot be read" in capsys.readouterr().out


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """It holds the stages of a right file, and the problems of a wrong one."""
    write(stage_at("registry.example"))
    assert check("--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": "promotion.yaml",
        "ok": True,
        "problems": [],
        "pipelines": [{"pipeline": "shop", "mode": "promote", "results": ""}],
        "stages": [
            {
                "pipeline": "shop",
                "stage": "prod",
                "repository": "registry.example/shop/prod",
                "promotes_to": [],
                "gate": [],
                "entry": "record",
                "auto": True,
                "expect_within": None,
            }
        ],
        "signals": "",
        "signing": None,
        "checks": [],
    }
    write("pipelines: {}\n")
    assert check("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["stages"] == report["checks"] == []
    (problem,) = report["problems"]
    assert problem.startswith("promotion.yaml:1: pipelines: ")


def test_a_terminal_has_colours_unless_they_are_not_wanted(near: EmbeddedRegistry) -> None:
    """A warning is yellow there, and only there; NO_COLOR leaves the word alone."""
    write(stage_at(near.host))
    command = ["check", "--online"]

    def on_a_terminal(**more: str) -> bytes:
        with processes.terminal(command, Path.cwd(), **more) as terminal:
            return terminal.end()

    yellow = b"\x1b[33m"
    assert yellow + b"warning" in on_a_terminal()
    plain = on_a_terminal(NO_COLOR="1")
    assert b"warning" in plain
    assert yellow not in plain
    piped = processes.piped(command, Path.cwd()).stdout
    assert "warning" in piped
    assert "\x1b" not in piped


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """And says how to ask as the function."""
    with pytest.raises(SystemExit) as ended:
        check("--help")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "promotion check deploy/promotion.yaml --online" in printed
    assert "--impersonate-service-account" in printed


def test_what_is_not_asked_for_is_not_loaded() -> None:
    """Google's client library takes a third of a second, which the file alone does not need."""
    write(SHOP)
    program = (
        "import sys; from promotion import cli; cli.main(['check', '--json'], {});"
        " print([n for n in ('google.auth', 'grpc', 'requests', 'rich') if n in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.stdout.splitlines()[1:] == ["[]"], ended.stderr
