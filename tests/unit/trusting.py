"""A shop at a gate that asks for everything, and what can be said there that changes the verdict.

Each kind of word has the place in which it is true. A forger writes or sends the same word in
another way, or brings it from another place; the verdict must stay what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from dev import images
from promotion import configuration, control_log
from promotion.evidence import kinds
from promotion.evidence.act import Act, Kind
from promotion.evidence.alert import Alert
from promotion.evidence.attestation import EMPTY
from promotion.evidence.deployment import Deployment
from promotion.evidence.kinds import Said
from promotion.evidence.record import PromotionRecord
from promotion.evidence.statement import ResourceDescriptor
from promotion.evidence.suite_run import SuiteRun
from promotion.judgement import Case, judge
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from tests.unit.attesting import KEY, attach, bundle, key_files, store

RESULTS = "projects/p/subscriptions/shop-results"
OTHERS_RESULTS = "projects/p/subscriptions/other-results"
SIGNALS = "projects/p/subscriptions/signals"
VERSION = "1.0"
LONG_AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
STAGE = "extended-test"


@dataclass(frozen=True)
class Place:
    """An image's name in a stage of a pipeline, below the shop's registry."""

    registry: str
    name: str
    pipeline: str = "shop"
    stage: str = STAGE

    @property
    def stage_repository(self) -> str:
        """The stage's, ``HOST/PATH``."""
        return f"{self.registry}/{self.stage}"

    @property
    def repository(self) -> str:
        """The image's, ``HOST/PATH``."""
        return f"{self.stage_repository}/{self.name}"


@dataclass(frozen=True)
class Word:
    """A kind of statement that changes the verdict on an image that waits in extended-test.

    Attributes:
        said: What it says, about a place, of a moment.
        changes: The finding that is there with it, or that goes with it.
        after: What is stated before, for it to matter.
        of_stage: Whether it is about the stage as a whole.
        everywhere: Whether it counts in whichever stage it was said.
    """

    said: Callable[[Place, datetime], Said]
    changes: str
    after: tuple[str, ...] = ()
    of_stage: bool = False
    everywhere: bool = False


def _run(passed: bool) -> Callable[[Place, datetime], Said]:
    def said(place: Place, at: datetime) -> Said:
        return SuiteRun(
            pipeline=place.pipeline,
            stage=place.stage,
            repository=place.repository,
            version=VERSION,
            suite="extended",
            passed=passed,
            finished_at=at,
            subscription=RESULTS,
        )

    return said


def _deployment(place: Place, at: datetime) -> Said:
    return Deployment(place.pipeline, place.stage, place.repository, VERSION, at, RESULTS)


def _record(place: Place, at: datetime) -> Said:
    source = f"{place.registry}/fast-feedback/{place.name}:{VERSION}"
    return PromotionRecord(
        pipeline=place.pipeline,
        from_stage="fast-feedback",
        to_stage=place.stage,
        source=Reference.parse(source),
        destination=Reference.parse(f"{place.repository}:{VERSION}"),
        decided_at=at,
        policy=ResourceDescriptor(f"oci://{place.stage_repository}/promotion-policy"),
        inputs=(),
        findings=(),
        event_id="",
        resource="pkg:oci/shop",
    )


def _alert(is_open: bool, of_stage: bool = False) -> Callable[[Place, datetime], Said]:
    def said(place: Place, at: datetime) -> Said:
        return Alert(
            pipeline=place.pipeline,
            stage=place.stage,
            subject=place.stage_repository if of_stage else place.repository,
            incident="0.stage" if of_stage else "0.image",
            is_open=is_open,
            started_at=at if is_open else at - timedelta(minutes=1),
            ended_at=None if is_open else at,
        )

    return said


def _act(
    kind: Kind, *, of_stage: bool = False, gates: tuple[str, ...] = (), minutes: int = 0
) -> Callable[[Place, datetime], Said]:
    def said(place: Place, at: datetime) -> Said:
        return Act(
            kind=kind,
            pipeline=place.pipeline,
            stage="" if kind is Kind.REVOKE else place.stage,
            subject=place.stage_repository if of_stage else place.repository,
            author="ann@acme.example",
            reason="looked at it",
            decided_at=at + timedelta(minutes=minutes),
            gates=gates,
        )

    return said


WORDS: dict[str, Word] = {
    "success": Word(_run(passed=True), "suite-succeeded"),
    "failure": Word(_run(passed=False), "suite-failed"),
    "record": Word(_record, "no-record"),
    "deployment": Word(_deployment, "soak-over"),
    "alert": Word(_alert(is_open=True), "alert-open"),
    "all-clear": Word(_alert(is_open=False), "alert-open", ("alert",)),
    "alert of the stage": Word(_alert(is_open=True, of_stage=True), "alert-open", of_stage=True),
    "all-clear of the stage": Word(
        _alert(is_open=False, of_stage=True), "alert-open", ("alert of the stage",), of_stage=True
    ),
    "approval": Word(_act(Kind.APPROVE), "approved"),
    "override": Word(_act(Kind.OVERRIDE, gates=("suites",)), "overridden"),
    "promote": Word(_act(Kind.PROMOTE), "promoted-by-hand"),
    "hold": Word(_act(Kind.HOLD), "held", everywhere=True),
    "release": Word(_act(Kind.RELEASE, minutes=1), "held", ("hold",)),
    "revocation": Word(_act(Kind.REVOKE), "revoked", everywhere=True),
    "hold of the stage": Word(_act(Kind.HOLD, of_stage=True), "held", of_stage=True),
    "release of the stage": Word(
        _act(Kind.RELEASE, of_stage=True, minutes=1), "held", ("hold of the stage",), of_stage=True
    ),
}


class World:
    """The shop, whose image waits in extended-test for a suite, a soak, approval and a hand.

    Attributes:
        place: Where the image is.
        image: It; the same in fast-feedback.
        text: Its promotion.yaml.
    """

    def __init__(self, host: str, name: str, transport: Transport, folder: Path) -> None:
        self._host = host
        self._transport = transport
        self.registry = f"{host}/{name}"
        private, public = key_files(folder)
        self.text = promotion_yaml(self.registry, private, public)
        self._pipelines = configuration.parse("promotion.yaml", self.text)
        self._keeping = store()
        self.place = Place(self.registry, "shop")
        self.other_place = replace(self.place, name="another")
        self.image = self._push(self.place, b"waits")
        self._push(replace(self.place, stage="fast-feedback"), b"waits")
        self.other_image = self._push(self.other_place, b"another")
        record = _record(self.other_place, LONG_AGO)
        signed = self.signed(record, self.other_image.digest)
        attach(
            self.repository(self.other_place.repository), self.other_image, signed, _kind(record)
        )

    def prepared(self, word: Word) -> World:
        """With all that must have been said before."""
        if word.changes != "no-record":
            self.state(WORDS["record"], LONG_AGO)
        for before in word.after:
            self.state(WORDS[before], LONG_AGO)
        return self

    def repository(self, name: str) -> RepositoryClient:
        """A repository by its full name, for whoever can write to it."""
        return RepositoryClient(Repository.parse(name), self._transport)

    def state(self, word: Word, at: datetime) -> None:
        """State it truly, as the function does."""
        place = self.repository(self.place.repository)
        if word.of_stage:
            place = self.repository(f"{self.place.stage_repository}/{control_log.NAME}")
            control_log.state(place, word.said(self.place, at), store())
        else:
            said = word.said(self.place, at)
            attach(place, self.image, self.signed(said, self.image.digest), _kind(said), at)

    def attach(self, word: Word, forged: bytes) -> None:
        """Attach a bundle where a true one of the word would be."""
        kind = _kind(word.said(self.place, LONG_AGO))
        if word.of_stage:
            subject = self.stage_artifact(self.place)
            place = self.repository(f"{self.place.stage_repository}/{control_log.NAME}")
        else:
            subject, place = self.image, self.repository(self.place.repository)
        attach(place, subject, forged, kind)

    def subject(self, word: Word, place: Place) -> Digest:
        """The digest that a word about a place is about."""
        return self.stage_artifact(place).digest if word.of_stage else self.image.digest

    def stage_artifact(self, place: Place) -> Manifest:
        """What stands for a stage; it is there once something was stated of it."""
        control = self.repository(f"{place.stage_repository}/{control_log.NAME}")
        artifact = control_log.artifact(control.repository)
        control.put_blob(EMPTY)
        control.put_manifest(artifact)
        return artifact

    def signed(self, said: Said, digest: Digest) -> bytes:
        """A true statement, wherever it is shown."""
        return bundle(kinds.write(said, digest), KEY)

    @cached_property
    def before(self) -> set[tuple[str, str]]:
        """The verdict when it was first looked at."""
        return self.findings()

    def findings(self) -> set[tuple[str, str]]:
        """The verdict: to one who has looked before, and the same to one who has not."""
        reference = Reference(Repository.parse(self.place.repository), VERSION)
        image = self._pipelines.find(reference)
        assert image.stage.gate is not None
        (promotion,) = image.promotions(self.image.digest)
        case = Case.to_look_at(image, image.stage.gate, promotion, self._transport)
        now = datetime.now(UTC)
        known, fresh = (
            {(each.decision.name, each.code) for each in judge(case, by, now).verdict.findings}
            for by in (self._keeping, store())
        )
        assert known == fresh
        return known

    def stated(self) -> frozenset[Digest]:
        """All that is stated of the image in its stage, and of the stage, and counts."""
        control = self.repository(f"{self.place.stage_repository}/{control_log.NAME}")
        of_image = store().read(self.image.digest, [self.repository(self.place.repository)])
        of_stage = control_log.read(control, store())
        return frozenset(each.basis.statement for each in of_image.beside(of_stage).attested)

    def in_prod(self) -> Digest | None:
        """What the version names in prod."""
        return self.repository(replace(self.place, stage="prod").repository).resolve(VERSION)

    def _push(self, place: Place, content: bytes) -> Manifest:
        return images.push_image(self.repository(place.repository), [content], tag=VERSION)


def codes(findings: Sequence[tuple[str, str]] | set[tuple[str, str]]) -> set[str]:
    """The codes of findings."""
    return {code for _, code in findings}


def _kind(said: Said) -> str:
    return kinds.predicate_type(said)


def promotion_yaml(registry: str, private: Path, public: Path) -> str:
    """The shop's promotion.yaml, and another pipeline's, in one registry and by one key."""
    return f"""\
pipelines:
  shop:
    results: {RESULTS}
    stages:
      fast-feedback:
        registry: {registry}
        promotes_to: extended-test
        gate: {{suites: [functional]}}
      extended-test:
        registry: {registry}
        promotes_to: prod
        auto: false
        gate: {{suites: [extended], soak: 1h, alerts: none, approvals: 1}}
      prod: {{registry: {registry}}}
  other:
    results: {OTHERS_RESULTS}
    stages:
      others-test:
        registry: {registry}
        promotes_to: others-prod
        gate: {{suites: [extended]}}
      others-prod: {{registry: {registry}}}
signals: {SIGNALS}
signing: {{key: {private}, trusted: [{public}]}}
"""
