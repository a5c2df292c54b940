"""What belongs to an image goes with it: referrers, their referrers, cosign's tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from dev import images
from dev.distribution import Distribution
from dev.images import OCI
from dev.registry import EmbeddedRegistry
from dev.storage import Manifest as Stored
from dev.storage import Refused, is_digest
from dev.storage import Repository as Storage
from promotion.errors import NotFound, RegistryRefused
from promotion.registry.client import RepositoryClient, between
from promotion.registry.copy import complete, copy
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import (
    AllAttachments,
    NoAttachments,
    cosign_tags,
    described,
    fallback_tag,
    keep_listed,
    list_referrers,
)
from promotion.registry.report import Copied
from promotion.registry.transport import Request, Transport

EMPTY = "application/vnd.oci.empty.v1+json"
SBOM = "application/vnd.example.sbom"


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


def descriptor(manifest: Manifest) -> dict[str, object]:
    """What points to a manifest."""
    size = len(manifest.content)
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}


def refer(
    repository: RepositoryClient,
    subject: Manifest,
    content: bytes,
    kind: str = SBOM,
    **more: object,
) -> Manifest:
    """Attach an artifact to a manifest, as oras does: with the fallback tag where it is needed."""
    fields = {
        "artifactType": kind,
        "config": images.push_blob(repository, b"{}", EMPTY),
        "layers": [images.push_blob(repository, content, "text/plain")],
        "subject": descriptor(subject),
        **more,
    }
    referrer = images.push_manifest(repository, fields, OCI_MANIFEST)
    if repository.referrers(subject.digest) is None:
        listed = msgspec.to_builtins(list_referrers(repository, subject.digest))
        entries = [*listed, {**descriptor(referrer), "artifactType": kind}]
        tag = fallback_tag(subject.digest)
        images.push_manifest(repository, {"manifests": entries}, OCI_INDEX, tag)
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


@pytest.fixture
def old(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry without the referrers API."""
    with EmbeddedRegistry(tmp_path / "old", referrers_api=False) as registry:
        yield registry


@pytest.fixture
def from_old(old: EmbeddedRegistry, near: EmbeddedRegistry, transport: Transport) -> Sides:
    """From a registry without the referrers API to one that has it."""
    source = Repository(old.host, "shop/fast-feedback/shop")
    return Sides(*between(source, Repository(near.host, "shop/prod/shop"), transport, transport))


@pytest.fixture
def to_old(old: EmbeddedRegistry, near: EmbeddedRegistry, transport: Transport) -> Sides:
    """From a registry with the referrers API to one without it."""
    source = Repository(near.host, "shop/fast-feedback/shop")
    return Sides(*between(source, Repository(old.host, "shop/prod/shop"), transport, transport))


def test_a_listed_referrer_that_is_gone_is_passed_over(from_old: Sides) -> None:
    """A stale entry in a fallback index does not keep the image from being copied."""
    image = images.push_image(from_old.source, [b"x"])
    gone = refer(from_old.source, image, b"gone")
    kept = refer(from_old.source, image, b"kept")
    of_what_is_gone = refer(from_old.source, gone, b"signature of what is gone")
    delete(from_old.source, gone)
    from_old.copy(image)
    assert from_old.listed(image) == {kept.digest}
    assert from_old.destination.has_manifest(of_what_is_gone.digest)


def test_what_only_a_stale_list_names_may_be_needed(from_old: Sides) -> None:
    """A part of the image that is gone ends the copy, though it is listed as a referrer as well."""
    child = images.push_image(from_old.source, [b"x"])
    referrer = refer(from_old.source, child, b"a referrer and a child")
    image = images.push_index(from_old.source, [child, referrer])
    delete(from_old.source, referrer)
    with pytest.raises(NotFound, match=referrer.digest):
        from_old.copy(image)
    assert not from_old.destination.has_manifest(image.digest)


def delete(repository: RepositoryClient, manifest: Manifest) -> None:
    """Remove a manifest."""
    host, path = repository.repository.host, repository.repository.path
    url = f"/v2/{path}/manifests/{manifest.digest}"
    request = Request("DELETE", host, url, "delete", accept=frozenset({202}))
    repository.transport.send(request)


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        (f"sha256:{'ab' * 32}", f"sha256-{'ab' * 32}"),
        (f"sha512:{'ab' * 64}", f"sha512-{'ab' * 32}"),
        (f"multihash+base58:{'Qm' * 40}", f"multihash-base58-{'Qm' * 32}"),
        (f"{'long' * 10}:a=b", f"{'long' * 8}-a-b"),
    ],
)
def test_a_fallback_tag_is_cut_to_what_a_tag_may_be(digest: str, tag: str) -> None:
    """The specification's schema: 32 characters of the algorithm, 64 of the hash, no odd ones."""
    assert fallback_tag(Digest(digest)) == tag


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


def test_a_fallback_entry_says_what_the_referrer_says_of_itself(to_old: Sides) -> None:
    """Kind and annotations are listed with it, so that readers need not fetch it."""
    image = images.push_image(to_old.source, [b"x"])
    refer(to_old.source, image, b"sbom", annotations={"created": "today"})
    to_old.copy(image)
    (entry,) = list_referrers(to_old.destination, image.digest)
    assert (entry.artifact_type, entry.annotations) == (SBOM, {"created": "today"})
    image = images.push_image(to_old.source, [b"y"])
    refer(to_old.source, image, b"sbom", annotations=None)
    to_old.copy(image)
    (entry,) = list_referrers(to_old.destination, image.digest)
    assert entry.annotations == {}


def test_an_annotation_that_is_no_text_is_not_listed() -> None:
    """An oddity in a manifest that a registry has accepted is no reason not to list it."""
    content = b'{"annotations": {"a": "text", "b": 1, "c": null}, "config": null}'
    manifest = Manifest(OCI_MANIFEST, digest_of(content), content)
    assert described(manifest).annotations == {"a": "text"}


def test_what_a_fallback_index_says_otherwise_stays(to_old: Sides) -> None:
    """Another tool's entries keep all that they say, and so does the index."""
    image = images.push_image(to_old.source, [b"x"])
    theirs = images.push_image(to_old.destination, [b"theirs"])
    entry = {**descriptor(theirs), "platform": {"os": "any", "architecture": "any"}}
    said = {"manifests": [entry], "annotations": {"by": "another tool"}}
    tag = fallback_tag(image.digest)
    images.push_manifest(to_old.destination, said, OCI_INDEX, tag)
    ours = refer(to_old.source, image, b"ours")
    to_old.copy(image)
    written = json.loads(to_old.destination.manifest(tag).content)
    assert written["annotations"] == said["annotations"]
    assert written["manifests"][0] == entry
    assert [each["digest"] for each in written["manifests"]] == [theirs.digest, ours.digest]


def test_a_fallback_tag_in_other_use_is_kept(
    to_old: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no list of referrers is not overwritten by one; the image is copied all the same."""
    image = images.push_image(to_old.source, [b"x"])
    refer(to_old.source, image, b"sbom")
    tag = fallback_tag(image.digest)
    other = images.push_image(to_old.destination, [b"other"], tag)
    to_old.copy(image)
    assert to_old.destination.resolve(tag) == other.digest
    assert f"{tag} is no list of referrers" in caplog.text


class Immutable(Distribution):
    """A registry without the referrers API whose tags stay where they are."""

    def add_manifest(
        self, repository: Storage, reference: str, media_type: str, raw: bytes
    ) -> Stored:
        """Refuse to set a tag twice."""
        if not is_digest(reference) and repository.target_of(reference):
            raise Refused("MANIFEST_INVALID", f"{reference} is immutable")
        return super().add_manifest(repository, reference, media_type, raw)


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """Such a registry."""
    distribution = Immutable(tmp_path / "immutable", referrers_api=False)
    with EmbeddedRegistry(tmp_path / "immutable", distribution=distribution) as registry:
        yield registry


@pytest.fixture
def to_immutable(
    near: EmbeddedRegistry, immutable: EmbeddedRegistry, transport: Transport
) -> Sides:
    """From an ordinary registry to one with immutable tags."""
    source = Repository(near.host, "shop/fast-feedback/shop")
    target = Repository(immutable.host, "shop/prod/shop")
    return Sides(*between(source, target, transport, transport))


@pytest.mark.parametrize("twin", [True, False], ids=["a twin", "another"])
def test_a_race_for_a_signature_s_immutable_tag(
    to_immutable: Sides, monkeypatch: pytest.MonkeyPatch, twin: bool
) -> None:
    """The same signature there is success; another is kept and reported."""
    image = images.push_image(to_immutable.source, [b"x"])
    tag = cosign_tags(image.digest)[0]
    ours = images.push_image(to_immutable.source, [b"ours"], tag)
    rival = images.push_image(to_immutable.destination, [b"ours" if twin else b"theirs"])
    overtake(monkeypatch, to_immutable.destination, tag, rival)
    copied = to_immutable.copy(image)
    assert to_immutable.destination.resolve(tag) == rival.digest
    assert (copied.tags, copied.kept) == (((tag,), ()) if twin else ((), (tag,)))
    assert (ours == rival) is twin


def overtake(
    monkeypatch: pytest.MonkeyPatch, repository: RepositoryClient, tag: str, rival: Manifest
) -> None:
    """Let another writer set a tag right before it is written."""
    put_manifest = repository.put_manifest

    def overtaken(manifest: Manifest, name: str = "") -> bool:
        if name == tag:
            monkeypatch.undo()
            put_manifest(rival, tag)
        return put_manifest(manifest, name)

    monkeypatch.setattr(repository, "put_manifest", overtaken)


@pytest.mark.parametrize("twin", [True, False], ids=["a twin", "another"])
def test_a_race_for_an_immutable_fallback_tag(
    to_immutable: Sides,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    twin: bool,
) -> None:
    """A list that names what came is as good as ours; another is kept, and a warning logged."""
    image = images.push_image(to_immutable.source, [b"x"])
    referrer = refer(to_immutable.source, image, b"sbom")
    tag = fallback_tag(image.digest)
    to_immutable.copy(referrer)  # so that a list of it can be there
    other = images.push_image(to_immutable.destination, [b"other"])
    rival = images.push_index(to_immutable.destination, [referrer if twin else other])
    delete(to_immutable.destination, to_immutable.destination.manifest(tag))
    overtake(monkeypatch, to_immutable.destination, tag, rival)
    to_immutable.copy(image, "2.0")
    assert to_immutable.destination.resolve(tag) == rival.digest
    assert to_immutable.destination.has_manifest(referrer.digest)
    assert ("cannot be moved" in caplog.text) is not twin


def test_a_list_that_the_registry_refuses_for_another_reason_is_an_error(
    to_old: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the fallback tag is not there after it was refused, nobody is told that all is well."""
    image = images.push_image(to_old.source, [b"x"])

    def refused(*_: object) -> bool:
        raise RegistryRefused("not on a Sunday")

    monkeypatch.setattr(to_old.destination, "put_manifest", refused)
    with pytest.raises(RegistryRefused, match="Sunday"):
        keep_listed(to_old.destination, image.digest, [described(image)])


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
    paths = [each.path.rpartition("/")[2] for each in near.served[read:]]
    assert not [path for path in paths if path == image.digest and "manifests" in path]


def test_the_config_of_an_artifact_names_its_kind(to_old: Sides) -> None:
    """In a fallback index a referrer without artifactType is listed by its config's media type."""
    image = images.push_image(to_old.source, [b"x"])
    config = images.push_blob(to_old.source, b"{}", "application/vnd.example.config")
    fields = {"config": config, "layers": [], "subject": descriptor(image)}
    images.push_manifest(to_old.source, fields, OCI.manifest)
    to_old.copy(image)
    (entry,) = list_referrers(to_old.destination, image.digest)
    assert entry.artifact_type == "application/vnd.example.config"
