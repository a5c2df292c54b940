"""The harness can fail: whatever must not be is found, by the reader or by the oracle."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import Received
from dev.registry import EmbeddedRegistry
from dev.stack import ROOT, signed, three_stages
from promotion import configuration, messages
from promotion.delivery import Message as Delivered
from promotion.evidence.store import EvidenceStore
from promotion.messages import TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.gate import Gate
from tests.chaos.oracle import Oracle, Seen
from tests.chaos.reader import Reader
from tests.chaos.stock import VERSION, Message, Placed, Promoted, PutAside, Stock
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD
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

    def repeat(self, **changes: object) -> None:
        """Have an event repeated, with changes."""
        self.seen.events.append(dataclasses.replace(self.seen.events[0], **changes))  # type: ignore[arg-type]


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Anonymous requests, whose connections are closed afterwards."""
    transport = anonymous_transport()
    yield transport
    transport.close()


@pytest.fixture
def ended(tmp_path: Path, transport: Transport) -> Iterator[Ended]:
    """An image with referrers, promoted from one embedded registry into another."""
    with EmbeddedRegistry(tmp_path / "near") as near, EmbeddedRegistry(tmp_path / "far") as far:
        hosts = {FAST_FEEDBACK: near.host, EXTENDED_TEST: near.host, PROD: far.host}

        def repository(stage: str, name: str) -> RepositoryClient:
            return RepositoryClient(Repository(hosts[stage], f"shop/{stage}/{name}"), transport)

        text = three_stages(near.host, far.host) + signed(tmp_path)
        text = text.replace("extended-test:\n", "extended-test:\n        entry: any\n")
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
    (event,) = ended.seen.events
    denied = event.attributes["ce-type"].replace("promoted", "denied")
    ended.repeat(attributes={**event.attributes, "ce-type": denied})


def put_aside(ended: Ended) -> None:
    """A good message was put aside."""
    reason = {"promotion-dlq-reason": "no reason"}
    ended.seen.letters.append(Received(ended.message.content, reason, "3"))


SPOILT: dict[str, tuple[Callable[[Ended], None], str]] = {
    "no event": (lambda ended: ended.seen.events.clear(), "0 effects"),
    "another id": (
        lambda ended: ended.repeat(
            attributes={**ended.seen.events[0].attributes, "ce-id": "another"}
        ),
        "events of 2 ids",
    ),
    "other data": (
        lambda ended: ended.repeat(data=ended.seen.events[0].data + b" "),
        "repeats with other data",
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


@pytest.mark.parametrize("spoil", [lose_referrer, lose_record])
def test_the_reader_misses_what_is_not_there(ended: Ended, spoil: Callable[[Ended], None]) -> None:
    """What has its tag has to be whole, with its record, whenever somebody looks."""
    spoil(ended)
    assert "1.0.0 was there without" in ended.missed()


def test_what_was_not_to_be_promoted(ended: Ended) -> None:
    """A message that should have been put aside, and had an effect."""
    ended.message = Message(ended.message.content, (PutAside("malformed"),))
    assert "of which nothing was published" in ended.violations()
    assert "0 effects" in ended.violations()


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
