"""Decisions: what follows from an image's version, its tags, and how it came into its stage."""

from __future__ import annotations

import pytest

from promotion import gates
from promotion.gates import Standing
from promotion.pipeline import Pipeline
from promotion.registry.reference import Digest
from promotion.verdict import Decision
from tests.unit.histories import OTHER, TESTED, Stated, codes, image, judge, promoted, run, shop

PROMOTE, DENY = Decision.PROMOTE, Decision.DENY

ONE = shop("suites: [functional]")


@pytest.mark.parametrize(
    ("gate", "version", "there", "expected"),
    [
        ("versions: semver", "1.4.2", [], []),
        ("versions: semver", "1.4.2-rc1", [], ["version-not-allowed"]),
        ("versions: semver", "v1.4.2", [], ["version-not-allowed"]),
        ("versions: semver", "main-123", [], ["version-not-allowed"]),
        ("versions: '[0-9]+'", "17", [], []),
        ("versions: '[0-9]+'", "17b", [], ["version-not-allowed"]),
        ("order: minor", "1.4.2", ["1.4.3"], ["superseded"]),
        ("order: minor", "1.4.2", ["1.4.10"], ["superseded"]),
        ("order: minor", "1.4.10", ["1.4.9"], []),
        ("order: minor", "1.4.2", ["1.5.0", "2.0.0", "latest"], []),
        ("order: minor", "1.4.3", ["1.4.3-rc1"], []),
        ("order: minor", "1.4.2", ["1.4.3-rc1"], ["superseded"]),
        ("order: strict", "1.4.2", ["1.5.0"], ["superseded"]),
        ("order: strict", "1.4.2", ["1.3.9", "0.9.0", "latest"], []),
        ("order: strict", "main-123", ["1.5.0"], []),
        ("order: any", "1.4.2", ["1.4.3", "9.0.0"], []),
        ("versions: semver", "1.4.2-rc1", ["1.4.2"], ["version-not-allowed", "superseded"]),
    ],
)
def test_versions(gate: str, version: str, there: list[str], expected: list[str]) -> None:
    """Only versions of the wanted form leave, and none that the next stage is ahead of."""
    standing = Standing(TESTED, None, there)
    pipeline = shop(f"suites: [functional], {gate}")
    verdict = judge(pipeline, run(), version=version, standing=standing)
    assert codes(verdict) == ["suite-succeeded", *expected]
    assert verdict.decision is (DENY if expected else PROMOTE)


def test_what_is_there_already_is_not_superseded() -> None:
    """A promotion that is finished after a crash is not held up by a newer one."""
    verdict = judge(ONE, run(), standing=Standing(TESTED, TESTED, ["1.4.2", "1.4.3"]))
    assert codes(verdict) == ["suite-succeeded"]


@pytest.mark.parametrize(
    ("gate", "version", "looks"),
    [
        ("order: minor", "1.4.2", True),
        ("order: strict", "1.4.2", True),
        ("order: any", "1.4.2", False),
        ("order: strict", "main-123", False),
    ],
)
def test_versions_are_looked_at_only_where_they_matter(
    gate: str, version: str, looks: bool
) -> None:
    """Nobody lists the tags of a repository for a verdict that does not depend on them."""
    pipeline = shop(f"suites: [functional], {gate}")
    (promotion,) = image(pipeline, "fast-feedback", version).promotions(TESTED)
    asked = pipeline.stages["fast-feedback"].gate
    assert asked is not None
    assert gates.looks_at_versions(asked, promotion) is looks


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (TESTED, None, []),
        (TESTED, TESTED, []),
        (OTHER, None, ["tag-moved"]),
        (None, None, ["not-at-source"]),
        (TESTED, OTHER, ["tag-conflict"]),
        (OTHER, OTHER, ["tag-moved", "tag-conflict"]),
        (None, OTHER, ["not-at-source", "tag-conflict"]),
    ],
)
def test_tags_that_name_something_else_are_denied(
    source: Digest | None, destination: Digest | None, expected: list[str]
) -> None:
    """The digest that was tested has to bear the version here, and nothing else there."""
    verdict = judge(ONE, run(), standing=Standing(source, destination))
    assert codes(verdict) == ["suite-succeeded", *expected]
    assert verdict.decision is (DENY if expected else PROMOTE)


def test_a_moved_tag_and_a_conflict_name_both_digests() -> None:
    """A person reads what was tested, and what is there instead."""
    text = str(judge(ONE, run(), standing=Standing(OTHER, OTHER)))
    assert "the tag moved after the test" in text
    assert "a version is never overwritten" in text
    assert text.count(TESTED) == text.count(OTHER) == 2


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ([promoted()], "promoted-here"),
        ([], "no-record"),
        ([promoted("prod", from_stage="extended-test")], "no-record"),
        ([promoted(version="1.4.1")], "no-record"),
        ([promoted(name="shop-db")], "no-record"),
        ([promoted(pipeline="till")], "no-record"),
    ],
)
def test_an_image_has_to_have_come_by_a_promotion(stated: list[Stated], found: str) -> None:
    """Only a record of this very promotion opens a stage: its pipeline, stage, image, version."""
    verdict = judge(ONE, run("extended", stage="extended-test"), *stated, stage="extended-test")
    assert codes(verdict) == [found, "suite-succeeded"]
    assert verdict.decision is (PROMOTE if found == "promoted-here" else DENY)


def test_the_first_record_of_a_promotion_counts() -> None:
    """Of records that were written twice, which only a race can do, the older one is named."""
    first, second = promoted(minute=1), promoted(minute=2)
    for records in ([first, second], [second, first]):
        verdict = judge(ONE, *records, stage="extended-test")
        assert verdict.findings[0].basis == (first.basis,)


@pytest.mark.parametrize(
    ("pipeline", "stage"),
    [
        (shop(entry="any"), "extended-test"),
        (shop(pipeline="mode: observe"), "extended-test"),
        (ONE, "fast-feedback"),
    ],
)
def test_some_stages_ask_for_no_record(pipeline: Pipeline, stage: str) -> None:
    """None is asked for where entry is any, where nothing promotes in, and where none is made."""
    suite = {"extended-test": "extended", "fast-feedback": "functional"}[stage]
    assert codes(judge(pipeline, run(suite, stage=stage), stage=stage)) == ["suite-succeeded"]
