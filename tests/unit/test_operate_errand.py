"""What the smoke test sends through a pipeline, or why it cannot."""

from __future__ import annotations

import pytest

from operate.errand import Errand, Wish, errand
from operate.errors import OperationFailed
from promotion import configuration
from promotion.pipeline import Suite

RESULTS = "projects/acme-ci/subscriptions/shop-results"
NFT = "projects/acme-ci/subscriptions/nft"


def sent(gate: str, wish: Wish | None = None, stage: str = "") -> Errand:
    """The errand through a pipeline with this gate."""
    written = f"""\
pipelines:
  shop:
    results: {RESULTS}
    stages:
      prod: {{registry: gcr.io/acme}}
      canary: {{registry: gcr.io/acme}}
      test:
        registry: gcr.io/acme/shop
        promotes_to: [canary, prod]
        gate: {{{gate}}}
        {stage}
"""
    pipelines = configuration.parse("promotion.yaml", written)
    return errand(pipelines, wish or Wish(), "0.0.7")


def test_the_first_stage_to_all_that_follow() -> None:
    """The image leaves the stage that nothing leads into, whichever is written first."""
    found = sent("suites: [functional]")
    assert str(found.source) == "gcr.io/acme/shop/test/promotion-smoke:0.0.7"
    assert [str(each) for each in found.destinations] == [
        "gcr.io/acme/canary/promotion-smoke:0.0.7",
        "gcr.io/acme/prod/promotion-smoke:0.0.7",
    ]
    assert found.suites == (Suite("functional", "test", RESULTS),)


def test_suites_with_a_way_of_their_own() -> None:
    """A suite that another subscription must bring is reported there."""
    found = sent(f"suites: [functional, {{suite: nft, via: {NFT}}}]")
    assert [each.via for each in found.suites] == [RESULTS, NFT]


@pytest.mark.parametrize(
    ("refs", "ref"),
    [
        ("[refs/heads/main, refs/tags/*]", "refs/heads/main"),
        ("['refs/tags/v*']", "refs/tags/v0.0.7"),
    ],
)
def test_a_ref_that_may_leave(refs: str, ref: str) -> None:
    """The ref is one that the gate allows."""
    assert sent(f"suites: [functional], refs: {refs}").ref == ref


def test_what_the_operator_wishes() -> None:
    """Pipeline, version and ref can be chosen."""
    gate = "suites: [functional], versions: 'v[0-9]+', refs: ['refs/heads/release-[0-9]']"
    found = sent(gate, Wish("shop", "v9", "refs/heads/release-3"))
    assert (found.pipeline, found.version, found.ref) == ("shop", "v9", "refs/heads/release-3")


@pytest.mark.parametrize(
    ("gate", "stage", "reason"),
    [
        ("suites: [functional], soak: 4h", "", "it has to soak for 4:00:00"),
        ("suites: [functional], approvals: 2", "", "it needs 2 approvals"),
        ("suites: [functional]", "auto: false", "a person has to say so"),
        ("suites: [functional], versions: 'v[0-9]+'", "", "0.0.7 is not a version like v"),
        (
            "suites: [functional], refs: ['refs/heads/release-[0-9]']",
            "",
            "refs/heads/release-[0-9] is none of the refs",
        ),
        ("approvals: 1", "", "its gate names no suite"),
    ],
)
def test_what_results_alone_do_not_open(gate: str, stage: str, reason: str) -> None:
    """A gate that asks for more than results is named before anything is pushed."""
    with pytest.raises(OperationFailed, match="Results alone do not let an image leave test") as no:
        sent(gate, stage=stage)
    assert reason in str(no.value)


def test_no_such_pipeline() -> None:
    """A pipeline that is not there is refused, with those that are."""
    with pytest.raises(OperationFailed, match="no pipeline 'till'; there are shop"):
        sent("suites: [functional]", Wish("till"))
