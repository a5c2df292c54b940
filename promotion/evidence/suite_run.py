"""What one run of a test suite found: in-toto's test-result predicate, v0.1.

Proves that a result with this content came to the function through this subscription; who could
send it there is who may publish to that subscription's topic.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from promotion.evidence import statement
from promotion.evidence.statement import Statement, Subject
from promotion.registry.reference import Digest

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"

_GIT_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class SuiteRun(msgspec.Struct, frozen=True):
    """A run of a suite on an image digest, in a stage of a pipeline.

    Attributes:
        repository: Where the image was when it was tested, ``HOST/PATH``.
        version: The tag that it was tested under.
        subscription: The one that the result came through; "" if unknown.
    """

    pipeline: str
    stage: str
    repository: str
    version: str
    suite: str
    passed: bool
    finished_at: datetime
    subscription: str = ""
    ref: str = ""
    commit: str = ""
    url: str = ""


class _Annotations(msgspec.Struct, rename="camel", omit_defaults=True):
    pipeline: str
    stage: str
    suite: str
    version: str
    finished_at: Annotated[datetime, Meta(tz=True)]
    subscription: str = ""
    ref: str = ""
    commit: str = ""


class _Configuration(msgspec.Struct, omit_defaults=True):
    name: str
    annotations: _Annotations
    # in-toto wants a URI or a digest in each of its pointers, and a commit is not always known.
    uri: str = ""
    digest: dict[str, str] = {}


class _TestResult(msgspec.Struct, omit_defaults=True):
    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: Annotated[list[_Configuration], Meta(min_length=1, max_length=1)]
    url: str = ""


def write(run: SuiteRun, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    names = (run.pipeline, run.stage, run.suite)
    configuration = _Configuration(
        run.suite,
        _Annotations(
            run.pipeline,
            run.stage,
            run.suite,
            run.version,
            run.finished_at,
            run.subscription,
            run.ref,
            run.commit,
        ),
        "urn:promotion:" + ":".join(quote(each, safe="") for each in names),
        {"gitCommit": run.commit} if _GIT_COMMIT.fullmatch(run.commit) else {},
    )
    predicate = _TestResult("PASSED" if run.passed else "FAILED", [configuration], run.url)
    return statement.write(Subject.of(run.repository, digest), PREDICATE_TYPE, predicate)


def read(stated: Statement) -> SuiteRun:
    """The run that a statement tells of.

    Raises:
        NotAStatement: Its predicate is not of this kind.
    """
    predicate = statement.decode(stated.predicate, _TestResult)
    said = predicate.configuration[0].annotations
    return SuiteRun(
        pipeline=said.pipeline,
        stage=said.stage,
        repository=stated.subject.name,
        version=said.version,
        suite=said.suite,
        passed=predicate.result != "FAILED",
        finished_at=statement.moment(said.finished_at),
        subscription=said.subscription,
        ref=said.ref,
        commit=said.commit,
        url=predicate.url,
    )
