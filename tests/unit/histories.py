"""Histories: an image in a pipeline, what was stated about it and when, and what a gate says then.

The pipeline is ``shop``: fast-feedback → extended-test → prod, as promotion.yaml would have it. The
image is ``shop:1.4.2``, and its digest is TESTED. Moments are minutes after nine o'clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar

from promotion import configuration, gates
from promotion.evidence import attestation, kinds, record, suite_run
from promotion.evidence.act import Act, Kind
from promotion.evidence.alert import Alert
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.deployment import Deployment
from promotion.evidence.kinds import Said
from promotion.evidence.record import PromotionRecord
from promotion.evidence.statement import ResourceDescriptor
from promotion.evidence.suite_run import SuiteRun
from promotion.gates import Standing
from promotion.pipeline import Image, Pipeline
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import Digest, Reference, Repository, digest_of
from promotion.verdict import Basis, Verdict

TESTED = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
VERSION = "1.4.2"

Stated = (
    Attested[SuiteRun]
    | Attested[PromotionRecord]
    | Attested[Deployment]
    | Attested[Alert]
    | Attested[Act]
)

_REGISTRY = "gcr.io/acme"
_SUBJECT = Manifest(OCI_MANIFEST, TESTED, b"{}")


@cache
def shop(
    fast_feedback: str = "suites: [functional]",
    extended_test: str = "suites: [extended]",
    *,
    pipeline: str = "mode: promote",
    entry: str = "record",
    auto: bool = True,
) -> Pipeline:
    """The pipeline, with what its gates say, and further keys of its own, as in promotion.yaml."""
    text = f"""
pipelines:
  shop:
    {pipeline}
    stages:
      fast-feedback:
        {{registry: {_REGISTRY}, promotes_to: extended-test, gate: {{{fast_feedback}}}}}
      extended-test:
        {{registry: {_REGISTRY}, promotes_to: prod, gate: {{{extended_test}}}, entry: {entry},
        auto: {str(auto).lower()}}}
      prod: {{registry: {_REGISTRY}}}
"""
    (read,) = configuration.parse("promotion.yaml", text).pipelines
    return read


def at(minute: float) -> datetime:
    """A moment, in minutes after nine."""
    return NINE + timedelta(minutes=minute)


def image(pipeline: Pipeline, stage: str, version: str = VERSION) -> Image:
    """The image in a stage."""
    place = pipeline.stages[stage]
    repository = Repository(place.repository.host, f"{place.repository.path}/shop")
    return Image(pipeline, place, "shop", Reference(repository, version))


def run(
    suite: str = "functional",
    passed: bool = True,
    minute: int = 0,
    *,
    stage: str = "fast-feedback",
    ref: str = "",
    subscription: str = "",
    pipeline: str = "shop",
    name: str = "shop",
    signature: int = 0,
) -> Attested[SuiteRun]:
    """A run of a suite on an image, under the same digest as the others; its link names it.

    The signature tells apart what was attested twice: each signing gives another manifest.
    """
    outcome = "success" if passed else "failure"
    said = SuiteRun(
        pipeline=pipeline,
        stage=stage,
        repository=f"{_REGISTRY}/{stage}/{name}",
        version=VERSION,
        suite=suite,
        passed=passed,
        finished_at=NINE + timedelta(minutes=minute),
        subscription=subscription,
        ref=ref,
        url=f"https://ci/{suite}/{minute}/{outcome}",
    )
    payload, kind = suite_run.write(said, TESTED), suite_run.PREDICATE_TYPE
    return Attested(said, *_attached(payload, kind, said.finished_at, signature))


def promoted(
    to_stage: str = "extended-test",
    minute: int = 0,
    *,
    from_stage: str = "fast-feedback",
    version: str = VERSION,
    pipeline: str = "shop",
    name: str = "shop",
    signature: int = 0,
) -> Attested[PromotionRecord]:
    """The record of an image's promotion into a stage."""
    destination = f"{_REGISTRY}/{to_stage}/{name}:{version}"
    said = PromotionRecord(
        pipeline=pipeline,
        from_stage=from_stage,
        to_stage=to_stage,
        source=Reference.parse(f"{_REGISTRY}/{from_stage}/{name}:{version}"),
        destination=Reference.parse(destination),
        decided_at=NINE + timedelta(minutes=minute),
        policy=ResourceDescriptor(f"oci://{_REGISTRY}/{to_stage}/promotion-policy"),
        inputs=(),
        findings=(),
        event_id="",
        resource=f"pkg:oci/{name}@{TESTED}",
    )
    payload, kind = record.write(said, TESTED), record.PREDICATE_TYPE
    return Attested(said, *_attached(payload, kind, said.decided_at, signature))


def deployed(
    minute: float = 0,
    *,
    stage: str = "extended-test",
    subscription: str = "",
    pipeline: str = "shop",
    name: str = "shop",
) -> Attested[Deployment]:
    """The report that the image runs in a stage."""
    at = NINE + timedelta(minutes=minute)
    repository = f"{_REGISTRY}/{stage}/{name}"
    return attested(Deployment(pipeline, stage, repository, VERSION, at, subscription))


def alert(
    incident: str = "1",
    minute: float = 0,
    ended: float | None = None,
    *,
    stage: str = "extended-test",
    whole: bool = False,
    pipeline: str = "shop",
    name: str = "shop",
) -> Attested[Alert]:
    """What was said of an incident that began at a minute: that it is open, or that it ended."""
    subject = f"{_REGISTRY}/{stage}" if whole else f"{_REGISTRY}/{stage}/{name}"
    said = Alert(
        pipeline=pipeline,
        stage=stage,
        subject=subject,
        incident=incident,
        is_open=ended is None,
        started_at=NINE + timedelta(minutes=minute),
        ended_at=None if ended is None else NINE + timedelta(minutes=ended),
        policy="errors",
        url=f"https://monitoring/{incident}",
    )
    return attested(said)


def act(
    kind: Kind,
    minute: float = 0,
    expires: float | None = None,
    *,
    author: str = "ana@acme.dev",
    reason: str = "it is time",
    gates: tuple[str, ...] = (),
    stage: str = "extended-test",
    of: str = "image",
    to_stage: str = "",
    pipeline: str = "shop",
    name: str = "shop",
) -> Attested[Act]:
    """What a person decided about the image in a stage, about a stage, or about the pipeline."""
    about_image = of == "image"
    said = Act(
        kind=kind,
        pipeline=pipeline,
        stage="" if of == "pipeline" else stage,
        subject=f"{_REGISTRY}/{stage}/{name}" if about_image else f"{_REGISTRY}/{stage}",
        author=author,
        reason=reason,
        decided_at=NINE + timedelta(minutes=minute),
        expires_at=None if expires is None else NINE + timedelta(minutes=expires),
        gates=gates,
        to_stage=to_stage,
    )
    return attested(said)


_Kind = TypeVar("_Kind", bound=Said)


def attested(said: _Kind) -> Attested[_Kind]:
    """A statement of what somebody says."""
    payload, kind = kinds.write(said, TESTED), kinds.predicate_type(said)
    return Attested(said, *_attached(payload, kind, kinds.moment(said), 0))


def evidence(*stated: Stated, overflow: bool = False) -> Evidence:
    """What a store that keeps these statements, in this order, says of the image."""
    return Evidence(
        runs=_saying(SuiteRun, stated),
        records=_saying(PromotionRecord, stated),
        overflow=overflow,
        deployments=_saying(Deployment, stated),
        alerts=_saying(Alert, stated),
        acts=_saying(Act, stated),
    )


def _saying(kind: type[_Kind], stated: Sequence[Stated]) -> tuple[Attested[_Kind], ...]:
    return tuple(each for each in stated if isinstance(each.said, kind))  # type: ignore[misc]


def judge(
    pipeline: Pipeline,
    *stated: Stated,
    stage: str = "fast-feedback",
    version: str = VERSION,
    standing: Standing = Standing(TESTED, None),  # noqa: B008 - it is immutable
    overflow: bool = False,
    now: datetime = NINE,
) -> Verdict:
    """The verdict on the image at a stage's gate, upon these statements."""
    here = image(pipeline, stage, version)
    assert here.stage.gate is not None
    (promotion,) = here.promotions(TESTED)
    known = evidence(*stated, overflow=overflow)
    return gates.decide(here, here.stage.gate, promotion, known, standing, now)


def codes(verdict: Verdict) -> list[str]:
    """The codes of a verdict's findings."""
    return [finding.code for finding in verdict.findings]


def _attached(
    payload: bytes, kind: str, at: datetime, signature: int
) -> tuple[Basis, Manifest, Blob]:
    bundle = b"%s signed for the %dth time" % (payload, signature)
    manifest = attestation.manifest(_SUBJECT, bundle, kind, at)
    basis = Basis(digest_of(payload), manifest.digest, at)
    return basis, manifest, Blob(digest_of(bundle), len(bundle))
