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
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD
from tests.unit.attached import refer

VERSION = "1.0.0"
FINISHED_AT = "2026-01-31T12:00:00Z"
_SUITES = {FAST_FEEDBACK: "functional", EXTENDED_TEST: "extended"}
_NEXT = {FAST_FEEDBACK: EXTENDED_TEST, EXTENDED_TEST: PROD}
_SMALL, _LARGE = 20_000, 1_500_000

Repositories = Callable[[str, str], RepositoryClient]
"""The repository of a name in a stage, past all faults."""


@dataclass(frozen=True)
class Placed:
    """An image in a stage, and all that has to be where it goes.

    Attributes:
        digest: Of its own manifest.
        manifests: Its manifests and those that refer to it, by their digests.
        blobs: The lengths of its blobs and of theirs, by their digests.
    """

    name: str
    stage: str
    digest: Digest
    manifests: Mapping[Digest, bytes]
    blobs: Mapping[Digest, int]

    @property
    def to_stage(self) -> str:
        """Where it is to go."""
        return _NEXT[self.stage]

    @property
    def suite(self) -> str:
        """The suite that lets it go there."""
        return _SUITES[self.stage]


@dataclass(frozen=True)
class Promoted:
    """The image is in the next stage.

    Attributes:
        tag_stays: Whether its tag names it in the end: somebody else may have moved it since.
    """

    image: Placed
    tag_stays: bool = True


@dataclass(frozen=True)
class Denied:
    """The image stays, for a reason with this code."""

    image: Placed
    code: str


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
    """

    content: bytes
    fates: tuple[Fate, ...]


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
        """A message of each kind: "mounted", "streamed", "index", "referrers", "failed", …."""
        made = [KINDS[kind](self, f"{kind}-{number}") for number, kind in enumerate(kinds)]
        return list(made)

    def mounted(self, name: str) -> Message:
        """An image whose next stage is in the same registry."""
        return self._promoted(self.image(name, FAST_FEEDBACK))

    def streamed(self, name: str) -> Message:
        """An image whose next stage is in another registry."""
        return self._promoted(self.image(name, EXTENDED_TEST, _LARGE))

    def index(self, name: str) -> Message:
        """An index of two platforms, one of them large, that goes to another registry."""
        repository = self._at(EXTENDED_TEST, name)
        children = [
            images.push_image(repository, self._layers(size), architecture=architecture)
            for architecture, size in (("amd64", _LARGE), ("arm64", _SMALL))
        ]
        top = images.push_index(repository, children, VERSION)
        return self._promoted(self._placed(name, EXTENDED_TEST, [top, *children]))

    def referrers(self, name: str) -> Message:
        """An image with an SBOM, and a statement about the SBOM, that goes to another registry."""
        repository = self._at(EXTENDED_TEST, name)
        image = images.push_image(repository, self._layers(_SMALL), VERSION)
        sbom = refer(repository, image, self._random.randbytes(2_000))
        about = refer(repository, sbom, self._random.randbytes(200))
        return self._promoted(self._placed(name, EXTENDED_TEST, [image, sbom, about]))

    def failed(self, name: str) -> Message:
        """A suite failed."""
        image = self.image(name, FAST_FEEDBACK)
        return Message(self.result(image, outcome="failure"), (Denied(image, "suite-failed"),))

    def conflict(self, name: str) -> Message:
        """The version names another image already where it should go."""
        image = self.image(name, FAST_FEEDBACK)
        images.push_image(self._at(EXTENDED_TEST, name), self._layers(_SMALL), VERSION)
        return Message(self.result(image), (Denied(image, "tag-conflict"),))

    def garbled(self, name: str) -> Message:
        """Not JSON."""
        return Message(f"passed: {self.prefix}{name}".encode(), (PutAside("JSON is malformed"),))

    def stranger(self, name: str) -> Message:
        """About an image of a registry that no stage uses."""
        image = f"registry.example/shop/{self.prefix}{name}:{VERSION}"
        content = {"image": image, "digest": f"sha256:{'0' * 64}", "suite": "functional"}
        encoded = json.dumps({**content, "outcome": "success"}).encode()
        return Message(encoded, (PutAside("is on the registry registry.example"),))

    def image(self, name: str, stage: str, size: int = _SMALL) -> Placed:
        """An image of three layers."""
        layers = [*self._layers(size), *self._layers(_SMALL), *self._layers(_SMALL)]
        image = images.push_image(self._at(stage, name), layers, VERSION)
        return self._placed(name, stage, [image])

    def result(self, image: Placed, outcome: str = "success") -> bytes:
        """A result of the suite that lets an image go on, as it is published."""
        reference = f"{self._hosts[image.stage]}/shop/{image.stage}/{image.name}:{VERSION}"
        return json.dumps(
            {
                "image": reference,
                "digest": image.digest,
                "suite": image.suite,
                "outcome": outcome,
                "finished_at": FINISHED_AT,
            }
        ).encode()

    def _promoted(self, image: Placed) -> Message:
        return Message(self.result(image), (Promoted(image),))

    def _layers(self, size: int) -> list[bytes]:
        return [images.layer({"data": self._random.randbytes(size)})]

    def _at(self, stage: str, name: str) -> RepositoryClient:
        return self._repositories(stage, self.prefix + name)

    def _placed(self, name: str, stage: str, manifests: Sequence[Manifest]) -> Placed:
        blobs = {blob.digest: blob.size for blob in _blobs(manifests)}
        content = {each.digest: each.content for each in manifests}
        return Placed(self.prefix + name, stage, manifests[0].digest, content, blobs)


def _blobs(manifests: Sequence[Manifest]) -> Iterator[Blob]:
    for manifest in manifests:
        yield from successors(manifest).blobs


KINDS: Mapping[str, Callable[[Stock, str], Message]] = {
    "mounted": Stock.mounted,
    "streamed": Stock.streamed,
    "index": Stock.index,
    "referrers": Stock.referrers,
    "failed": Stock.failed,
    "conflict": Stock.conflict,
    "garbled": Stock.garbled,
    "stranger": Stock.stranger,
}
"""How a message of each kind is made."""

PROMOTIONS = ("mounted", "streamed", "index", "referrers")
ALL_KINDS = tuple(KINDS)
