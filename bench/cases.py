"""The copies that are compared: what there is before each of them, and what is aimed at."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from enum import StrEnum

from bench.cost import Cost, NotMeasured
from bench.peers import Contestant
from bench.places import Places
from bench.traffic import Traffic
from dev import images
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Digest
from promotion.registry.referrers import cosign_tags, described, keep_listed, list_referrers
from promotion.registry.transport import Request

TAG = "1.0"
PLATFORMS = 6

REFERRERS = 2

_PLATFORM_LAYERS = 4
# The referrers share a config and have a layer each; the signature has both to itself.
_ATTACHED_BLOBS = 1 + REFERRERS + 2
_LAYER_BYTES = 16 * 1024


class There(StrEnum):
    """What the destination has before the copy."""

    NOTHING = "nothing"
    BLOBS = "blobs"
    IMAGE = "image"


@dataclass(frozen=True)
class Aim:
    """The most that a warm copy should take."""

    requests: int
    sequential: int


@dataclass(frozen=True)
class Case:
    """A copy of an image.

    Attributes:
        name: What the command line calls it.
        title: What the table calls it.
        index: Whether the image has several platforms.
        elsewhere: Whether the destination is in the other registry.
        there: What the destination has before.
        attached: Whether referrers and a signature belong to the image.
    """

    name: str
    title: str
    index: bool = False
    elsewhere: bool = False
    there: There = There.NOTHING
    attached: bool = False

    def blobs(self, layers: int) -> int:
        """How many blobs an image of so many layers has; an index has its own number of layers."""
        attached = _ATTACHED_BLOBS if self.attached else 0
        return attached + (PLATFORMS * (_PLATFORM_LAYERS + 1) if self.index else layers + 1)

    def aim(self, layers: int) -> Aim:
        """The most requests, and the most of them in a row."""
        blobs = self.blobs(layers)
        if self.there is There.IMAGE:
            return Aim(2, 1)
        if self.attached:
            # Each referrer is read and written; before it the image, and after it the list of them.
            return Aim(blobs + 3 + 2 * REFERRERS + 3, 6)
        if self.index:
            return Aim(2 + 2 * PLATFORMS + blobs + 1, 6)
        return Aim(3 * blobs + 4, 6) if self.elsewhere else Aim(blobs + 3, 4)


CASES = (
    Case("mount", "one registry, blobs mounted"),
    Case("no-op", "one registry, image and tag there", there=There.IMAGE),
    Case("manifest", "one registry, blobs there, manifest absent", there=There.BLOBS),
    Case("index", f"one registry, index of {PLATFORMS} platforms, blobs mounted", index=True),
    Case("attached", "one registry, with referrers and a signature", attached=True),
    Case("registries", "two registries, blobs absent", elsewhere=True),
)


@dataclass(frozen=True)
class Measurement:
    """One copy by one contestant.

    Attributes:
        connections: How many were made for it.
        traffic: None where nobody counted.
    """

    case: str
    contestant: str
    cost: Cost
    traffic: Traffic | None = None
    connections: int = 0


@dataclass(frozen=True)
class Content:
    """An image to push wherever it is wanted.

    Attributes:
        name: Makes its configurations like no others.
        platforms: The layers of each platform.
    """

    name: str
    platforms: tuple[tuple[bytes, ...], ...]

    @classmethod
    def new(cls, case: Case, layers: int) -> Content:
        """Content that no registry has seen."""
        count = _PLATFORM_LAYERS if case.index else layers
        platforms = PLATFORMS if case.index else 1
        content = tuple(tuple(_layer() for _ in range(count)) for _ in range(platforms))
        return cls(secrets.token_hex(8), content)

    def push(self, repository: RepositoryClient, tag: str = "") -> Manifest:
        """Push it, under a tag or by digest alone."""
        if len(self.platforms) == 1:
            return images.push_image(repository, self.platforms[0], tag, self.name)
        children = [
            images.push_image(repository, layers, architecture=f"{self.name}-{number}")
            for number, layers in enumerate(self.platforms)
        ]
        return images.push_index(repository, children, tag)


def _layer() -> bytes:
    # Compressed, as its media type says: skopeo would compress what is not, and change its digest.
    return images.layer({"random": os.urandom(_LAYER_BYTES)})


def attach(repository: RepositoryClient, image: Manifest) -> None:
    """Attach referrers to an image, and a signature as cosign does."""
    for _ in range(REFERRERS):
        fields = {
            "artifactType": "application/vnd.example.sbom",
            "config": images.push_blob(repository, b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [images.push_blob(repository, _layer(), "application/octet-stream")],
            "subject": {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.content),
            },
        }
        referrer = images.push_manifest(repository, fields, OCI_MANIFEST)
        keep_listed(repository, image.digest, [described(referrer)])
    signature = cosign_tags(image.digest)[0]
    images.push_image(repository, [_layer()], signature, secrets.token_hex(8))


def measure(case: Case, places: Places, layers: int, contestant: Contestant) -> Measurement:
    """Prepare a copy, let the contestant do it, and look at what it did.

    Raises:
        NotMeasured: It did not do it.
    """
    content = Content.new(case, layers)
    path = secrets.token_hex(4)
    source = places.near.repository(f"{path}/source")
    image = content.push(source, TAG)
    if case.attached:
        attach(source, image)
    place = places.far if case.elsewhere else places.near
    destination = place.repository(f"{path}/destination")
    _furnish(destination, case.there, content, image.digest)
    places.forget()
    connections, _ = places.connections()
    cost = contestant.copy(
        f"{places.near.host}/{path}/source@{image.digest}", f"{place.host}/{path}/destination:{TAG}"
    )
    check(destination, image.digest)
    if case.attached:
        check_attached(destination, image.digest)
    made = places.connections()[0] - connections
    return Measurement(case.name, contestant.name, cost, places.traffic(), made)


def check(destination: RepositoryClient, digest: Digest) -> None:
    """See whether the image has arrived.

    Raises:
        NotMeasured: It has not.
    """
    if (found := destination.resolve(TAG)) != digest:
        raise NotMeasured(f"{destination.repository}:{TAG} is {found}, not {digest}")


def check_attached(destination: RepositoryClient, digest: Digest) -> None:
    """See whether what is attached to an image has arrived.

    Raises:
        NotMeasured: It has not.
    """
    referrers = len(list_referrers(destination, digest))
    if referrers != REFERRERS or not destination.resolve(cosign_tags(digest)[0]):
        raise NotMeasured(f"{destination.repository}@{digest} lacks what belongs to it")


def _furnish(destination: RepositoryClient, there: There, content: Content, digest: Digest) -> None:
    """Let the destination have what it is to have before."""
    if there is There.NOTHING:
        return
    content.push(destination, TAG if there is There.IMAGE else "")
    if there is There.BLOBS:
        repository = destination.repository
        manifest = f"/v2/{repository.path}/manifests/{digest}"
        removal = Request(
            "DELETE", repository.host, manifest, "remove a manifest", accept=frozenset({202})
        )
        destination.transport.send(removal)
