"""Gates in words."""

from __future__ import annotations

import pytest

from promotion import configuration
from promotion.conditions import conditions

FILE = """\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: gcr.io/acme
        promotes_to: prod
        gate: {%s}
      prod:
        registry: gcr.io/acme
"""


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("suites: [functional, nft], order: any", ["functional succeeded", "nft succeeded"]),
        (
            "suites: [{suite: smoke, from: prod, via: projects/p/subscriptions/s}], order: any",
            ["smoke succeeded in prod, reported through projects/p/subscriptions/s"],
        ),
        (
            "suites: [a], refs: [refs/heads/main], order: any",
            ["a succeeded", "ref refs/heads/main"],
        ),
        ("suites: [a], refs: [a, b*], order: any", ["a succeeded", "ref a or b*"]),
        ("versions: semver, order: any", ["a release version (semver)"]),
        ("versions: 'v[0-9]+', order: any", ["a version like v[0-9]+"]),
        ("soak: 90s, order: any", ["90s in the stage"]),
        ("soak: 90m, order: any", ["90m in the stage"]),
        ("soak: 4h, order: any", ["4h in the stage"]),
        ("soak: 48h, order: any", ["2d in the stage"]),
        ("soak: 0s, suites: [a], order: any", ["a succeeded", "0s in the stage"]),
        (
            "soak: 4h, restart_soak_on_alert: true, order: any",
            ["4h in the stage, anew after every alert"],
        ),
        ("alerts: none, order: any", ["no open alert"]),
        ("approvals: 1, order: any", ["1 approval"]),
        ("approvals: 2, order: any", ["2 approvals"]),
        (
            "approvals: 1, approvers: [ana@acme.dev, bo@acme.dev], order: any",
            ["1 approval of ana@acme.dev, bo@acme.dev"],
        ),
        (
            "freeze: [{from: 2026-12-24T16:00, to: 2027-01-02T08:00, reason: holidays}],"
            " order: any",
            ["not 2026-12-24 16:00 to 2027-01-02 08:00 UTC: holidays"],
        ),
        (
            "freeze: [{from: fri 16:00, to: mon 08:05, timezone: Europe/London, reason: weekend}],"
            " order: any",
            ["not fri 16:00 to mon 08:05 Europe/London: weekend"],
        ),
    ],
)
def test_each_condition_has_words(written: str, words: list[str]) -> None:
    """What a key of a gate asks for, in the order in which it is judged."""
    said = said_of(written)
    said.remove("also behind the next stage's versions")
    assert said == words


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("suites: [a]", "not behind the next stage's versions of the same minor"),
        ("suites: [a], order: minor", "not behind the next stage's versions of the same minor"),
        ("suites: [a], order: strict", "not behind any version of the next stage"),
    ],
)
def test_what_holds_without_being_written_is_said_too(written: str, words: str) -> None:
    """A version that the next stage is ahead of stays, unless the gate says otherwise."""
    assert said_of(written) == ["a succeeded", words]


def said_of(gate: str) -> list[str]:
    """The words for a gate of promotion.yaml."""
    pipelines = configuration.parse("promotion.yaml", FILE % gate)
    found = pipelines.pipelines[0].stages["fast-feedback"].gate
    assert found is not None
    return conditions(found)
