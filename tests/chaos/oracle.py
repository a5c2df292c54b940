"""What must hold when all is over, whatever went wrong: one effect of each message, no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dev.pubsub import Received
from promotion.events import DENIED, PROMOTED
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest
from promotion.registry.referrers import list_referrers
from tests.chaos.stock import (
    VERSION,
    Denied,
    Fate,
    Message,
    Placed,
    Promoted,
    PutAside,
    Repositories,
)

_REASON, _CLASS = "promotion-dlq-reason", "promotion-dlq-class"
_LARGEST = 8 * 1024 * 1024


@dataclass
class Seen:
    """What has come out of the topics.

    Attributes:
        early: Those of the events that came before the version was there that they tell of.
        late: Events that came when every message had had its effect, and was delivered again.
    """

    events: list[Received] = field(default_factory=list)
    letters: list[Received] = field(default_factory=list)
    early: list[Received] = field(default_factory=list)
    late: list[Received] = field(default_factory=list)

    def sent(self) -> Mapping[str, bytes]:
        """All of it as bytes, with the attributes."""
        sent = [*self.events, *self.late, *self.letters]
        return {
            f"message {number}": each.data + str(each.attributes).encode(errors="replace")
            for number, each in enumerate(sent)
        }

    def of(self, image: Placed) -> list[Received]:
        """The events about an image."""
        return [each for each in self.events if each.attributes.get("image") == image.name]

    def beyond(self, deliveries: int) -> list[str]:
        """What is wrong after so many deliveries, each of which tells of one thing at most."""
        told = len(self.events) + len(self.late) + len(self.letters)
        if told <= deliveries:
            return []
        return [f"{told} events and dead letters upon {deliveries} deliveries"]

    def about(self, message: Message) -> bool:
        """Whether anything is known of what has become of a message."""
        letters = any(each.data == message.content for each in self.letters)
        return letters or any(self.of(image) for image in images_of(message))


def images_of(message: Message) -> list[Placed]:
    """The image that a message is about, if there is one."""
    found = [fate.image for fate in message.fates if not isinstance(fate, PutAside)]
    return found[:1]


class Oracle:
    """Judges what is there when a scenario is over.

    Args:
        repositories: Where images are.
        store: Reads statements, and believes whom the function signs for.
        forgotten: Whether events may be missing, because Pub/Sub has lost what it had taken.
    """

    def __init__(
        self, repositories: Repositories, store: EvidenceStore, *, forgotten: bool = False
    ) -> None:
        self._repositories = repositories
        self._store = store
        self._forgotten = forgotten

    def violations(self, messages: Sequence[Message], seen: Seen) -> list[str]:
        """All that should not be so."""
        found = [each for message in messages for each in self._of(message, seen)]
        known = {image.name for message in messages for image in images_of(message)}
        contents = {message.content for message in messages}
        found += [
            f"an event about {event.attributes.get('image')}, of which nothing was published"
            for event in seen.events
            if event.attributes.get("image") not in known
        ]
        found += [
            f"a dead letter that was no message: {letter.data!r}"
            for letter in seen.letters
            if letter.data not in contents
        ]
        found += [
            f"{event.attributes.get('image')}: announced again, though nothing had gone wrong"
            for event in seen.late
        ]
        return found

    def _of(self, message: Message, seen: Seen) -> Iterator[str]:
        name = _name(message)
        happened = list(_happened(message, seen))
        if not happened and self._forgotten:
            happened = self._left_behind(message)
        if len(happened) != 1:
            yield f"{name}: {len(happened)} effects: {', '.join(map(_said, happened)) or 'none'}"
        expected = [fate for fate in message.fates if any(_is(each, fate) for each in happened)]
        for fate in happened:
            if not any(_is(fate, each) for each in expected):
                yield f"{name}: {_said(fate)}, which was not expected"
        yield from _letters(message, seen)
        for image in images_of(message):
            yield from _events(image, seen.of(image))
            yield from _hasty(image, seen.early, expected)
            yield from self._place(image, expected)
            if happened and not isinstance(happened[0], PutAside):
                yield from self._stated(image, self._repositories(image.stage, image.name))
            if any(isinstance(fate, Promoted) for fate in happened):
                yield from self._evidence(image, seen.of(image))

    def _left_behind(self, message: Message) -> list[Fate]:
        """The effect of a message whose event was lost: what is in the registry says it."""
        promotions = [fate for fate in message.fates if isinstance(fate, Promoted)]
        return [
            fate
            for fate in promotions
            for place in [self._repositories(fate.image.to_stage, fate.image.name)]
            if place.resolve(VERSION) == fate.image.digest
        ]

    def _place(self, image: Placed, fates: Sequence[Fate]) -> Iterator[str]:
        """What the version names in the next stage, and whether that is whole."""
        place = self._repositories(image.to_stage, image.name)
        named = place.resolve(VERSION)
        allowed = [each for fate in fates for each in _names(fate)] or [None]
        if named not in allowed:
            yield f"{place.repository}:{VERSION} names {named}, not {allowed[0]}"
        if named == image.digest:
            yield from self._parts(image, place)

    def _parts(self, image: Placed, place: RepositoryClient) -> Iterator[str]:
        source = self._repositories(image.stage, image.name)
        for digest, content in image.manifests.items():
            found = place.find(digest)
            if found is None or found.content != content:
                yield f"{place.repository} lacks the manifest {digest}, or holds other bytes"
        for digest, size in image.blobs.items():
            blob = Blob(digest, size)
            there = place.has_blob(digest) and place.read_blob(blob, _LARGEST)
            if there != source.read_blob(blob, _LARGEST):
                yield f"{place.repository} lacks the blob {digest}, or holds other bytes"

        for subject, referrer in image.referrers.items():
            if referrer not in {each.digest for each in list_referrers(place, subject)}:
                yield f"{place.repository} does not list {referrer} as a referrer of {subject}"

    def _evidence(self, image: Placed, events: Sequence[Received]) -> Iterator[str]:
        """Whether all that a promotion rests on has gone with it, and the events speak of that."""
        place = self._repositories(image.to_stage, image.name)
        yield from self._stated(image, place)
        evidence = self._store.read(image.digest, [place])
        records = [each.said for each in evidence.records if each.said.to_stage == image.to_stage]
        if not records:
            yield f"{place.repository}: no record of the promotion"
        for record in records:
            if len(record.evidence) < len(image.suites):
                yield f"{place.repository}: a record that rests upon {record.evidence} alone"
        for digest in {digest for record in records for digest in record.evidence}:
            if not place.has_manifest(digest):
                yield f"{place.repository} lacks {digest}, upon which the image was promoted"
        recorded = [(record.event_id, sorted(record.evidence)) for record in records]
        for event in events:
            told = event.attributes["ce-id"], json.loads(event.data)["evidence"]
            if event.attributes["ce-type"] == PROMOTED and told not in recorded:
                yield f"{image.name}: no record of what an event tells: {told}"

    def _stated(self, image: Placed, place: RepositoryClient) -> Iterator[str]:
        """Whether a statement of each suite is there, and nothing that does not count."""
        evidence = self._store.read(image.digest, [place])
        suites = sorted(run.said.suite for run in evidence.runs)
        if suites != sorted(image.suites):
            yield f"{place.repository}: suites {suites} are stated, not {image.suites}"
        for each in evidence.ignored:
            yield f"{place.repository}: {each.attestation} does not count: {each.reason}"


def _name(message: Message) -> str:
    images = images_of(message)
    return images[0].name if images else repr(message.content[:60])


def _happened(message: Message, seen: Seen) -> Iterator[Fate]:
    """What the topics say of a message, each thing once."""
    for image in images_of(message):
        events = seen.of(image)
        if any(event.attributes["ce-type"] == PROMOTED for event in events):
            yield Promoted(image)
        denials = [event for event in events if event.attributes["ce-type"] == DENIED]
        for codes in dict.fromkeys(",".join(_codes(event)) for event in denials):
            yield Denied(image, codes)
    letters = [each for each in seen.letters if each.data == message.content]
    reasons = dict.fromkeys(each.attributes.get(_REASON, "never acknowledged") for each in letters)
    yield from map(PutAside, reasons)


def _codes(event: Received) -> list[str]:
    return sorted(finding["code"] for finding in json.loads(event.data)["findings"])


def _is(fate: Fate, expected: Fate) -> bool:
    match fate, expected:
        case Promoted(), Promoted():
            return True
        case Denied(_, code), Denied(_, expected_code):
            return code == expected_code
        case PutAside(reason), PutAside(part):
            return part in reason
        case _:
            return False


def _names(fate: Fate) -> tuple[Digest | None, ...]:
    """What the image's version may name in the next stage."""
    match fate:
        case Promoted(image, rivals):
            return (image.digest, *rivals)
        case Denied(_, _, rival):
            return (rival,)
        case PutAside():
            return (None,)


def _letters(message: Message, seen: Seen) -> Iterator[str]:
    """A dead letter has all that its message had, and says that another try would be in vain."""
    expected = {**message.attributes, _CLASS: "permanent"}
    for letter in seen.letters:
        if letter.data == message.content and not expected.items() <= letter.attributes.items():
            yield f"{_name(message)}: a dead letter with {letter.attributes}, not {expected}"


def _events(image: Placed, events: Sequence[Received]) -> Iterator[str]:
    """All events about one image are one event, and tell what is so."""
    ids = {event.attributes["ce-id"] for event in events}
    if len(ids) > 1:
        yield f"{image.name}: events of {len(ids)} ids"
    if len({(event.data, *sorted(event.attributes.items())) for event in events}) > 1:
        yield f"{image.name}: repeats with other data"
    stages = {"from_stage": image.stage, "to_stage": image.to_stage}
    places = {"source": image.source, "destination": image.destination, "digest": image.digest}
    for event in events:
        verdict = "PROMOTE" if event.attributes["ce-type"] == PROMOTED else "DENY"
        attributes = {"pipeline": "shop", "version": VERSION, "verdict": verdict}
        yield from _untrue(image, event.attributes, {**stages, **attributes})
        yield from _untrue(image, json.loads(event.data), {**stages, **places})


def _hasty(image: Placed, early: Sequence[Received], fates: Sequence[Fate]) -> Iterator[str]:
    """What was told before it was so, unless somebody may have undone it meanwhile."""
    names = {each.attributes.get("image") for each in early}
    if image.name in names and not any(None in _names(fate) for fate in fates):
        yield f"{image.name}: announced before it was there"


def _untrue(image: Placed, told: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    for name, value in expected.items():
        if told[name] != value:
            yield f"{image.name}: an event with the {name} {told[name]}, not {value}"


def _said(fate: Fate) -> str:
    match fate:
        case Promoted():
            return "promoted"
        case Denied(_, code):
            return f"denied for {code}"
        case PutAside(reason):
            return f"put aside: {reason}"
