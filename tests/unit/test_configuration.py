"""promotion.yaml: what it means, and what is said about one that is wrong."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from promotion import configuration
from promotion.errors import BadConfiguration
from promotion.pipeline import DatedFreeze, Gate, Suite, WeeklyFreeze

FULL = """\
pipelines:
  shop:
    results: projects/acme-ci/subscriptions/shop-results
    stages:
      fast-feedback:
        registry: europe-west2-docker.pkg.dev/acme-dev/tenant/shop
        path: fast-feedback
        promotes_to: extended-test
        gate:
          suites: [functional, nft, integration]
          refs: ["refs/heads/main", "refs/tags/*"]
          versions: semver
      extended-test:
        registry: europe-west2-docker.pkg.dev/acme-dev/tenant/shop
        promotes_to: [prod]
        entry: any
        auto: false
        expect_within: 2h
        gate:
          suites: [extended]
          soak: 4h
          soak_from: promotion
          restart_soak_on_alert: true
          alerts: none
          approvals: 1
          approvers: [ana@acme.dev, bo@acme.dev]
          freeze:
            - {from: "fri 16:00", to: "mon 08:00", timezone: Europe/London, reason: weekend}
            - {from: 2026-12-24T16:00, to: 2027-01-02T08:00, reason: holidays}
      prod:
        registry: europe-west2-docker.pkg.dev/acme-prod/tenant/shop
signals: projects/acme-ci/subscriptions/promotion-signals
signing:
  kms: projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1
  trusted: [a public key]
"""

SMALL = """\
pipelines:
  shop:
    mode: %s
    stages:
      one: {registry: gcr.io/acme, promotes_to: two, gate: {%s}}
      two: {registry: gcr.io/acme, promotes_to: three, gate: {%s}}
      three: {registry: gcr.io/acme}
"""


def test_everything_that_can_be_written_is_read() -> None:
    """Each key of a full promotion.yaml arrives where it belongs."""
    pipelines = configuration.parse("promotion.yaml", FULL)
    (shop,) = pipelines.pipelines
    fast, extended, prod = shop.stages.values()
    assert shop.results == "projects/acme-ci/subscriptions/shop-results"
    assert str(fast.repository) == "europe-west2-docker.pkg.dev/acme-dev/tenant/shop/fast-feedback"
    assert fast.gate == Gate(
        suites=(Suite("functional"), Suite("nft"), Suite("integration")),
        refs=("refs/heads/main", "refs/tags/*"),
        versions="semver",
    )
    assert extended.entry == "any"
    assert extended.promotes_to == ("prod",)
    assert (extended.auto, extended.expect_within) == (False, timedelta(hours=2))
    assert (fast.auto, fast.expect_within) == (True, None)
    assert extended.gate == Gate(
        suites=(Suite("extended"),),
        soak=timedelta(hours=4),
        soak_from="promotion",
        restart_soak_on_alert=True,
        no_alerts=True,
        approvals=1,
        approvers=("ana@acme.dev", "bo@acme.dev"),
        freeze=(
            WeeklyFreeze(4, time(16), 0, time(8), ZoneInfo("Europe/London"), "weekend"),
            DatedFreeze(
                datetime(2026, 12, 24, 16), datetime(2027, 1, 2, 8), ZoneInfo("UTC"), "holidays"
            ),
        ),
    )
    assert prod.gate is None
    assert str(prod.repository) == "europe-west2-docker.pkg.dev/acme-prod/tenant/shop/prod"
    assert pipelines.signals == "projects/acme-ci/subscriptions/promotion-signals"
    assert pipelines.signing is not None
    assert pipelines.signing.trusted == ("a public key",)


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        (
            "approvals: 1",
            "aprovals: 1",
            r":LINE: .*extended-test\.gate\.aprovals: unknown key; did y",
        ),
        (
            "approvals: 1",
            "approvals: many",
            r":LINE: .*\.gate\.approvals: expected `int`, got `str`",
        ),
        ("approvals: 1", "approvals: -1", r":LINE: .*\.gate\.approvals: "),
        ("suites: [extended]", "suites: extended", r":LINE: .*\.gate\.suites: expected `array`"),
        ("suites: [extended]", "suites: [1]", r":LINE: .*\.gate\.suites\[0\]: expected"),
        ("soak: 4h", "soak: 4 hours", r":LINE: .*\.gate\.soak: '4 hours' is not a duration"),
        ("alerts: none", "alerts: some", r":LINE: .*\.gate\.alerts: "),
        ("fri 16:00", "frei 16:00", r":LINE: .*\.freeze\[0\]\.from: 'frei 16:00' is not"),
        ("fri 16:00", "fri 24:00", r":LINE: .*\.freeze\[0\]\.from: "),
        ("Europe/London", "Europe/Lundun", r":LINE: .*\.freeze\[0\]\.timezone: .* not a time zone"),
        (", reason: weekend", "", r":LINE: .*\.freeze\[0\]\.reason: this key is missing"),
        ("mon 08:00", "fri 16:00", r":LINE: .*\.freeze\[0\]\.to: this does not come after fri 16"),
        ("mon 08:00", "2026-12-24T16:00", r":LINE: .*\.freeze\[0\]\.to: this does not come after"),
        ("2027-01-02T08:00", "mon 08:00", r":LINE: .*\.freeze\[1\]\.to: this does not come after"),
        ("2027-01-02", "2026-01-02", r":LINE: .*\.to: this does not come after 2026-12-24T16:00"),
        ("2027-01-02", "2027-02-30", r":LINE: .*\.to: '2027-02-30T08:00' is not a weekday and a"),
        ("soak: 4h", "soak: 9999999d", r":LINE: .*\.gate\.soak: '9999999d' is not a duration"),
        ("expect_within: 2h", "expect_within: 2", r":LINE: .*\.expect_within: expected `str`"),
        ("expect_within: 2h", "expect_within: 2w", r":LINE: .*\.expect_within: '2w' is not a dur"),
        ("auto: false", "auto: never", r":LINE: .*extended-test\.auto: expected `bool`"),
        ("approvals: 1", "approvals: 3", r":LINE: .*\.approvals: 3 must approve, and only 2 may"),
        (
            "soak_from: promotion",
            "soak_from: build",
            r":LINE: .*\.soak_from: invalid enum value 'build'",
        ),
        ("versions: semver", "versions: '['", r":LINE: .*\.gate\.versions: '\[' is neither"),
        (
            "promotes_to: extended-test",
            "promotes_to: x",
            r":LINE: .*promotes_to: there is no stage 'x'",
        ),
        (
            "[prod]",
            "[fast-feedback]",
            r"promotes_to: a cycle: fast-feedback → extended-test → fast",
        ),
        ("[prod]", "[prod, prod]", r":LINE: .*promotes_to: a stage stands there twice"),
        ("[prod]", "[extended-test]", r"promotes_to: a cycle: extended-test → extended-test"),
        ("path: fast-feedback", "path: extended-test", r"extended-test: its repository .* overlap"),
        (
            "path: fast-feedback",
            "path: extended-test/x",
            r"extended-test: its repository .* overlap",
        ),
        (
            "path: fast-feedback",
            "path: UPPER",
            r"fast-feedback\.registry: .* not a repository path",
        ),
        (
            "projects/acme-ci/subscriptions/shop-results",
            "shop-results",
            r":LINE: .*shop\.results: ",
        ),
        ("projects/acme-ci/subscriptions/promotion-signals", "signals", r":LINE: signals: "),
        ("cryptoKeys/k/", "", r":LINE: signing\.kms: "),
        ("signing:\n", "signing:\n  key: k.pem\n", r":LINE: signing: name either a kms key"),
        ("pipelines:", "pipeline:", r":LINE: pipeline: unknown key; did you mean 'pipelines'"),
        ("signals:", "pipelines: {}\nsignals:", r":LINE: pipelines: this key stands here twice"),
        ("entry: any", "entry: all", r":LINE: .*extended-test\.entry: "),
        (
            "        gate:\n          suites: [ext",
            "        gat:\n          suites: [ext",
            r"gat: unknown",
        ),
        ("path: fast-feedback", "{}: 1", r":LINE: .*a key must be text"),
        ("path: fast-feedback", "path: [", r"promotion\.yaml:\d+: .*not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(good: str, bad: str, complaint: str) -> None:
    """One wrong thing in the file is reported with its place and what is wrong with it."""
    line = FULL[: FULL.index(good)].count("\n") + 1
    expected = complaint.replace("LINE", str(line))
    with pytest.raises(BadConfiguration, match=expected) as raised:
        configuration.parse("promotion.yaml", FULL.replace(good, bad, 1))
    assert str(raised.value).startswith("promotion.yaml:")


def test_a_stage_that_promotes_needs_a_gate() -> None:
    """A stage with promotes_to and without a gate would let everything pass: it is an error."""
    text = (
        FULL[: FULL.index("        gate:\n          suites: [functional")]
        + (FULL[FULL.index("      extended-test:\n") :])
    )
    with pytest.raises(
        BadConfiguration, match=r"fast-feedback\.gate: a stage with promotes_to needs"
    ):
        configuration.parse("promotion.yaml", text)


def test_an_empty_gate_is_an_error() -> None:
    """A gate without any condition is not a gate."""
    text = FULL.replace("suites: [functional, nft, integration]", "refs: []")
    text = text.replace('          refs: ["refs/heads/main", "refs/tags/*"]\n', "")
    with pytest.raises(BadConfiguration, match="gate: an empty gate holds nothing back"):
        configuration.parse("promotion.yaml", text.replace("          versions: semver\n", ""))


def test_refs_without_suites_are_an_error() -> None:
    """Refs are those that suites ran on, so without a suite they would hold nothing back."""
    text = FULL.replace("          suites: [functional, nft, integration]\n", "")
    line = text[: text.index("          refs:")].count("\n") + 1
    expected = rf":{line}: .*fast-feedback\.gate\.refs: refs judge the runs of suites; name suites"
    with pytest.raises(BadConfiguration, match=expected):
        configuration.parse("promotion.yaml", text)


@pytest.mark.parametrize(
    ("gate", "complaint"),
    [
        ("versions: semver, soak_from: promotion", r"soak_from: this is about a soak"),
        ("versions: semver, restart_soak_on_alert: true", r"restart_\w+: this is about a soak"),
        ("versions: semver, approvers: [ana@acme.dev]", r"approvers: these could approve"),
        ("approvals: 2, approvers: [a@b.c, A@B.C]", r"approvals: 2 must approve, and only 1 may"),
        ("soak: 1h, soak_from: promotion", r"soak_from: no stage promotes to one"),
    ],
)
def test_a_key_that_says_more_of_another_needs_it(gate: str, complaint: str) -> None:
    """What could hold nothing back, or could never be met, is an error."""
    with pytest.raises(BadConfiguration, match=rf"^promotion\.yaml:5: .*\.gate\.{complaint}"):
        configuration.parse("promotion.yaml", SMALL % ("promote", gate, "versions: semver"))


def test_a_soak_since_a_promotion_needs_promotions() -> None:
    """Where nothing is promoted there are no records for it to count from."""
    gates = "versions: semver", "soak: 1h, soak_from: promotion"
    configuration.parse("promotion.yaml", SMALL % ("promote", *gates))
    with pytest.raises(BadConfiguration, match="soak_from: with mode: observe nothing is ever"):
        configuration.parse("promotion.yaml", SMALL % ("observe", *gates))


def test_all_problems_of_a_kind_are_reported_together() -> None:
    """Somebody who mends a file is not sent round once for each mistake."""
    text = FULL.replace("4h", "4 hours").replace("London", "Lundun")
    with pytest.raises(BadConfiguration) as raised:
        configuration.parse("promotion.yaml", text)
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize("value", ["2001-99-99", "!!int abc", "!!bool abc", "\x01", "&a [*a]"])
def test_values_that_cannot_be_read_are_errors_too(value: str) -> None:
    """Whatever stands in the file, it is an error of ours that names the file."""
    with pytest.raises(BadConfiguration, match=r"^promotion\.yaml:\d+: "):
        configuration.parse("promotion.yaml", FULL.replace("semver", value))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "nothing is written here"),
        ("[]", "expected `object`, got `array`"),
        ("1", "expected `object`, got `int`"),
        ("pipelines: {}", "pipelines: there is none; write one at least"),
        ("pipelines: {shop: }", "pipelines.shop: nothing is written here"),
        ("pipelines: {shop: {}}", "pipelines.shop.stages: this key is missing"),
    ],
)
def test_a_file_without_pipelines_is_an_error(text: str, complaint: str) -> None:
    """A file that configures nothing is reported, not run."""
    with pytest.raises(BadConfiguration) as raised:
        configuration.parse("promotion.yaml", text)
    assert str(raised.value).removeprefix("promotion.yaml:1: ") == complaint


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Its digest, which records name as that of the policy, is what others find for the file."""
    file = tmp_path / "promotion.yaml"
    file.write_bytes(FULL.replace("\n", "\r\n").encode())
    assert configuration.read(file).encode() == file.read_bytes()
    assert configuration.load(file) == configuration.parse("promotion.yaml", FULL)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error for a missing file says which one, and how to name another."""
    with pytest.raises(
        BadConfiguration, match=r"none\.yaml cannot be read: No such file.*PROMOTION_CONFIG"
    ):
        configuration.load(tmp_path / "none.yaml")
