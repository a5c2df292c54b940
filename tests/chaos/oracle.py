"""What must hold when all is over, whatever went wrong: one effect of each message, no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dev.pubsub import Received
from promotion.events import DENIED, PROMOTED
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob
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
    """What has come out of the topics."""

    events: list[Received] = field(default_factory=list)
    letters: list[Received] = field(default_factory=list)

    def of(self, image: Placed) -> list[Received]:
        """The events about an image."""
        return [each for each in self.events if each.attributes.get("image") == image.name]

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
        return found

    def _of(self, message: Message, seen: Seen) -> Iterator[str]:
        name = _name(message)
        happened = list(_happened(message, seen))
        if not happened and self._forgotten:
            happened = self._left_behind(message)
        if len(happened) != 1:
            yield f"{name}: {len(happened)} effects: {', '.join(map(_said, happened)) or 'none'}"
        for fate in happened:
            if not any(_agrees(fate, expected) for expected in message.fates):
                yield f"{name}: {_said(fate)}, which was not expected"
        for image in images_of(message):
            yield from _repeats(image, seen.of(image))
            yield from self._place(image, happened)

    def _left_behind(self, message: Message) -> list[Fate]:
        """The effect of a message whose event was lost: what is in the registry says it."""
        for fate in message.fates:
            if isinstance(fate, Promoted):
                place = self._repositories(fate.image.to_stage, fate.image.name)
                if place.resolve(VERSION) == fate.image.digest:
                    return [fate]
            elif isinstance(fate, Denied):
                return [fate]
        return []

    def _place(self, image: Placed, happened: Sequence[Fate]) -> Iterator[str]:
        place = self._repositories(image.to_stage, image.name)
        named = place.resolve(VERSION)
        promotions = [fate for fate in happened if isinstance(fate, Promoted)]
        if promotions:
            tag_stays = all(fate.tag_stays for fate in promotions)
            if named != image.digest and tag_stays:
                yield f"{place.repository}:{VERSION} names {named}, not {image.digest}"
            if named == image.digest or tag_stays:
                yield from self._parts(image, place)
            yield from self._evidence(image, place)
        elif named == image.digest:
            yield f"{place.repository}:{VERSION} is there, though it was not promoted"

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

    def _evidence(self, image: Placed, place: RepositoryClient) -> Iterator[str]:
        evidence = self._store.read(image.digest, [place])
        suites = {run.said.suite for run in evidence.runs}
        if suites != {image.suite}:
            yield f"{place.repository}: suites {sorted(suites)} are stated, not {image.suite}"
        if not [each for each in evidence.records if each.said.to_stage == image.to_stage]:
            yield f"{place.repository}: no record of the promotion"
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
            yield _expected_promotion(message) or Promoted(image)
        denials = [event for event in events if event.attributes["ce-type"] == DENIED]
        for codes in dict.fromkeys(",".join(_codes(event)) for event in denials):
            yield Denied(image, codes)
    letters = [each for each in seen.letters if each.data == message.content]
    reasons = dict.fromkeys(each.attributes.get(_REASON, "never acknowledged") for each in letters)
    yield from map(PutAside, reasons)


def _expected_promotion(message: Message) -> Promoted | None:
    return next((fate for fate in message.fates if isinstance(fate, Promoted)), None)


def _codes(event: Received) -> list[str]:
    return sorted(finding["code"] for finding in json.loads(event.data)["findings"])


def _agrees(fate: Fate, expected: Fate) -> bool:
    match fate, expected:
        case PutAside(reason), PutAside(part):
            return part in reason
        case _:
            return fate == expected


def _repeats(image: Placed, events: Sequence[Received]) -> Iterator[str]:
    """All events about one image are one event."""
    if len({event.attributes["ce-id"] for event in events}) > 1:
        yield f"{image.name}: events of {len(events)} ids"
    if len({event.data for event in events}) > 1:
        yield f"{image.name}: repeats with other data"
    for event in events:
        data = json.loads(event.data)
        if data["digest"] != image.digest:
            yield f"{image.name}: an event about {data['digest']}"


def _said(fate: Fate) -> str:
    match fate:
        case Promoted():
            return "promoted"
        case Denied(_, code):
            return f"denied for {code}"
        case PutAside(reason):
            return f"put aside: {reason}"
