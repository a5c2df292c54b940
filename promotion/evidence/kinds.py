"""The kinds of statements that count, each with the way in which it is written and read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from promotion.evidence import act, alert, by_hand, deployment, record, suite_run
from promotion.evidence.act import Act
from promotion.evidence.alert import Alert
from promotion.evidence.by_hand import PromotionByHand
from promotion.evidence.deployment import Deployment
from promotion.evidence.record import PromotionRecord
from promotion.evidence.statement import NotAStatement, Statement
from promotion.evidence.suite_run import SuiteRun
from promotion.registry.reference import Digest

Said = SuiteRun | PromotionRecord | PromotionByHand | Deployment | Alert | Act
"""What a statement can say."""


class _Kind(NamedTuple):
    predicate_type: str
    write: Callable[[Any, Digest], bytes]
    read: Callable[[Statement], Said]
    moment: Callable[[Any], datetime]


_KINDS: dict[type, _Kind] = {
    SuiteRun: _Kind(
        suite_run.PREDICATE_TYPE, suite_run.write, suite_run.read, lambda said: said.finished_at
    ),
    PromotionRecord: _Kind(
        record.PREDICATE_TYPE, record.write, record.read, lambda said: said.decided_at
    ),
    PromotionByHand: _Kind(
        by_hand.PREDICATE_TYPE, by_hand.write, by_hand.read, lambda said: said.decided_at
    ),
    Deployment: _Kind(
        deployment.PREDICATE_TYPE, deployment.write, deployment.read, lambda said: said.deployed_at
    ),
    Alert: _Kind(
        alert.PREDICATE_TYPE, alert.write, alert.read, lambda said: said.ended_at or said.started_at
    ),
    Act: _Kind(act.PREDICATE_TYPE, act.write, act.read, lambda said: said.decided_at),
}
_BY_TYPE = {kind.predicate_type: kind for kind in _KINDS.values()}


def write(said: Said, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    return _KINDS[type(said)].write(said, digest)


def predicate_type(said: Said) -> str:
    """The predicate type that tells its kind from others."""
    return _KINDS[type(said)].predicate_type


def moment(said: Said) -> datetime:
    """When what it says was so."""
    return _KINDS[type(said)].moment(said)


def read(stated: Statement) -> Said:
    """What a statement says.

    Raises:
        NotAStatement: It is of no kind that counts, or not of the kind that it should be.
    """
    kind = _BY_TYPE.get(stated.predicate_type)
    if kind is None:
        raise NotAStatement(f"its predicate is {stated.predicate_type}, which no gate asks for")
    return kind.read(stated)
