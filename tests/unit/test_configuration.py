"""promotion.yaml: what it means, and what is said about one that is wrong."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from promotion import configuration
from promotion.errors import BadConfiguration
from promotion.pipeline import Freeze, Gate, Suite

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
        gate:
          suites: [extended]
          soak: 4h
          alerts: none
          approvals: 1
          freeze: [{from: "fri 16:00", to: "mon 08:00", timezone: Europe/London, reason: weekend}]
      prod:
        registry: europe-west2-docker.pkg.dev/acme-prod/tenant/shop
signals: projects/acme-ci/subscriptions/promotion-signals
signing:
  kms: projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1
  trusted: [a public key]
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
    assert extended.gate == Gate(
        suites=(Suite("extended"),),
        soak=timedelta(hours=4),
        no_alerts=True,
        approvals=1,
        freeze=(Freeze(4, time(16), 0, time(8), ZoneInfo("Europe/London"), "weekend"),),
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


@pytest.mark.parametrize("text", ["", "[]", "1", "pipelines: {}", "pipelines: {shop: {}}"])
def test_a_file_without_pipelines_is_an_error(text: str) -> None:
    """A file that configures nothing is reported, not run."""
    with pytest.raises(BadConfiguration):
        configuration.parse("promotion.yaml", text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error for a missing file says which one, and how to name another."""
    with pytest.raises(BadConfiguration, match=r"none\.yaml cannot be read.*PROMOTION_CONFIG"):
        configuration.load(tmp_path / "none.yaml")
