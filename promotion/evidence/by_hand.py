"""That somebody copied an image into a stage by hand, past its gate.

Proves that a holder of the signing key ran the command; whose name it carries is what the command
found out about its own identity, and was verified by nobody. It is a kind of its own, and no
verification summary: no gate was asked, so no gate may take it for one that said yes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from promotion.errors import BadReference
from promotion.evidence import statement
from promotion.evidence.statement import NotAStatement, Statement, Subject
from promotion.registry.reference import Digest, Reference

PREDICATE_TYPE = "urn:promotion:by-hand:v0.1"

KnownFrom = Literal["google-credentials", "operating-system"]
"""Where a name is from: the credentials that the image was pushed with, or the user's session."""


class Author(msgspec.Struct, frozen=True, rename="camel"):
    """Who ran the command, as far as it could tell.

    Attributes:
        name: An e-mail address, or USER@HOST.
        known_from: Where that is from.
    """

    name: str
    known_from: KnownFrom


class PromotionByHand(msgspec.Struct, frozen=True):
    """An image digest that was copied from one stage to another without asking the gate.

    Attributes:
        source: Where it came from, ``HOST/PATH:TAG``.
        destination: Where it went, ``HOST/PATH:TAG``.
        decided_at: When.
    """

    pipeline: str
    from_stage: str
    to_stage: str
    source: Reference
    destination: Reference
    author: Author
    decided_at: datetime


class _Place(msgspec.Struct, frozen=True):
    stage: str
    image: str


class _ByHand(msgspec.Struct, rename={"from_": "from", "decided_at": "decidedAt"}):
    pipeline: str
    from_: _Place
    to: _Place
    author: Author
    decided_at: Annotated[datetime, Meta(tz=True)]
    gated: bool


def write(promotion: PromotionByHand, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    predicate = _ByHand(
        pipeline=promotion.pipeline,
        from_=_Place(promotion.from_stage, str(promotion.source)),
        to=_Place(promotion.to_stage, str(promotion.destination)),
        author=promotion.author,
        decided_at=promotion.decided_at,
        gated=False,
    )
    subject = Subject.of(str(promotion.destination.repository), digest)
    return statement.write(subject, PREDICATE_TYPE, predicate)


def read(stated: Statement) -> PromotionByHand:
    """The promotion that a statement tells of.

    Raises:
        NotAStatement: Its predicate is not of this kind.
    """
    said = statement.decode(stated.predicate, _ByHand)
    try:
        promotion = PromotionByHand(
            pipeline=said.pipeline,
            from_stage=said.from_.stage,
            to_stage=said.to.stage,
            source=Reference.parse(said.from_.image),
            destination=Reference.parse(said.to.image),
            author=said.author,
            decided_at=statement.moment(said.decided_at),
        )
    except BadReference as error:
        raise NotAStatement(f"it does not name its images: {error}") from error
    if said.gated:
        raise NotAStatement("it says that a gate was asked, which a record of the gate would say")
    if stated.subject.name != str(promotion.destination.repository):
        raise NotAStatement("its subject is not the image that it says was promoted")
    return promotion
