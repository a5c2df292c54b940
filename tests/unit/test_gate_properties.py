"""Decisions, whatever is stated: what holds of every history, in every order of arrival."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from promotion.evidence.suite_run import SuiteRun
from promotion.pipeline import Pipeline
from promotion.verdict import Decision
from tests.unit.histories import Stated, judge, promoted, run, shop

LATE = 10
MAIN = "refs/heads/main"
VIA = "projects/p/subscriptions/s"

PIPELINES = (
    shop(),
    shop("suites: [functional, nft]", "suites: [extended, {suite: nft, from: fast-feedback}]"),
    shop(f"suites: [functional, {{suite: nft, via: {VIA}}}], refs: [{MAIN}]", entry="any"),
    shop("suites: [functional]", f"suites: [extended], refs: [{MAIN}]", pipeline=f"results: {VIA}"),
    shop("suites: [functional, functional]", "versions: semver", pipeline="mode: observe"),
)
STAGES = ("fast-feedback", "extended-test")

pipelines = st.sampled_from(PIPELINES)
stages = st.sampled_from(STAGES)


def runs_that(
    passed: st.SearchStrategy[bool], latest: int, **bound: st.SearchStrategy[str]
) -> st.SearchStrategy[Stated]:
    """Runs up to a minute, of suites that gates ask for and of others; of this image by default."""
    return st.builds(
        run,
        st.sampled_from(["functional", "nft", "extended", "lint"]),
        passed,
        st.integers(0, latest),
        ref=st.sampled_from(["", MAIN, "refs/heads/x"]),
        subscription=st.sampled_from(["", VIA]),
        signature=st.integers(0, 1),
        **{"stage": stages, **bound},
    )


runs = runs_that(st.booleans(), LATE - 1)
records = st.builds(promoted, stages, st.integers(0, LATE), signature=st.integers(0, 1))
histories = st.lists(runs | records, max_size=12)
successes = runs_that(st.just(True), 2 * LATE)
of_something_else = st.one_of(
    runs_that(st.booleans(), 2 * LATE, pipeline=st.just("till")),
    runs_that(st.booleans(), 2 * LATE, stage=st.just("prod")),
    runs_that(st.booleans(), 2 * LATE, name=st.sampled_from(["shop-db", "team/shop"])),
    st.builds(promoted, st.just("prod")),
    st.builds(promoted, stages, name=st.just("shop-db")),
    st.builds(promoted, stages, pipeline=st.just("till")),
)


def wanted(pipeline: Pipeline, stage: str, *, up_to: bool) -> list[tuple[str, str, str]]:
    """The suites that a stage's gate asks for, or all gates up to it: name, stage, subscription."""
    asked = pipeline.suites_up_to if up_to else pipeline.suites_of
    return [(suite.name, suite.stage, suite.via) for suite in asked(pipeline.stages[stage])]


def all_that_is_asked(pipeline: Pipeline, stage: str) -> list[Stated]:
    """What lets the image leave whatever was before: a late success of each suite, a record."""
    return [
        promoted(stage),
        *(
            run(name, True, LATE, stage=ran_in, ref=MAIN, subscription=via)
            for name, ran_in, via in wanted(pipeline, stage, up_to=True)
        ),
    ]


@given(pipelines, stages, histories, st.data())
def test_the_order_of_arrival_changes_nothing(
    pipeline: Pipeline, stage: str, history: list[Stated], data: st.DataObject
) -> None:
    """In any order, and with anything said twice, the verdict is the same to the last word."""
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    otherwise = data.draw(st.permutations([*history, *again]))
    assert judge(pipeline, *otherwise, stage=stage) == judge(pipeline, *history, stage=stage)


@given(pipelines, stages, histories)
def test_all_that_is_asked_lets_an_image_leave(
    pipeline: Pipeline, stage: str, history: list[Stated]
) -> None:
    """Whatever was before, a newer success of every suite opens the gate."""
    stated = [*history, *all_that_is_asked(pipeline, stage)]
    assert judge(pipeline, *stated, stage=stage).decision is Decision.PROMOTE


@given(pipelines, stages, histories, successes)
def test_another_success_never_closes_an_open_gate(
    pipeline: Pipeline, stage: str, history: list[Stated], success: Stated
) -> None:
    """Once an image may leave, no success makes it wait or denies it, on whatever ref it ran."""
    stated = [*history, *all_that_is_asked(pipeline, stage)]
    assert judge(pipeline, *stated, success, stage=stage).decision is Decision.PROMOTE


@given(pipelines, stages, histories, st.integers(0, 2 * LATE), st.data())
def test_another_success_on_an_allowed_ref_never_worsens_a_verdict(
    pipeline: Pipeline, stage: str, history: list[Stated], minute: int, data: st.DataObject
) -> None:
    """A success, where it may leave, is only ever for the image."""
    name, ran_in, via = data.draw(st.sampled_from(wanted(pipeline, "extended-test", up_to=True)))
    success = run(name, True, minute, stage=ran_in, ref=MAIN, subscription=via)
    before = judge(pipeline, *history, stage=stage)
    assert judge(pipeline, *history, success, stage=stage).decision <= before.decision


@given(pipelines, stages, histories, st.integers(LATE, 2 * LATE), st.data())
def test_a_failure_that_is_newer_than_everything_denies(
    pipeline: Pipeline, stage: str, history: list[Stated], minute: int, data: st.DataObject
) -> None:
    """Whichever suite of this gate or an earlier one it is; at the same moment is new enough."""
    name, ran_in, via = data.draw(st.sampled_from(wanted(pipeline, stage, up_to=True)))
    failure = run(name, False, minute, stage=ran_in, subscription=via)
    stated = [*history, *all_that_is_asked(pipeline, stage)]
    verdict = judge(pipeline, *stated, failure, stage=stage)
    assert verdict.decision is Decision.DENY
    assert failure.basis in chain.from_iterable(each.basis for each in verdict.reasons)


@given(pipelines, stages, st.lists(runs_that(st.booleans(), 2 * LATE), max_size=6), st.data())
def test_what_was_removed_never_opens_a_gate(
    pipeline: Pipeline, stage: str, history: list[Stated], data: st.DataObject
) -> None:
    """Deleting statements, unless they are failures, lets nothing through that was held."""
    stated = [*history, *all_that_is_asked(pipeline, stage)]
    failures = [each for each in stated if isinstance(each.said, SuiteRun) and not each.said.passed]
    removed = data.draw(st.lists(st.sampled_from(stated), max_size=2))
    kept = [each for each in stated if each in failures or each not in removed]
    if judge(pipeline, *kept, stage=stage).decision is Decision.PROMOTE:
        assert judge(pipeline, *stated, stage=stage).decision is Decision.PROMOTE


@given(pipelines, stages, histories, st.lists(of_something_else, min_size=1, max_size=5))
def test_what_is_said_of_something_else_changes_nothing(
    pipeline: Pipeline, stage: str, history: list[Stated], others: list[Stated]
) -> None:
    """Statements bound to another pipeline, stage or repository are as if they were not there."""
    expected = judge(pipeline, *history, stage=stage)
    assert judge(pipeline, *history, *others, stage=stage) == expected
