"""Pipelines: which gates a run matters to, where evidence is looked for, and who may report."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion import configuration
from promotion.errors import BadMessage
from promotion.pipeline import Image, Pipeline, Pipelines, Stage, Suite
from promotion.registry.reference import Digest, Reference, Repository

NFT = "projects/acme-ci/subscriptions/nft"
RESULTS = "projects/acme-ci/subscriptions/results"

SHOP = f"""
pipelines:
  shop:
    results: {RESULTS}
    stages:
      prod:
        registry: gcr.io/acme-prod
        promotes_to: [europe, asia]
        gate: {{suites: [{{suite: load, from: canary}}]}}
      canary:
        registry: gcr.io/acme
        promotes_to: prod
        gate: {{suites: [smoke, {{suite: functional, from: fast}}]}}
      extended:
        registry: gcr.io/acme
        path: extended-test
        promotes_to: prod
        gate: {{suites: [extended, {{suite: scan, from: scanned}}]}}
      fast:
        registry: gcr.io/acme
        promotes_to: [canary, extended]
        gate: {{suites: [functional, {{suite: nft, via: {NFT}}}]}}
      scanned: {{registry: gcr.io/acme-scans}}
      europe: {{registry: gcr.io/acme-europe}}
      asia: {{registry: gcr.io/acme-asia}}
"""


def pipelines(text: str = SHOP) -> Pipelines:
    """What a promotion.yaml says."""
    return configuration.parse("promotion.yaml", text)


@pytest.fixture
def shop() -> Pipeline:
    """A pipeline whose stages are written in no order, with two ways to prod."""
    (pipeline,) = pipelines().pipelines
    return pipeline


def image(pipeline: Pipeline, stage: str) -> Image:
    """The image tools/shop:1.4.2 in a stage."""
    place = pipeline.stages[stage]
    path = f"{place.repository.path}/tools/shop"
    reference = Reference(Repository(place.repository.host, path), "1.4.2")
    return Image(pipeline, place, "tools/shop", reference)


def names(stages: list[Stage]) -> list[str]:
    """The names of stages."""
    return [stage.name for stage in stages]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("fast", []),
        ("scanned", []),
        ("canary", ["fast"]),
        ("prod", ["canary", "extended", "fast"]),
        ("asia", ["prod", "canary", "extended", "fast"]),
    ],
)
def test_upstream_is_every_stage_on_the_way(
    shop: Pipeline, stage: str, expected: list[str]
) -> None:
    """All ways that lead to a stage count, the nearest stages first, each once."""
    assert names(shop.upstream_of(shop.stages[stage])) == expected


def test_what_a_suite_leaves_open_is_filled_in(shop: Pipeline) -> None:
    """A suite runs in the gate's own stage and comes through the pipeline's subscription."""
    assert shop.suites_of(shop.stages["fast"]) == (
        Suite("functional", "fast", RESULTS),
        Suite("nft", "fast", NFT),
    )
    assert shop.suites_of(shop.stages["prod"]) == (Suite("load", "canary", RESULTS),)
    assert shop.suites_of(shop.stages["europe"]) == ()


def test_a_suite_that_stands_twice_is_asked_for_once() -> None:
    """However it is written, the same suite of the same stage is one condition."""
    text = SHOP.replace("[smoke,", "[smoke, {suite: smoke, from: canary},")
    (shop,) = pipelines(text).pipelines
    asked = shop.suites_of(shop.stages["canary"])
    assert [suite.name for suite in asked] == ["smoke", "functional"]


@pytest.mark.parametrize(
    ("ran_in", "suite", "expected"),
    [
        ("fast", "functional", ["fast", "canary", "extended", "prod"]),
        ("fast", "nft", ["fast", "canary", "extended", "prod"]),
        ("canary", "load", ["prod"]),
        ("canary", "smoke", ["canary", "prod"]),
        ("scanned", "scan", ["extended", "prod"]),
        ("extended", "extended", ["extended", "prod"]),
        ("extended", "functional", []),
        ("fast", "lint", []),
        ("europe", "load", []),
    ],
)
def test_a_run_matters_to_the_gates_that_ask_for_it_and_to_those_further_on(
    shop: Pipeline, ran_in: str, suite: str, expected: list[str]
) -> None:
    """The way goes downstream, whatever the order in the file, and ends where nothing leaves."""
    judged = image(shop, ran_in).judged_upon(suite)
    assert [each.stage.name for each, _ in judged] == expected
    for each, gate in judged:
        assert gate == each.stage.gate
        assert each.reference == image(shop, each.stage.name).reference


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("fast", ["fast", "canary", "extended", "prod"]),
        ("canary", ["canary", "prod"]),
        ("prod", ["prod"]),
        ("europe", []),
    ],
)
def test_an_image_is_judged_from_its_stage_on(
    shop: Pipeline, stage: str, expected: list[str]
) -> None:
    """It may pass several gates at once; what comes before its stage is not looked at."""
    judged = image(shop, stage).judged_from_here()
    assert [each.stage.name for each, _ in judged] == expected


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("fast", ["fast"]),
        ("canary", ["canary", "fast"]),
        ("extended", ["extended", "fast", "scanned"]),
        ("prod", ["prod", "canary", "extended", "fast", "scanned"]),
    ],
)
def test_evidence_may_be_wherever_a_gate_up_to_here_looks(
    shop: Pipeline, stage: str, expected: list[str]
) -> None:
    """Here first, then upstream, then where suites are to run; also those of earlier gates."""
    places = image(shop, stage).evidence_places()
    assert places == [image(shop, each).reference.repository for each in expected]


STAGES = ("a", "b", "c", "d", "e")
SUITES = st.lists(
    st.one_of(
        st.sampled_from(["s", "t"]),
        st.fixed_dictionaries(
            {"suite": st.sampled_from(["s", "t"]), "from": st.sampled_from(STAGES)}
        ),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def any_pipeline(draw: st.DrawFn) -> Pipeline:
    """A pipeline of five stages without a circle, written in any order."""
    stages: dict[str, Any] = {}
    for name in draw(st.permutations(STAGES)):
        later = STAGES[STAGES.index(name) + 1 :]
        targets = draw(st.lists(st.sampled_from(later), unique=True)) if later else []
        stages[name] = {"registry": f"gcr.io/{name}"}
        if targets:
            stages[name] |= {"promotes_to": targets, "gate": {"suites": draw(SUITES)}}
    text = str({"pipelines": {"shop": {"stages": stages}}})
    (pipeline,) = pipelines(text).pipelines
    return pipeline


@given(any_pipeline(), st.sampled_from(STAGES), st.sampled_from(["s", "t"]))
def test_a_gate_sees_every_run_that_it_is_judged_upon(
    pipeline: Pipeline, ran_in: str, suite: str
) -> None:
    """Whatever the stages and where suites run, what was just written is among what is read."""
    here = image(pipeline, ran_in)
    for judged, _ in here.judged_upon(suite):
        assert here.reference.repository in judged.evidence_places()


@given(any_pipeline(), st.sampled_from(STAGES), st.sampled_from(["s", "t"]))
def test_gates_are_judged_in_the_order_of_the_way(
    pipeline: Pipeline, ran_in: str, suite: str
) -> None:
    """An image that leaves one stage is judged in the next one after that, not before."""
    here = image(pipeline, ran_in)
    for judged in (here.judged_upon(suite), here.judged_from_here()):
        stages = [each.stage for each, _ in judged]
        for position, stage in enumerate(stages):
            upstream = pipeline.upstream_of(stage)
            assert not [each.name for each in stages[position + 1 :] if each in upstream]


@pytest.mark.parametrize(
    ("suite", "subscription", "taken"),
    [
        ("functional", RESULTS, True),
        ("nft", RESULTS, True),
        ("nft", NFT, True),
        ("functional", NFT, False),
        ("lint", NFT, False),
        ("nft", "", False),
        ("nft", "projects/other/subscriptions/nft", False),
    ],
)
def test_results_come_through_the_pipeline_s_subscription_or_the_suite_s(
    shop: Pipeline, suite: str, subscription: str, taken: bool
) -> None:
    """A gate that names a subscription for a suite lets that suite in through it, and no other."""
    assert shop.takes(suite, subscription) is taken


def test_without_results_every_subscription_may_report() -> None:
    """A pipeline that names none takes results from wherever the function is reached."""
    (shop,) = pipelines(SHOP.replace(f"results: {RESULTS}", "mode: promote")).pipelines
    for subscription in ("", NFT, RESULTS):
        assert shop.takes("nft", subscription)
        assert shop.takes("functional", subscription)


def test_an_image_keeps_its_name_and_version_in_every_stage(shop: Pipeline) -> None:
    """Only the stage's repository changes on the way, also to another registry path."""
    fast = image(shop, "fast")
    assert (
        str(fast.in_stage(shop.stages["extended"])) == "gcr.io/acme/extended-test/tools/shop:1.4.2"
    )
    assert str(fast.in_stage(shop.stages["asia"])) == "gcr.io/acme-asia/asia/tools/shop:1.4.2"
    assert fast.in_stage(shop.stages["fast"]) == fast.reference


def test_an_image_goes_to_every_next_stage(shop: Pipeline) -> None:
    """Each next stage is a promotion of its own, of the same digest and version."""
    digest = Digest("sha256:" + "a" * 64)
    promotions = image(shop, "prod").promotions(digest)
    assert [(each.from_stage, each.to_stage, each.version) for each in promotions] == [
        ("prod", "europe", "1.4.2"),
        ("prod", "asia", "1.4.2"),
    ]
    assert {each.digest for each in promotions} == {digest}
    assert {each.source for each in promotions} == {image(shop, "prod").reference}
    assert promotions[1].destination == image(shop, "asia").reference


def test_an_image_is_found_by_its_name() -> None:
    """A reference leads to the pipeline, the stage and the name that it has in all of them."""
    found = pipelines().find(Reference.parse("gcr.io/acme/extended-test/tools/shop:1.4.2"))
    assert (found.pipeline.name, found.stage.name, found.name) == ("shop", "extended", "tools/shop")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("gcr.io/acme/fast/shop@sha256:" + "a" * 64, "has no tag"),
        ("ghcr.io/acme/fast/shop:1", "on the registry ghcr.io, which no stage uses"),
        ("gcr.io/acme/fast:1", "is in no stage"),
        ("gcr.io/acme/faster/shop:1", "is in no stage"),
        ("gcr.io/acme/fast/promotion-policy:1", "the name is kept for records"),
    ],
)
def test_what_is_no_image_of_a_stage_is_a_bad_message(reference: str, reason: str) -> None:
    """The error says what about the name is wrong."""
    with pytest.raises(BadMessage, match=reason):
        pipelines().find(Reference.parse(reference))
