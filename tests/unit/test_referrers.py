"""What belongs to an image goes with it: referrers, their referrers, cosign's tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev import images
from dev.images import OCI
from dev.registry import EmbeddedRegistry
from promotion.registry.client import RepositoryClient, between
from promotion.registry.copy import copy
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from promotion.registry.reference import Repository
from promotion.registry.referrers import NoAttachments, cosign_tags, fallback_tag, list_referrers
from promotion.registry.report import Copied
from promotion.registry.transport import Request, Transport

EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass
class Sides:
    """A source and a destination, each with the referrers API or without it."""

    source: RepositoryClient
    destination: RepositoryClient

    def copy(self, image: Manifest, tag: str = "1.0") -> Copied:
        """Copy the image and set its tag."""
        copied = copy(image, self.source, self.destination)
        self.destination.put_manifest(image, tag)
        return copied

    def listed(self, subject: Manifest) -> set[str]:
        """What refers to a manifest at the destination."""
        return {each.digest for each in list_referrers(self.destination, subject.digest)}


@pytest.fixture(params=["with", "without"])
def from_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry with the referrers API, and one without it."""
    with EmbeddedRegistry(tmp_path / "from", referrers_api=request.param == "with") as registry:
        yield registry


@pytest.fixture(params=["to one with", "to one without"])
def to_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """Another registry with the referrers API, and one without it."""
    api = request.param == "to one with"
    with EmbeddedRegistry(tmp_path / "to", referrers_api=api) as registry:
        yield registry


@pytest.fixture
def sides(
    from_registry: EmbeddedRegistry, to_registry: EmbeddedRegistry, transport: Transport
) -> Sides:
    """Every combination of two registries."""
    source = Repository(from_registry.host, "shop/fast-feedback/shop")
    destination = Repository(to_registry.host, "shop/prod/shop")
    return Sides(*between(source, destination, transport, transport))


def refer(repository: RepositoryClient, subject: Manifest, content: bytes) -> Manifest:
    """Attach an artifact to a manifest, as oras does: with the fallback tag where it is needed."""
    descriptor = {
        "mediaType": subject.media_type,
        "digest": subject.digest,
        "size": len(subject.content),
    }
    fields = {
        "artifactType": "application/vnd.example.sbom",
        "config": images.push_blob(repository, b"{}", EMPTY),
        "layers": [images.push_blob(repository, content, "text/plain")],
        "subject": descriptor,
    }
    referrer = images.push_manifest(repository, fields, OCI_MANIFEST)
    if repository.referrers(subject.digest) is None:
        entries = [
            {"mediaType": each.media_type, "digest": each.digest, "size": each.size}
            for each in list_referrers(repository, subject.digest)
        ]
        entry = {
            "mediaType": OCI_MANIFEST,
            "digest": referrer.digest,
            "size": len(referrer.content),
        }
        tag = fallback_tag(subject.digest)
        images.push_manifest(repository, {"manifests": [*entries, entry]}, OCI_INDEX, tag)
    return referrer


def test_referrers_go_with_an_image(sides: Sides) -> None:
    """What refers to an image is at the destination, byte for byte, and listed there."""
    image = images.push_image(sides.source, [b"x"])
    attached = [refer(sides.source, image, content) for content in (b"sbom", b"signature")]
    copied = sides.copy(image)
    assert sides.listed(image) == {each.digest for each in attached} == set(copied.referrers)
    assert all(sides.destination.manifest(each.digest) == each for each in attached)


def test_referrers_of_referrers_and_of_children_go_too(sides: Sides) -> None:
    """A signature on an SBOM on one platform of an index is not left behind."""
    child = images.push_image(sides.source, [b"x"])
    index = images.push_index(sides.source, [child])
    sbom = refer(sides.source, child, b"sbom")
    signature = refer(sides.source, sbom, b"signature of the sbom")
    sides.copy(index)
    assert sides.listed(child) == {sbom.digest}
    assert sides.listed(sbom) == {signature.digest}


def test_a_second_copy_adds_only_what_is_new(sides: Sides) -> None:
    """A referrer that came later joins those that are there."""
    image = images.push_image(sides.source, [b"x"])
    first = refer(sides.source, image, b"first")
    sides.copy(image)
    second = refer(sides.source, image, b"second")
    sides.copy(image)
    assert sides.listed(image) == {first.digest, second.digest}


def test_cosign_s_tags_go_with_an_image(sides: Sides) -> None:
    """Signature, attestation and SBOM under cosign's tags have the same tags at the destination."""
    image = images.push_image(sides.source, [b"x"])
    tags = cosign_tags(image.digest)
    expected = {tag: images.push_image(sides.source, [tag.encode()], tag) for tag in tags}
    copied = sides.copy(image)
    assert set(copied.tags) == set(tags)
    assert {tag: sides.destination.manifest(tag) for tag in tags} == expected


def test_an_attachment_may_hold_the_image_itself(sides: Sides) -> None:
    """An index under cosign's tag that lists the image is written after it, and not forgotten."""
    image = images.push_image(sides.source, [b"x"])
    tag = cosign_tags(image.digest)[2]
    index = images.push_index(sides.source, [image], tag)
    sides.copy(image)
    assert sides.destination.resolve(tag) == index.digest


def test_a_cosign_tag_of_the_destination_is_kept(sides: Sides) -> None:
    """A signature tag with other content there is not overwritten, and is reported."""
    image = images.push_image(sides.source, [b"x"])
    tag = cosign_tags(image.digest)[0]
    images.push_image(sides.source, [b"ours"], tag)
    theirs = images.push_image(sides.destination, [b"theirs"], tag)
    copied = sides.copy(image)
    assert (copied.kept, copied.tags) == ((tag,), ())
    assert sides.destination.resolve(tag) == theirs.digest


def test_referrers_can_be_left_behind(sides: Sides) -> None:
    """On request the image goes alone, and nothing is looked up."""
    image = images.push_image(sides.source, [b"x"])
    refer(sides.source, image, b"sbom")
    copied = copy(image, sides.source, sides.destination, NoAttachments())
    assert copied.referrers == ()
    assert sides.listed(image) == set()


def test_referrers_arrive_before_the_tag_and_after_what_they_refer_to(
    near: EmbeddedRegistry, transport: Transport
) -> None:
    """The image is written by digest, then what refers to it; its tag is left to the caller."""
    source = Repository(near.host, "shop/fast-feedback/shop")
    destination = Repository(near.host, "shop/prod/shop")
    sides = Sides(*between(source, destination, transport, transport))
    image = images.push_image(sides.source, [b"x"])
    referrer = refer(sides.source, image, b"sbom")
    before = len(near.served)
    copy(image, sides.source, sides.destination)
    written = [each.path for each in near.served[before:] if each.method == "PUT"]
    assert [path.rpartition("/")[2] for path in written] == [image.digest, referrer.digest]


def test_a_listed_referrer_that_is_gone_is_passed_over(
    tmp_path: Path, far: EmbeddedRegistry, transport: Transport
) -> None:
    """A stale entry in a fallback index does not keep the image from being copied."""
    with EmbeddedRegistry(tmp_path / "old", referrers_api=False) as old:
        source = Repository(old.host, "shop/fast-feedback/shop")
        sides = Sides(
            *between(source, Repository(far.host, "shop/prod/shop"), transport, transport)
        )
        image = images.push_image(sides.source, [b"x"])
        gone = refer(sides.source, image, b"gone")
        kept = refer(sides.source, image, b"kept")
        transport.send(_delete(sides.source, gone))
        sides.copy(image)
        assert sides.listed(image) == {kept.digest}


def _delete(repository: RepositoryClient, manifest: Manifest) -> Request:
    host, path = repository.repository.host, repository.repository.path
    url = f"/v2/{path}/manifests/{manifest.digest}"
    return Request("DELETE", host, url, "delete", accept=frozenset({202}))


def test_the_config_of_an_artifact_names_its_kind(
    tmp_path: Path, near: EmbeddedRegistry, transport: Transport
) -> None:
    """In a fallback index a referrer without artifactType is listed by its config's media type."""
    with EmbeddedRegistry(tmp_path / "old", referrers_api=False) as old:
        source = Repository(near.host, "shop/fast-feedback/shop")
        sides = Sides(
            *between(source, Repository(old.host, "shop/prod/shop"), transport, transport)
        )
        image = images.push_image(sides.source, [b"x"])
        subject = {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.content)}
        config = images.push_blob(sides.source, b"{}", "application/vnd.example.config")
        fields = {"config": config, "layers": [], "subject": subject}
        images.push_manifest(sides.source, fields, OCI.manifest)
        sides.copy(image)
        index = sides.destination.manifest(fallback_tag(image.digest))
        (entry,) = json.loads(index.content)["manifests"]
        assert entry["artifactType"] == "application/vnd.example.config"
