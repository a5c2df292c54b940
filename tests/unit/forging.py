"""A shop whose evidence is signed, and what somebody without the key tries on its registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from dev import images
from promotion import configuration
from promotion.dsse import Envelope, Signature
from promotion.events import Event
from promotion.evidence import attestation, record, suite_run
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.record import PromotionRecord
from promotion.evidence.statement import PAYLOAD_TYPE
from promotion.evidence.suite_run import SuiteRun
from promotion.messages import Outcome, TestResult
from promotion.pipeline import Promotion
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference, Repository
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.attesting import KEY, STRANGER, attach, bundle, key_files, store
from tests.unit.promoting import promoter

VERSION = "1.0"
_BEGAN = datetime.now(UTC)


class SignedShop:
    """A pipeline of three stages in one registry, and a function that has run for a while.

    functional and nft leave fast-feedback, extended leaves extended-test.

    Attributes:
        public_key: The file with the key that its statements can be verified with.
        text: Its promotion.yaml.
    """

    def __init__(self, host: str, transport: Transport, folder: Path, prefix: str = "shop") -> None:
        self._host = host
        self._prefix = prefix
        self._transport = transport
        private, self.public_key = key_files(folder)
        self.text = promotion_yaml(f"{host}/{prefix}", private, self.public_key)
        self._topic = RecordedTopic()
        self._promoter = promoter(self.text, transport, self._topic)

    @property
    def events(self) -> list[Event]:
        """All that were published."""
        return self._topic.events

    def promotion(self, image: Manifest) -> Promotion:
        """The promotion of an image into extended-test."""
        pipelines = configuration.parse("promotion.yaml", self.text)
        named = pipelines.find(Reference(self.stage("fast-feedback").repository, VERSION))
        (promotion,) = named.promotions(image.digest)
        return promotion

    def stage(self, name: str) -> RepositoryClient:
        """The repository of the image in a stage."""
        return self.repository(f"{name}/shop")

    def repository(self, path: str) -> RepositoryClient:
        """A repository of the shop."""
        return RepositoryClient(Repository(self._host, f"{self._prefix}/{path}"), self._transport)

    def push(
        self, content: bytes = b"tested", tag: str = VERSION, stage: str = "fast-feedback"
    ) -> Manifest:
        """Push an image with that content."""
        return images.push_image(self.stage(stage), [content], tag=tag)

    def report(
        self,
        image: Manifest,
        suite: str,
        stage: str = "fast-feedback",
        tag: str = VERSION,
        outcome: Outcome = Outcome.SUCCESS,
    ) -> list[Event]:
        """Let the function handle a result about an image; the events that it published."""
        before = len(self._topic.events)
        reference = Reference(self.stage(stage).repository, tag)
        self._promoter.handle(
            TestResult(reference, image.digest, suite, outcome, _BEGAN, datetime.now(UTC))
        )
        return self._topic.events[before:]

    def promote(self, image: Manifest, tag: str = VERSION) -> None:
        """Let an image into extended-test, as is right."""
        self.report(image, "functional", tag=tag)
        self.report(image, "nft", tag=tag)
        assert self.stage("extended-test").resolve(tag) == image.digest

    def evidence(self, image: Manifest, stage: str = "fast-feedback") -> Evidence:
        """What somebody finds in a stage who has the public key and has not looked before."""
        return store().read(image.digest, [self.stage(stage)])

    def run(self, suite: str = "nft", **fields: Any) -> SuiteRun:
        """A success in fast-feedback, but for the fields given."""
        run = SuiteRun(
            pipeline="shop",
            stage="fast-feedback",
            repository=str(self.stage("fast-feedback").repository),
            version=VERSION,
            suite=suite,
            passed=True,
            finished_at=_BEGAN + timedelta(minutes=1),
        )
        return msgspec.structs.replace(run, **fields)

    def real_record(self) -> Attested[PromotionRecord]:
        """The record of another image's promotion into extended-test."""
        other = self.push(b"another", "0.9")
        self.promote(other, "0.9")
        (real,) = self.evidence(other, "extended-test").records
        return real


def promotion_yaml(registry: str, private: Path, public: Path) -> str:
    """The shop's promotion.yaml, with the files of the keys."""
    return f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {registry}
        promotes_to: extended-test
        gate:
          suites: [functional, nft]
      extended-test:
        registry: {registry}
        promotes_to: prod
        gate:
          suites: [extended]
      prod:
        registry: {registry}
signing:
  key: {json.dumps(str(private))}
  trusted: [{json.dumps(str(public))}]
"""


def codes(event: Event) -> list[str]:
    """The codes of an event's findings."""
    return [finding["code"] for finding in json.loads(event.data)["findings"]]


@dataclass(frozen=True)
class Forgery:
    """Something that looks like evidence.

    Attributes:
        attempt: Writes it to the registry, for an image.
        reason: Why it is ignored; "" for a real statement, or one that cannot even be listed.
    """

    attempt: Callable[[SignedShop, Manifest], object]
    reason: str = ""


def _statement(shop: SignedShop, image: Manifest, **fields: Any) -> bytes:
    return suite_run.write(shop.run(**fields), image.digest)


def _attach(shop: SignedShop, image: Manifest, bundle: bytes) -> None:
    attach(shop.stage("fast-feedback"), image, bundle)


def _changed(shop: SignedShop, image: Manifest) -> None:
    failure = Envelope.from_bundle(bundle(_statement(shop, image, passed=False), KEY))
    payload = failure.payload.replace(b"FAILED", b"PASSED")
    _attach(shop, image, Envelope(PAYLOAD_TYPE, payload, failure.signatures).to_bundle())


def _signed_in_anothers_name(shop: SignedShop, image: Manifest) -> None:
    payload = _statement(shop, image)
    (signature,) = Envelope.from_bundle(bundle(payload, STRANGER)).signatures
    claimed = Signature(signature.value, KEY.public.key_id)
    _attach(shop, image, Envelope(PAYLOAD_TYPE, payload, (claimed,)).to_bundle())


def _real_of_another(shop: SignedShop) -> Attested[SuiteRun]:
    other = shop.push(b"another", "0.9")
    shop.report(other, "nft", tag="0.9")
    (run,) = shop.evidence(other).runs
    return run


def _replayed(shop: SignedShop, image: Manifest) -> None:
    run = _real_of_another(shop)
    _attach(shop, image, shop.stage("fast-feedback").read_blob(run.bundle, 1 << 20))


def _shown_under_a_tag(shop: SignedShop, image: Manifest) -> None:
    run = _real_of_another(shop)
    tag = attestation.tag_of(image.digest, run.basis.attestation)
    shop.stage("fast-feedback").put_manifest(run.manifest, tag)


FORGED_SUCCESSES: Mapping[str, Forgery] = {
    "unsigned": Forgery(
        lambda shop, image: _attach(shop, image, bundle(_statement(shop, image))),
        "it is not signed",
    ),
    "signed with another key": Forgery(
        lambda shop, image: _attach(shop, image, bundle(_statement(shop, image), STRANGER)),
        "no trusted key has signed it",
    ),
    "signed with another key in the name of the right one": Forgery(
        _signed_in_anothers_name, "no trusted key has signed it"
    ),
    "two signatures": Forgery(
        lambda shop, image: _attach(
            shop, image, bundle(_statement(shop, image), STRANGER, STRANGER)
        ),
        "no trusted key has signed it",
    ),
    "a real failure changed into a success": Forgery(_changed, "no trusted key has signed it"),
    "a real statement of another payload type": Forgery(
        lambda shop, image: _attach(
            shop, image, bundle(_statement(shop, image), KEY, payload_type="text/plain")
        ),
        "its payload is text/plain",
    ),
    "a real statement about another image": Forgery(_replayed, "it is about"),
    "another image's attestation under a tag of this one": Forgery(_shown_under_a_tag),
    "a real statement of another stage": Forgery(
        lambda shop, image: _attach(
            shop, image, bundle(_statement(shop, image, stage="extended-test"), KEY)
        )
    ),
    "a real statement of another pipeline": Forgery(
        lambda shop, image: _attach(
            shop, image, bundle(_statement(shop, image, pipeline="other"), KEY)
        )
    ),
    "a real statement of another image with this digest": Forgery(
        lambda shop, image: _attach(
            shop,
            image,
            bundle(
                _statement(
                    shop, image, repository=str(shop.repository("fast-feedback/x").repository)
                ),
                KEY,
            ),
        )
    ),
}
"""Successes of nft that are none, of an image in fast-feedback."""


def _record(shop: SignedShop, image: Manifest, **fields: Any) -> bytes:
    """A record that looks right: a real one's, for this image."""
    destination = Reference(shop.stage("extended-test").repository, VERSION)
    said = msgspec.structs.replace(shop.real_record().said, destination=destination)
    return record.write(msgspec.structs.replace(said, **fields), image.digest)


def _let_in(shop: SignedShop, image: Manifest, bundle: bytes) -> None:
    attach(shop.stage("extended-test"), image, bundle, record.PREDICATE_TYPE)


def _changed_record(shop: SignedShop, image: Manifest) -> None:
    real = shop.real_record()
    place = shop.stage("extended-test")
    envelope = Envelope.from_bundle(place.read_blob(real.bundle, 1 << 20))
    destination = Reference(place.repository, VERSION)
    payload = record.write(
        msgspec.structs.replace(real.said, destination=destination), image.digest
    )
    _let_in(shop, image, Envelope(PAYLOAD_TYPE, payload, envelope.signatures).to_bundle())


def _replayed_record(shop: SignedShop, image: Manifest) -> None:
    real = shop.real_record()
    _let_in(shop, image, shop.stage("extended-test").read_blob(real.bundle, 1 << 20))


def _for_another_version(shop: SignedShop, image: Manifest) -> None:
    destination = Reference(shop.stage("extended-test").repository, "0.8")
    _let_in(shop, image, bundle(_record(shop, image, destination=destination), KEY))


def _for_another_stage(shop: SignedShop, image: Manifest) -> None:
    destination = Reference(shop.stage("prod").repository, VERSION)
    payload = _record(shop, image, destination=destination, to_stage="prod")
    _let_in(shop, image, bundle(payload, KEY))


FORGED_RECORDS: Mapping[str, Forgery] = {
    "none": Forgery(lambda _shop, _image: None),
    "unsigned": Forgery(
        lambda shop, image: _let_in(shop, image, bundle(_record(shop, image))), "it is not signed"
    ),
    "signed with another key": Forgery(
        lambda shop, image: _let_in(shop, image, bundle(_record(shop, image), STRANGER)),
        "no trusted key has signed it",
    ),
    "two signatures": Forgery(
        lambda shop, image: _let_in(shop, image, bundle(_record(shop, image), STRANGER, STRANGER)),
        "no trusted key has signed it",
    ),
    "a real record changed": Forgery(_changed_record, "no trusted key has signed it"),
    "a real record of another image": Forgery(_replayed_record, "it is about"),
    "a real record of another version": Forgery(_for_another_version),
    "a real record of another stage": Forgery(_for_another_stage),
    "a real record of another pipeline": Forgery(
        lambda shop, image: _let_in(shop, image, bundle(_record(shop, image, pipeline="x"), KEY))
    ),
}
"""Records that do not let an image into extended-test, where somebody has pushed it."""


def check_a_forged_success_changes_nothing(shop: SignedShop, name: str) -> None:
    """The suite still has not reported; when it really does, the image goes on."""
    forgery = FORGED_SUCCESSES[name]
    image = shop.push()
    forgery.attempt(shop, image)
    assert shop.report(image, "functional") == []
    assert shop.stage("extended-test").resolve(VERSION) is None
    _check_reported(shop.evidence(image), forgery)
    (event,) = shop.report(image, "nft")
    assert event.attributes["verdict"] == "PROMOTE"


def check_a_forged_record_lets_nothing_in(shop: SignedShop, name: str) -> None:
    """The image is refused at the next gate, by name of what it lacks, and goes nowhere."""
    forgery = FORGED_RECORDS[name]
    image = shop.push(b"never tested", stage="extended-test")
    forgery.attempt(shop, image)
    (event,) = shop.report(image, "extended", "extended-test")
    assert event.attributes["verdict"] == "DENY"
    assert codes(event) == ["no-record"]
    assert shop.stage("prod").resolve(VERSION) is None
    _check_reported(shop.evidence(image, "extended-test"), forgery)


def _check_reported(evidence: Evidence, forgery: Forgery) -> None:
    if forgery.reason:
        (ignored,) = evidence.ignored
        assert forgery.reason in ignored.reason
