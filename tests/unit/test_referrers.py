"""What belongs to an image goes with it: referrers, their referrers, cosign's tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import images
from dev.images import OCI
from dev.registry import EmbeddedRegistry
from promotion.registry.client import between
from promotion.registry.copy import complete, copy
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.referrers import (
    AllAttachments,
    NoAttachments,
    cosign_tags,
    list_referrers,
)
from promotion.registry.transport import Transport
from tests.unit.attached import Sides, refer


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


def test_cosign_has_no_tags_for_long_digests() -> None:
    """Tags that would be longer than a tag may be are not asked for."""
    assert cosign_tags(digest_of(b"", "sha512")) == []
    short = digest_of(b"")
    assert cosign_tags(short)[0] == f"{short.replace(':', '-')}.sig"


def test_what_refers_to_a_sha512_image_goes_with_it(sides: Sides) -> None:
    """An index names its child by sha512, and so does what refers to the child."""
    config = images.push_blob(sides.source, b"{}", OCI.config)
    content = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    child = Manifest(OCI_MANIFEST, digest_of(content, "sha512"), content)
    sides.source.put_manifest(child)
    index = images.push_index(sides.source, [child])
    referrer = refer(sides.source, child, b"sbom")
    sides.copy(index)
    assert sides.destination.manifest(child.digest) == child
    assert sides.listed(child) == {referrer.digest}


def test_a_child_that_refers_to_another_is_listed(sides: Sides) -> None:
    """What an index holds is listed under its subject, though nobody had to look for it."""
    child = images.push_image(sides.source, [b"x"])
    other = images.push_image(sides.source, [b"y"])
    attestation = refer(sides.source, child, b"attestation")
    outside = refer(sides.source, other, b"about what does not come along")
    index = images.push_index(sides.source, [attestation, outside, child])
    copied = copy(index, sides.source, sides.destination, NoAttachments())
    sides.destination.put_manifest(index, "1.0")
    assert sides.listed(child) == {attestation.digest}
    assert sides.listed(other) == {outside.digest}
    assert copied.referrers == (attestation.digest,)


def test_an_image_that_refers_to_another_is_listed(sides: Sides) -> None:
    """An SBOM that is copied by itself is listed under what it is about."""
    image = images.push_image(sides.source, [b"x"])
    sbom = refer(sides.source, image, b"sbom")
    sides.copy(sbom)
    assert sides.listed(image) == {sbom.digest}


def test_kinds_that_are_to_stay_are_left_behind(sides: Sides) -> None:
    """Referrers of a kind that is named do not travel, nor does what refers to them."""
    mark = "application/vnd.example.mark"
    image = images.push_image(sides.source, [b"x"])
    sbom = refer(sides.source, image, b"sbom")
    left = refer(sides.source, image, b"mark", mark)
    refer(sides.source, left, b"signature of the mark")
    mark_of_the_sbom = refer(sides.source, sbom, b"mark", mark)
    attachments = AllAttachments(sides.source, left_behind=frozenset({mark}))
    copied = copy(image, sides.source, sides.destination, attachments)
    sides.destination.put_manifest(image, "1.0")
    assert copied.referrers == (sbom.digest,)
    assert sides.listed(image) == {sbom.digest}
    assert not sides.destination.has_manifest(left.digest)
    assert not sides.destination.has_manifest(mark_of_the_sbom.digest)


def test_what_belongs_to_a_signature_goes_with_it(sides: Sides) -> None:
    """What is kept under cosign's tags has attachments too, and may refer to the image itself."""
    image = images.push_image(sides.source, [b"x"])
    sbom = refer(sides.source, image, b"an sbom that is listed and tagged")
    sides.source.put_manifest(sbom, cosign_tags(image.digest)[2])
    signature = images.push_image(sides.source, [b"signature"], cosign_tags(image.digest)[0])
    about_it = refer(sides.source, signature, b"about the signature")
    of_the_sbom = images.push_image(sides.source, [b"of the sbom"], cosign_tags(sbom.digest)[0])
    sides.copy(image)
    assert sides.listed(image) == {sbom.digest}
    assert sides.listed(signature) == {about_it.digest}
    assert sides.destination.resolve(cosign_tags(sbom.digest)[0]) == of_the_sbom.digest


def test_a_referrer_arrives_though_its_tag_is_taken(sides: Sides) -> None:
    """Where its cosign tag is kept, a manifest that is listed too is there by its digest."""
    image = images.push_image(sides.source, [b"x"])
    sbom = refer(sides.source, image, b"listed and tagged")
    about_it = refer(sides.source, sbom, b"about the sbom")
    tag = cosign_tags(image.digest)[2]
    sides.source.put_manifest(sbom, tag)
    images.push_image(sides.destination, [b"theirs"], tag)
    copied = sides.copy(image)
    assert copied.kept == (tag,)
    assert sides.destination.manifest(sbom.digest) == sbom
    assert sides.listed(sbom) == {about_it.digest}


def test_an_image_that_is_there_is_completed(
    sides: Sides, from_registry: EmbeddedRegistry, to_registry: EmbeddedRegistry
) -> None:
    """Only what is not attached yet, at any depth, is read and written; the rest is passed by."""
    child = images.push_image(sides.source, [b"x"])
    inner = images.push_index(sides.source, [child])
    image = images.push_index(sides.source, [inner])
    sbom = refer(sides.source, image, b"sbom")
    signature = images.push_image(sides.source, [b"signature"], cosign_tags(image.digest)[0])
    sides.copy(image)
    added = {
        refer(sides.source, subject, f"about {number}".encode())
        for number, subject in enumerate((image, child, sbom, signature))
    }
    attestation = images.push_image(sides.source, [b"att"], cosign_tags(child.digest)[1])
    read, written = len(from_registry.served), len(to_registry.served)
    copied = complete(image, sides.source, sides.destination)
    assert set(copied.referrers) == {each.digest for each in added}
    assert copied.tags == (cosign_tags(child.digest)[1],)
    assert sides.destination.resolve(copied.tags[0]) == attestation.digest
    for subject in (image, child, sbom, signature):
        assert sides.listed(subject) == {
            each.digest for each in list_referrers(sides.source, subject.digest)
        }
    there = {each.digest for each in (image, inner, child, sbom)}
    asked = [*from_registry.served[read:], *to_registry.served[written:]]
    touched = {each.path.rpartition("/")[2] for each in asked if each.method == "PUT"}
    assert not touched & there


def test_what_is_attached_to_an_image_already_costs_no_request(
    near: EmbeddedRegistry, far: EmbeddedRegistry, transport: Transport
) -> None:
    """An image that is there with all that belongs to it: lists are compared, and that is all."""
    source = Repository(near.host, "shop/fast-feedback/shop")
    sides = Sides(*between(source, Repository(far.host, "shop/prod/shop"), transport, transport))
    image = images.push_image(sides.source, [b"x"])
    refer(sides.source, image, b"sbom")
    sides.copy(image)
    read, written = len(near.served), len(far.served)
    copied = complete(image, sides.source, sides.destination)
    assert (copied.blobs, copied.manifests) == ((), 0)
    assert {each.path.split("/")[-2] for each in far.served[written:]} == {"referrers"}
    paths = [each.path for each in near.served[read:]]
    assert not [path for path in paths if "/manifests/sha256:" in path or "/blobs/" in path]
