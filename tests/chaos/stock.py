"""What is published: images of several kinds, messages, and what must become of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dev import images
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob, Manifest, successors
from promotion.registry.reference import Digest
from tests.chaos.stages import NEXT, NIGHTLY, SUITES
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK
from tests.unit.attached import refer

VERSION = "1.0.0"
FINISHED_AT = "2026-01-31T12:00:00Z"
_SMALL, _LARGE = 20_000, 1_500_000

Repositories = Callable[[str, str], RepositoryClient]
"""The repository of a name in a stage, past all faults."""


@dataclass(frozen=True)
class Placed:
    """An image in a stage, and all that has to be where it goes.

    Attributes:
        source: Its full reference in its stage, as events have it.
        destination: The same in the next stage.
        digest: Of its own manifest.
        manifests: Its manifests and those that refer to it, by their digests.
        blobs: The lengths of its blobs and of theirs, by their digests.
        referrers: What refers to its manifests, by the digest of what is referred to.
    """

    name: str
    stage: str
    source: str
    destination: str
    digest: Digest
    manifests: Mapping[Digest, bytes]
    blobs: Mapping[Digest, int]
    referrers: Mapping[Digest, Digest]

    @property
    def to_stage(self) -> str:
        """Where it is to go."""
        return NEXT[self.stage]

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites that let it go there."""
        return SUITES[self.stage]


@dataclass(frozen=True)
class Promoted:
    """The image is in the next stage.

    Attributes:
        rivals: What else its version may name there in the end, by somebody else's doing; None is
            for nothing at all.
    """

    image: Placed
    rivals: tuple[Digest | None, ...] = ()


@dataclass(frozen=True)
class Denied:
    """The image stays.

    Attributes:
        code: The reason's.
        rival: What its version names in the next stage in its place.
    """

    image: Placed
    code: str
    rival: Digest | None = None


@dataclass(frozen=True)
class PutAside:
    """The message is a dead letter, with a reason that holds this text."""

    reason: str


Fate = Promoted | Denied | PutAside


@dataclass(frozen=True)
class Message:
    """A message, and what may become of it: one of these, and nothing else.

    Attributes:
        fates: More than one only where a rival's timing decides.
        attributes: What its sender says beside it.
    """

    content: bytes
    fates: tuple[Fate, ...]
    attributes: Mapping[str, str]


class Stock:
    """Pushes images and writes messages about them; the same for the same seed.

    Attributes:
        prefix: Begins all names, so that those of two rounds differ.
    """

    def __init__(
        self, prefix: str, random: Random, repositories: Repositories, hosts: Mapping[str, str]
    ) -> None:
        self.prefix = prefix
        self._random = random
        self._repositories = repositories
        self._hosts = hosts

    def messages(self, kinds: Sequence[str]) -> list[Message]:
        """What is published for each kind: "mounted", "streamed", "index", "referrers", …."""
        return [
            message
            for number, kind in enumerate(kinds)
            for message in KINDS[kind](self, f"{kind}-{number}")
        ]

    def mounted(self, name: str) -> list[Message]:
        """An image whose next stage is in the same registry."""
        return self._promoted(self.image(name, FAST_FEEDBACK))

    def streamed(self, name: str) -> list[Message]:
        """An image whose next stage is in another registry."""
        return self._promoted(self.image(name, EXTENDED_TEST, _LARGE))

    def twins(self, name: str) -> list[Message]:
        """Two suites of one image: whichever comes last has it go to another registry."""
        return self._promoted(self.image(name, NIGHTLY))

    def index(self, name: str) -> list[Message]:
        """An index of two platforms, one of them large, that goes to another registry."""
        repository = self._at(EXTENDED_TEST, name)
        children = [
            images.push_image(repository, self._layers(size), architecture=architecture)
            for architecture, size in (("amd64", _LARGE), ("arm64", _SMALL))
        ]
        top = images.push_index(repository, children, VERSION)
        return self._promoted(self._placed(name, EXTENDED_TEST, [top, *children]))

    def referrers(self, name: str) -> list[Message]:
        """An image with an SBOM, and a statement about the SBOM, that goes to another registry."""
        repository = self._at(EXTENDED_TEST, name)
        image = images.push_image(repository, self._layers(_SMALL), VERSION)
        sbom = refer(repository, image, self._random.randbytes(2_000))
        about = refer(repository, sbom, self._random.randbytes(200))
        return self._promoted(self._placed(name, EXTENDED_TEST, [image, sbom, about]))

    def failed(self, name: str) -> list[Message]:
        """A suite failed."""
        image = self.image(name, FAST_FEEDBACK)
        return self._results(image, Denied(image, "suite-failed"), outcome="failure")

    def conflict(self, name: str) -> list[Message]:
        """The version names another image already where it should go."""
        image = self.image(name, FAST_FEEDBACK)
        other = images.push_image(self._at(EXTENDED_TEST, name), self._layers(_SMALL), VERSION)
        return self._results(image, Denied(image, "tag-conflict", other.digest))

    def garbled(self, name: str) -> list[Message]:
        """Not JSON."""
        content = f"passed: {self.prefix}{name}".encode()
        return [self._message(content, PutAside("JSON is malformed"))]

    def stranger(self, name: str) -> list[Message]:
        """About an image of a registry that no stage uses."""
        image = f"registry.example/shop/{self.prefix}{name}:{VERSION}"
        content = {"image": image, "digest": f"sha256:{'0' * 64}", "suite": "functional"}
        encoded = json.dumps({**content, "outcome": "success"}).encode()
        return [self._message(encoded, PutAside("is on the registry registry.example"))]

    def premature(self, name: str) -> list[Message]:
        """From a suite that ends long after its message."""
        image = self.image(name, FAST_FEEDBACK)
        fate = PutAside("is more than 5 minutes after")
        return self._results(image, fate, finished_at="2999-01-31T12:00:00Z")

    def image(self, name: str, stage: str, size: int = _SMALL) -> Placed:
        """An image of three layers."""
        layers = [*self._layers(size), *self._layers(_SMALL), *self._layers(_SMALL)]
        image = images.push_image(self._at(stage, name), layers, VERSION)
        return self._placed(name, stage, [image])

    def _promoted(self, image: Placed) -> list[Message]:
        return self._results(image, Promoted(image))

    def _results(self, image: Placed, fate: Fate, **said: str) -> list[Message]:
        """A result of each suite that lets an image go on, as it is published."""
        about = {"image": image.source.partition("@")[0], "digest": image.digest}
        rest = {"outcome": "success", "finished_at": FINISHED_AT, **said}
        contents = [{**about, "suite": suite, **rest} for suite in image.suites]
        return [self._message(json.dumps(content).encode(), fate) for content in contents]

    def _message(self, content: bytes, fate: Fate) -> Message:
        return Message(content, (fate,), {"sender": f"{self.prefix}sender"})

    def _layers(self, size: int) -> list[bytes]:
        return [images.layer({"data": self._random.randbytes(size)})]

    def _at(self, stage: str, name: str) -> RepositoryClient:
        return self._repositories(stage, self.prefix + name)

    def _placed(self, name: str, stage: str, manifests: Sequence[Manifest]) -> Placed:
        digest = manifests[0].digest
        source, destination = (
            f"{self._hosts[each]}/shop/{each}/{self.prefix}{name}:{VERSION}@{digest}"
            for each in (stage, NEXT[stage])
        )
        return Placed(
            self.prefix + name,
            stage,
            source,
            destination,
            digest,
            manifests={each.digest: each.content for each in manifests},
            blobs={blob.digest: blob.size for blob in _blobs(manifests)},
            referrers={
                subject: each.digest for each in manifests if (subject := successors(each).subject)
            },
        )


def _blobs(manifests: Sequence[Manifest]) -> Iterator[Blob]:
    for manifest in manifests:
        yield from successors(manifest).blobs


KINDS: Mapping[str, Callable[[Stock, str], list[Message]]] = {
    "mounted": Stock.mounted,
    "streamed": Stock.streamed,
    "twins": Stock.twins,
    "index": Stock.index,
    "referrers": Stock.referrers,
    "failed": Stock.failed,
    "conflict": Stock.conflict,
    "garbled": Stock.garbled,
    "stranger": Stock.stranger,
    "premature": Stock.premature,
}
"""How the messages of each kind are made."""

PROMOTIONS = ("mounted", "streamed", "index", "referrers")
ALL_KINDS = tuple(KINDS)
