"""An image is followed in the registries: no verdict counts that does not know the result sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from dev.stack import three_stages
from promotion import configuration, following
from promotion.dsse import Envelope
from promotion.errors import AccessDenied, BadMessage, BadReference, RegistryUnavailable
from promotion.evidence.store import EvidenceStore
from promotion.following import Follower, State, View
from promotion.messages import Outcome, TestResult
from promotion.pipeline import Pipelines
from promotion.registry.reference import Digest, Reference
from promotion.signing import NotTrusted, TrustAll, Unsigned
from tests.unit.shop import PUBLISHED, Shop

LATER = PUBLISHED.replace(hour=13)


class Distrustful:
    """Trusts nobody."""

    def verify(self, envelope: Envelope) -> str:
        """Refuse."""
        del envelope
        raise NotTrusted("by nobody")


def sent(shop: Shop, result: TestResult) -> following.Result:
    """What there is to know of a result that is about to be sent."""
    passed = result.outcome is Outcome.SUCCESS
    before = following.statements_about(result.image, result.digest, shop.transport)
    fields = (result.image, result.digest, result.suite, passed, result.ref, result.commit)
    return following.Result(*fields, result.url, before)


def follower(shop: Shop, result: TestResult) -> Follower:
    """Follows an image, by the shop's promotion.yaml."""

    def judged_by() -> tuple[Pipelines, EvidenceStore]:
        pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
        return pipelines, EvidenceStore(Unsigned(), TrustAll())

    return Follower(sent(shop, result), shop.transport, judged_by)


def seen(shop: Shop, result: TestResult) -> View:
    """What is seen once the function has handled a result."""
    following = follower(shop, result)
    shop.handle(result)
    return following.look()


def with_gate(shop: Shop, gate: str) -> None:
    """Let the first gate ask for something else."""
    shop.written = three_stages(shop.near.host, shop.far.host).replace(
        "suites: [functional]", gate, 1
    )


def test_a_success_that_is_enough_is_promoted(shop: Shop) -> None:
    """The image is where it should go."""
    view = seen(shop, shop.result(shop.push().digest))
    assert view == View(State.PROMOTED, ("shop:1.0 is in extended-test",), is_final=True)


def test_a_failure_is_denied(shop: Shop) -> None:
    """With its reason, and the run that it arose in."""
    result = shop.result(shop.push().digest, outcome=Outcome.FAILURE)
    view = seen(shop, replace(result, url="https://ci.example/run/7"))
    (reason,) = view.why
    assert (view.state, view.is_final) == (State.DENIED, True)
    assert reason.startswith("extended-test: suite functional failed at 2026-01-31T12:00:00Z")
    assert reason.endswith("(https://ci.example/run/7)")


def test_what_is_missing_is_told(shop: Shop) -> None:
    """Another suite's result may still come."""
    with_gate(shop, "suites: [functional, nft]")
    view = seen(shop, shop.result(shop.push().digest))
    missing = "extended-test: suite nft has not reported from fast-feedback"
    assert view == View(State.WAITING, (missing,), is_final=False)


def test_no_verdict_is_believed_before_the_result_is_recorded(shop: Shop) -> None:
    """A failed image is denied before its second run is recorded, and promoted after that."""
    digest = shop.push().digest
    shop.handle(shop.result(digest, outcome=Outcome.FAILURE))
    again = replace(shop.result(digest), finished_at=LATER, published_at=LATER)
    image = follower(shop, again)
    assert image.look() == following.waiting("the function has not recorded the result yet")
    shop.handle(again)
    assert image.look().state is State.PROMOTED


def test_an_earlier_result_that_says_the_same_is_not_the_one(shop: Shop) -> None:
    """It was there before this one was sent; so an image promoted long ago is waited for too."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    again = replace(shop.result(digest), finished_at=LATER, published_at=LATER)
    image = follower(shop, again)
    assert image.look().state is State.WAITING
    shop.handle(again)
    assert image.look().state is State.PROMOTED


@pytest.mark.parametrize(
    "other",
    [{"suite": "lint"}, {"outcome": Outcome.FAILURE}, {"url": "https://other"}, {"ref": "other"}],
)
def test_another_s_result_is_not_the_one(shop: Shop, other: dict[str, str]) -> None:
    """Which arrives meanwhile, and differs in anything that was sent."""
    result = shop.result(shop.push().digest)
    image = follower(shop, result)
    shop.handle(replace(result, **other))  # type: ignore[arg-type]
    assert image.look().state is State.WAITING


def test_a_failure_after_the_promotion_is_a_denial(shop: Shop) -> None:
    """That the image has gone on is no success of a run that failed."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    failure = shop.result(digest, outcome=Outcome.FAILURE)
    view = seen(shop, replace(failure, finished_at=LATER, published_at=LATER))
    assert view.state is State.DENIED
    assert "suite functional failed" in view.why[0]


def test_a_denial_that_comes_too_late_changes_nothing(shop: Shop) -> None:
    """An image that has gone on by rules that have changed since is where it is."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    again = replace(shop.result(digest), finished_at=LATER, published_at=LATER)
    with_gate(shop, "suites: [functional]\n          refs: [main]")
    assert seen(shop, again).state is State.PROMOTED


def test_an_image_is_promoted_when_it_is_in_all_next_stages(shop: Shop) -> None:
    """One that could go to one of two, whose other place is taken, is denied."""
    shop.written = three_stages(shop.near.host, shop.far.host).replace(
        "promotes_to: extended-test", "promotes_to: [extended-test, prod]"
    )
    digest = shop.push().digest
    other = shop.push("prod", b"other").digest
    view = seen(shop, shop.result(digest))
    assert shop.stage("extended-test").resolve("1.0") == digest
    assert view.state is State.DENIED
    (reason,) = view.why
    assert reason.startswith("prod: ")
    assert other in reason


def test_an_observed_pipeline_promotes_nothing(shop: Shop) -> None:
    """One that qualifies would be waited for in vain; one that does not may still be denied."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("  shop:\n", "  shop:\n    mode: observe\n", 1)
    view = seen(shop, shop.result(shop.push().digest))
    assert (view.state, view.is_final) == (State.WAITING, True)
    assert "mode: observe" in view.why[0]


def test_a_result_that_does_not_count_is_waited_for(shop: Shop) -> None:
    """Where the policy trusts other keys than the function signs with, it says so."""
    result = shop.result(shop.push().digest)
    expected = sent(shop, result)
    shop.handle(result)
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    store = EvidenceStore(Unsigned(), Distrustful())
    view = Follower(expected, shop.transport, lambda: (pipelines, store)).look()
    assert view == following.waiting("the result is recorded, but does not count", "by nobody")


def test_the_last_stage_is_an_error(shop: Shop) -> None:
    """There is nothing to wait for; nor is there in a place that is no stage."""
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    digest = Digest(f"sha256:{'a' * 64}")
    with pytest.raises(BadReference, match="nothing is promoted"):
        following.promotions_of(pipelines, Reference(shop.stage("prod").repository, "1.0"), digest)
    with pytest.raises(BadMessage, match="no stage uses"):
        following.promotions_of(pipelines, Reference.parse("elsewhere.example/a/b:1"), digest)


WAITING = following.waiting("something")
PROMOTED = View(State.PROMOTED, (), is_final=True)


def looking_at(views: Iterable[View | Exception]) -> Callable[[], View]:
    """Sees one thing after the other."""
    left = iter(views)

    def look() -> View:
        view = next(left)
        if isinstance(view, Exception):
            raise view
        return view

    return look


def test_it_looks_until_nothing_more_can_come() -> None:
    """Pausing for longer each time; a registry that fails is asked again, and all is shown."""
    pauses: list[float] = []
    shown: list[View] = []
    views: list[View | Exception] = [WAITING, RegistryUnavailable("busy"), WAITING, PROMOTED]
    end = following.follow(looking_at(views), 3600, shown.append, pauses.append)
    assert end == PROMOTED
    assert shown == [WAITING, following.waiting("busy"), WAITING, PROMOTED]
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 3


def test_it_looks_a_last_time_when_the_time_is_over() -> None:
    """What was seen then is the answer."""
    pauses: list[float] = []
    assert following.follow(looking_at([WAITING]), 0, lambda _: None, pauses.append) == WAITING
    assert pauses == []


def test_a_refusal_is_not_waited_out() -> None:
    """Whoever may not read the next stage is told at once."""
    with pytest.raises(AccessDenied):
        following.follow(looking_at([AccessDenied("no")]), 60, lambda _: None, lambda _: None)
