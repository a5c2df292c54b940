"""That an image digest runs in a stage: the beginning of its soak.

in-toto has no predicate for this; ours says who reported it, which is who may publish to the
pipeline's results.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from promotion.evidence import statement
from promotion.evidence.statement import Statement, Subject
from promotion.registry.reference import Digest

PREDICATE_TYPE = "urn:promotion:deployment:v0.1"


class Deployment(msgspec.Struct, frozen=True):
    """A deployment of an image digest in a stage of a pipeline.

    Attributes:
        repository: Where the image is, ``HOST/PATH``.
        version: The tag that it was deployed under.
        deployed_at: Since when it runs there.
        subscription: The one that the report came through; "" if unknown.
    """

    pipeline: str
    stage: str
    repository: str
    version: str
    deployed_at: datetime
    subscription: str = ""
    url: str = ""


class _Deployed(msgspec.Struct, rename="camel", omit_defaults=True):
    pipeline: str
    stage: str
    version: str
    deployed_at: Annotated[datetime, Meta(tz=True)]
    subscription: str = ""
    url: str = ""


def write(deployment: Deployment, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    predicate = _Deployed(
        deployment.pipeline,
        deployment.stage,
        deployment.version,
        deployment.deployed_at,
        deployment.subscription,
        deployment.url,
    )
    return statement.write(Subject.of(deployment.repository, digest), PREDICATE_TYPE, predicate)


def read(stated: Statement) -> Deployment:
    """The deployment that a statement tells of.

    Raises:
        NotAStatement: Its predicate is not of this kind.
    """
    said = statement.decode(stated.predicate, _Deployed)
    return Deployment(
        said.pipeline,
        said.stage,
        stated.subject.name,
        said.version,
        statement.moment(said.deployed_at),
        said.subscription,
        said.url,
    )
