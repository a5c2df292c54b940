"""What becomes of an image after a result about it was sent: seen in the registries alone.

A verdict follows from what is stated about an image. So none is believed, neither for nor against
it, before the result that was sent is among the statements that it follows from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from promotion.deadline import Deadline, keeping
from promotion.errors import AccessDenied, BadReference, Retryable
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import SuiteRun
from promotion.judgement import BARRING, Case, judge
from promotion.pipeline import Image, Pipelines, Promotion
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference
from promotion.registry.transport import Transport
from promotion.signing import TrustAll, Unsigned
from promotion.status import Outlook
from promotion.verdict import Decision, Finding

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 15.0, 1.5
# The seconds that a look may take when the time is over.
_LAST_LOOK = 10.0


class Result(msgspec.Struct, frozen=True):
    """A test result that was sent, as its statement will have it.

    Attributes:
        before: The statements about the image that there were before it was sent.
    """

    image: Reference
    digest: Digest
    suite: str
    passed: bool
    ref: str
    commit: str
    url: str
    before: frozenset[Digest]

    def is_among(self, runs: Sequence[Attested[SuiteRun]]) -> bool:
        """Whether one of these statements is the one about this result."""
        return any(
            run.basis.statement not in self.before
            and run.said.repository == str(self.image.repository)
            and run.said.version == self.image.tag
            and (run.said.suite, run.said.passed) == (self.suite, self.passed)
            and (run.said.ref, run.said.commit, run.said.url) == (self.ref, self.commit, self.url)
            for run in runs
        )


class State(StrEnum):
    """Where an image has got to."""

    PROMOTED = "promoted"
    DENIED = "denied"
    WAITING = "waiting"


class View(msgspec.Struct, frozen=True):
    """Where an image has got to, seen once.

    Attributes:
        why: Where it is, the reasons against it, or what is missing.
        is_final: Whether nothing more can come of it by itself.
    """

    state: State
    why: tuple[str, ...]
    is_final: bool


class Look(msgspec.Struct, frozen=True):
    """An image's outlook for one stage, and what it follows from."""

    outlook: Outlook
    evidence: Evidence


def waiting(*missing: str) -> View:
    """It waits, and for what."""
    return View(State.WAITING, missing, is_final=False)


def promotions_of(pipelines: Pipelines, image: Reference, digest: Digest) -> list[Promotion]:
    """The promotions out of the stage that an image is named in.

    Raises:
        BadMessage: It is in no stage.
        BadReference: Nothing follows that stage.
    """
    found = pipelines.find(image)
    promotions = found.promotions(digest)
    if not promotions:
        raise BadReference(
            f"{image} is in {found.stage.name}, from where nothing is promoted: there is nothing to"
            " wait for"
        )
    return promotions


def statements_about(image: Reference, digest: Digest, transport: Transport) -> frozenset[Digest]:
    """All statements that are attached to an image where it is, whoever has signed them.

    Raises:
        Retryable: The registry failed.
    """
    return _unverified().read(digest, [RepositoryClient(image.repository, transport)]).statements


class Follower:
    """Looks again and again at the image that a result is about."""

    def __init__(
        self,
        result: Result,
        transport: Transport,
        judged_by: Callable[[], tuple[Pipelines, EvidenceStore]],
    ) -> None:
        """The policy is asked for once the result is stated, which the function does under it."""
        self._result = result
        self._transport = transport
        self._judged_by = judged_by
        self._repository = RepositoryClient(result.image.repository, transport)
        self._unverified = _unverified()
        self._policy: tuple[Pipelines, EvidenceStore] | None = None

    def look(self) -> View:
        """See where the image has got to.

        Raises:
            Permanent: The policy is none, or nothing can follow from it.
            Retryable: A registry failed.
        """
        if self._policy is None:
            evidence = self._unverified.read(self._result.digest, [self._repository])
            if not evidence.overflow and not self._result.is_among(evidence.runs):
                return waiting("the function has not recorded the result yet")
            self._policy = self._judged_by()
        pipelines, store = self._policy
        image = pipelines.find(self._result.image)
        promotions = promotions_of(pipelines, self._result.image, self._result.digest)
        return view(self._result, image, [self._look(image, each, store) for each in promotions])

    def _look(self, image: Image, promotion: Promotion, store: EvidenceStore) -> Look:
        assert image.stage.gate is not None, "a stage that promotes has a gate"
        case = Case.to_look_at(image, image.stage.gate, promotion, self._transport)
        judgement = judge(case, store, datetime.now(UTC))
        arrived = judgement.standing.destination == promotion.digest
        return Look(Outlook(promotion.to_stage, judgement.verdict, arrived), judgement.evidence)


def view(result: Result, image: Image, looks: Sequence[Look]) -> View:
    """What follows from how an image stands before all the stages that it may go to.

    Args:
        result: What was sent.
        image: The image that it is about, in its pipeline.
        looks: How it stands, once for each next stage.
    """
    if not all(each.evidence.overflow or result.is_among(each.evidence.runs) for each in looks):
        return waiting(
            "the result is recorded, but does not count",
            *(each.reason for each in looks[0].evidence.ignored),
        )
    outlooks = [each.outlook for each in looks]
    reasons = [_to(each, _worded(finding)) for each in outlooks for finding in _against(each)]
    if reasons:
        return View(State.DENIED, tuple(reasons), is_final=True)
    if all(each.arrived for each in outlooks):
        name = f"{image.name}:{image.reference.tag}"
        stages = tuple(f"{name} is in {each.to_stage}" for each in outlooks)
        return View(State.PROMOTED, stages, is_final=True)
    ahead = [each for each in outlooks if not each.arrived]
    missing = [_to(each, said) for each in ahead for said in _missing(each, image)]
    ready = all(each.verdict.decision is Decision.PROMOTE for each in ahead)
    return View(State.WAITING, tuple(missing), is_final=ready and image.pipeline.observed)


def follow(
    look: Callable[[], View],
    seconds: float,
    show: Callable[[View], None],
    sleep: Callable[[float], None] = time.sleep,
) -> View:
    """Look until nothing more can come of it, or the time is over; what was seen last.

    A registry that fails meanwhile is asked again; one that refuses is not.

    Args:
        look: Sees where the image has got to.
        seconds: How long to look at most; at the end of it is a last look.
        show: Is told what is seen, each time.
        sleep: Pauses between two looks, for longer and longer.

    Raises:
        Permanent: It cannot be found out.
        AccessDenied: A registry does not let itself be asked.
    """
    deadline = Deadline.after(seconds)
    for pause in _pauses():
        left = deadline.left
        seen = _seen(look, max(left, _LAST_LOOK))
        show(seen)
        if seen.is_final or left <= 0:
            return seen
        sleep(max(min(pause, deadline.left), 0.0))
    raise AssertionError("pauses have no end")


def _seen(look: Callable[[], View], seconds: float) -> View:
    try:
        with keeping(Deadline.after(seconds)):
            return look()
    except AccessDenied:
        raise
    except Retryable as error:
        return waiting(str(error))


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def _unverified() -> EvidenceStore:
    """Reads whatever is attached: enough to see that something is, and to believe none of it."""
    return EvidenceStore(Unsigned(), TrustAll())


def _against(outlook: Outlook) -> list[Finding]:
    """What keeps the image from the next stage, or bars it there if it has been promoted before."""
    if outlook.verdict.decision is not Decision.DENY:
        return []
    reasons = outlook.verdict.reasons
    return [each for each in reasons if not outlook.arrived or each.code in BARRING]


def _missing(outlook: Outlook, image: Image) -> list[str]:
    if outlook.verdict.decision is Decision.WAIT:
        return [_worded(each) for each in outlook.verdict.reasons]
    if image.pipeline.observed:
        return [f"it qualifies, but nothing is promoted: {image.pipeline.name} is in mode: observe"]
    return ["it qualifies, and the function has yet to promote it"]


def _to(outlook: Outlook, said: str) -> str:
    return f"{outlook.to_stage}: {said}"


def _worded(finding: Finding) -> str:
    return f"{finding.message} ({finding.url})" if finding.url else finding.message
