"""The harness can fail: whatever must not be is found, by the reader or by the oracle."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import Received
from dev.registry import EmbeddedRegistry
from dev.stack import ROOT, signed
from promotion import configuration, messages
from promotion.delivery import Message as Delivered
from promotion.events import DENIED
from promotion.evidence.store import EvidenceStore
from promotion.messages import TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_INDEX
from promotion.registry.reference import Digest, Repository
from promotion.registry.referrers import fallback_tag
from promotion.registry.transport import Transport
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.gate import Gate
from tests.chaos.oracle import Oracle, Seen
from tests.chaos.reader import Reader
from tests.chaos.stages import five_stages, hosts_by_stage
from tests.chaos.stock import VERSION, Denied, Message, Placed, Promoted, PutAside, Stock
from tests.integration.shop import PROD
from tests.marked import Marked
from tests.topics import RecordedTopic
from tests.unit.attached import delete
from tests.unit.promoting import evidence_store, promoter

STRANGE = Received(b"?", {"image": "strange"}, "9")


@dataclass
class Ended:
    """A round that has ended as it should, until a test spoils it."""

    image: Placed
    message: Message
    seen: Seen
    store: EvidenceStore
    oracle: Oracle
    reader: Reader
    destination: RepositoryClient

    def violations(self) -> str:
        """What the oracle finds."""
        return "; ".join(self.oracle.violations([self.message], self.seen))

    def missed(self) -> str:
        """What the reader misses."""
        return "; ".join(self.reader.look(self.image))

    def delete(self, digest: Digest) -> None:
        """Remove a manifest from the destination."""
        delete(self.destination, self.destination.manifest(digest))

    def repeat(self, data: bytes = b"", attributes: Mapping[str, str] | None = None) -> None:
        """Have an event repeated, with other data or attributes."""
        (event,) = self.seen.events
        changed = {**event.attributes, **(attributes or {})}
        self.seen.events.append(Received(data or event.data, changed, event.message_id))

    def tell(self, **told: object) -> None:
        """Have told something else by an event."""
        (event,) = self.seen.events
        data = json.dumps({**json.loads(event.data), **told}).encode()
        self.seen.events = [dataclasses.replace(event, data=data)]


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Anonymous requests, whose connections are closed afterwards."""
    transport = anonymous_transport()
    yield transport
    transport.close()


@pytest.fixture
def ended(tmp_path: Path, transport: Transport) -> Iterator[Ended]:
    """An image with referrers, promoted from one embedded registry into another."""
    with (
        EmbeddedRegistry(tmp_path / "near") as near,
        EmbeddedRegistry(tmp_path / "far", referrers_api=False) as far,
    ):
        hosts = hosts_by_stage(near.host, far.host)

        def repository(stage: str, name: str) -> RepositoryClient:
            return RepositoryClient(Repository(hosts[stage], f"shop/{stage}/{name}"), transport)

        text = five_stages(near.host, far.host) + signed(tmp_path)
        (message,) = Stock("round-", Random(1), repository, hosts).messages(["referrers"])
        (fate,) = message.fates
        assert isinstance(fate, Promoted)
        topic = RecordedTopic()
        result = messages.parse(Delivered(message.content, {}, "1", datetime.now(UTC)))
        assert isinstance(result, TestResult)
        promoter(text, transport, topic).handle(result)
        seen = Seen([Received(each.data, dict(each.attributes), "2") for each in topic.events])
        store = evidence_store(configuration.parse("promotion.yaml", text))
        reader = Reader(repository, store)
        oracle = Oracle(repository, store)
        destination = repository(PROD, fate.image.name)
        yield Ended(fate.image, message, seen, store, oracle, reader, destination)


def lose_referrer(ended: Ended) -> None:
    """A referrer is not there."""
    ended.delete(list(ended.image.manifests)[1])


def lose_record(ended: Ended) -> None:
    """The promotion's record is not there."""
    evidence = ended.store.read(ended.image.digest, [ended.destination])
    for record in evidence.records:
        ended.delete(record.manifest.digest)


def lose_result(ended: Ended) -> None:
    """The suite's statement is not there."""
    evidence = ended.store.read(ended.image.digest, [ended.destination])
    for run in evidence.runs:
        ended.delete(run.manifest.digest)


def move_tag(ended: Ended) -> None:
    """The version names another image."""
    images.push_image(ended.destination, [b"other"], VERSION)


def deny_as_well(ended: Ended) -> None:
    """It was promoted, and denied."""
    ended.repeat(attributes={"ce-type": DENIED})


def put_aside(ended: Ended) -> None:
    """A good message was put aside."""
    reason = {"promotion-dlq-reason": "no reason"}
    ended.seen.letters.append(Received(ended.message.content, reason, "3"))


def name_otherwise(ended: Ended) -> None:
    """The event has an id that is not the promotion's."""
    ended.repeat(attributes={"ce-id": "another"})
    del ended.seen.events[0]


def unlist_referrer(ended: Ended) -> None:
    """A referrer is there, and nobody who asks for what refers to the image is told."""
    tag = fallback_tag(ended.image.digest)
    images.push_manifest(ended.destination, {"manifests": []}, OCI_INDEX, tag)


SPOILT: dict[str, tuple[Callable[[Ended], None], str]] = {
    "no event": (lambda ended: ended.seen.events.clear(), "0 effects"),
    "another id": (lambda ended: ended.repeat(attributes={"ce-id": "another"}), "events of 2 ids"),
    "no id of the promotion's": (name_otherwise, "no record of what an event tells"),
    "other data": (
        lambda ended: ended.repeat(data=ended.seen.events[0].data + b" "),
        "repeats with other data",
    ),
    "other attributes": (
        lambda ended: ended.repeat(attributes={"verdict": "WAIT"}),
        "repeats with other data",
    ),
    "another place": (
        lambda ended: ended.tell(destination=ended.image.source),
        "an event with the destination",
    ),
    "other evidence": (lambda ended: ended.tell(evidence=[]), "no record of what an event tells"),
    "an event too soon": (
        lambda ended: ended.seen.early.extend(ended.seen.events),
        "announced before it was there",
    ),
    "an event too many": (
        lambda ended: ended.seen.late.extend(ended.seen.events),
        "announced again",
    ),
    "denied as well": (deny_as_well, "2 effects"),
    "put aside as well": (put_aside, "2 effects"),
    "an event about nothing": (
        lambda ended: ended.seen.events.append(STRANGE),
        "an event about strange",
    ),
    "a dead letter of nothing": (
        lambda ended: ended.seen.letters.append(STRANGE),
        "a dead letter that was no message",
    ),
    "a referrer lost": (lose_referrer, "lacks the manifest"),
    "a referrer unlisted": (unlist_referrer, "does not list"),
    "the tag moved": (move_tag, "1.0.0 names"),
    "no record": (lose_record, "no record"),
    "no result": (lose_result, "suites [] are stated"),
}


def test_what_is_as_it_should_be(ended: Ended) -> None:
    """Nothing is found, and nothing missed; a repeat of the same event is no violation."""
    ended.repeat()
    assert ended.violations() == ""
    assert ended.missed() == ""
    assert ended.reader.looks == 1


@pytest.mark.parametrize(("spoil", "found"), SPOILT.values(), ids=SPOILT)
def test_what_should_not_be_is_found(
    ended: Ended, spoil: Callable[[Ended], None], found: str
) -> None:
    """Each promise has a violation of its own."""
    spoil(ended)
    assert found in ended.violations()


@pytest.mark.parametrize("spoil", [lose_referrer, unlist_referrer, lose_record, lose_result])
def test_the_reader_misses_what_is_not_there(ended: Ended, spoil: Callable[[Ended], None]) -> None:
    """What has its tag has to be whole, with its record, whenever somebody looks."""
    spoil(ended)
    assert "1.0.0 was there without" in ended.missed()


def test_what_was_not_to_be_promoted(ended: Ended) -> None:
    """A message that should have been put aside, and had an effect."""
    ended.message = dataclasses.replace(ended.message, fates=(PutAside("malformed"),))
    assert "of which nothing was published" in ended.violations()
    assert "0 effects" in ended.violations()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"promotion-dlq-class": "permanent"},
        {"sender": "round-sender", "promotion-dlq-class": "retryable"},
    ],
    ids=["nothing", "not what was there", "the wrong class"],
)
def test_a_dead_letter_that_lacks_something(ended: Ended, attributes: Mapping[str, str]) -> None:
    """It has the attributes that its message had, and the reason's class, beside the reason."""
    ended.message = dataclasses.replace(ended.message, fates=(PutAside("malformed"),))
    ended.seen = Seen()
    reason = {"promotion-dlq-reason": "malformed"}
    ended.seen.letters = [Received(ended.message.content, {**attributes, **reason}, "3")]
    assert "a dead letter with" in ended.violations()


def test_a_dead_letter_as_it_should_be(ended: Ended) -> None:
    """A message that was to be put aside, and was."""
    ended.message = dataclasses.replace(ended.message, fates=(PutAside("malformed"),))
    letter = {"promotion-dlq-reason": "it is malformed", "promotion-dlq-class": "permanent"}
    attributes = {**ended.message.attributes, **letter}
    ended.seen = Seen(letters=[Received(ended.message.content, attributes, "3")])
    assert ended.violations() == ""


def test_what_is_told_more_often_than_it_was_delivered(ended: Ended) -> None:
    """A delivery tells of one thing at most."""
    assert ended.seen.beyond(1) == []
    ended.repeat()
    assert ended.seen.beyond(2) == []
    assert ended.seen.beyond(1) == ["2 events and dead letters upon 1 deliveries"]


def test_a_reader_that_fails(ended: Ended) -> None:
    """It is not taken for one that has seen nothing wrong."""
    asked = threading.Event()

    def repositories(stage: str, name: str) -> RepositoryClient:
        asked.set()
        raise LookupError(f"{name} in {stage}")

    with Reader(repositories, ended.store) as reader:
        reader.watch([ended.image])
        assert asked.wait(60)
    assert "the reader failed" in reader.violations[0]


def test_a_rival_may_have_moved_the_tag(ended: Ended) -> None:
    """Only to what the rival has set, and to nothing else."""
    rival = images.push_image(ended.destination, [b"rival"], VERSION).digest
    ended.message = dataclasses.replace(ended.message, fates=(Promoted(ended.image, (rival,)),))
    assert ended.violations() == ""
    move_tag(ended)
    assert "1.0.0 names" in ended.violations()


def test_a_denial_leaves_what_was_there(ended: Ended) -> None:
    """The version names what it named before, in the next stage."""
    fates = (Denied(ended.image, "tag-conflict", images.push_image(ended.destination, []).digest),)
    ended.message = dataclasses.replace(ended.message, fates=fates)
    assert "1.0.0 names" in ended.violations()


def test_a_gate_that_is_shut() -> None:
    """It cuts who is connected, lets nobody in, and opens again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Gate("127.0.0.1:{1}".format(*server.getsockname())) as gate:
            name, _, port = gate.host.partition(":")
            with socket.create_connection((name, int(port))) as through:
                server.accept()[0].close()
                assert through.recv(1) == b""
            gate.shut()
            with socket.create_connection((name, int(port))) as refused:
                assert refused.recv(1) == b""
            assert gate.slammed > 0
            gate.open()
            with socket.create_connection((name, int(port))) as again:
                accepted, _ = server.accept()
                accepted.sendall(b"x")
                assert again.recv(1) == b"x"
                accepted.close()


def test_every_scenario_is_explained() -> None:
    """The page about reliability says of each scenario what goes wrong in it."""
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    for scenario in SCENARIOS.values():
        assert f"| `{scenario.name}` | {scenario.summary} |" in page


def test_a_secret_is_found_in_whatever_was_sent(ended: Ended) -> None:
    """In an event's attributes or data, and in a dead letter."""
    secrets = Marked()
    secret = secrets.new("the key")
    assert secrets.found_in(ended.seen.sent()) == []
    ended.repeat(data=secret.encode())
    ended.seen.late.append(Received(b"", {"told": secret}, "3"))
    ended.seen.letters.append(Received(b"", {"promotion-dlq-reason": secret}, "4"))
    assert len(secrets.found_in(ended.seen.sent())) == 3
