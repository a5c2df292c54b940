"""Registries without the referrers API: lists under fallback tags, also stale and immutable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import images
from dev.distribution import Distribution
from dev.images import OCI
from dev.registry import EmbeddedRegistry
from dev.storage import Manifest as Stored
from dev.storage import Refused, is_digest
from dev.storage import Repository as Storage
from promotion.errors import NotFound, RegistryRefused, UnsupportedContent
from promotion.registry.client import RepositoryClient, between
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import (
    cosign_tags,
    described,
    fallback_tag,
    keep_listed,
    list_referrers,
)
from promotion.registry.transport import Transport
from tests.unit.attached import SBOM, Sides, delete, descriptor, overtake, refer
from tests.unit.scripted import Answer, ScriptedServer


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


def test_an_entry_whose_manifest_is_gone_does_not_keep_others_from_the_list(to_old: Sides) -> None:
    """A registry that refuses a list of what it lacks gets one without that."""
    image = images.push_image(to_old.source, [b"x"])
    gone = refer(to_old.source, image, b"gone")
    to_old.copy(image)
    for repository in (to_old.source, to_old.destination):
        delete(repository, gone)
    later = refer(to_old.source, image, b"later")
    to_old.copy(image)
    assert to_old.listed(image) == {later.digest}


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


@pytest.mark.parametrize("oddity", [b'{"a": 1e999}', b"9" * 5_000, b'"\xff"'])
def test_a_list_that_cannot_be_written_again_is_refused(
    transport: Transport, oddity: bytes
) -> None:
    """Registries pass over fields that they do not know, whatever stands there."""
    listed = Answer(200, b'{"manifests": [], "odd": %s}' % oddity, {"Content-Type": OCI_INDEX})
    written = Descriptor(OCI_MANIFEST, digest_of(b"written"), 7)
    with ScriptedServer(Answer(404), listed) as server:
        repository = RepositoryClient(Repository(server.host, "shop"), transport)
        with pytest.raises(UnsupportedContent, match="cannot be written again"):
            keep_listed(repository, digest_of(b"subject"), [written])
        assert {each.method for each in server.asked} == {"GET"}


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


def test_the_config_of_an_artifact_names_its_kind(to_old: Sides) -> None:
    """In a fallback index a referrer without artifactType is listed by its config's media type."""
    image = images.push_image(to_old.source, [b"x"])
    config = images.push_blob(to_old.source, b"{}", "application/vnd.example.config")
    fields = {"config": config, "layers": [], "subject": descriptor(image)}
    images.push_manifest(to_old.source, fields, OCI.manifest)
    to_old.copy(image)
    (entry,) = list_referrers(to_old.destination, image.digest)
    assert entry.artifact_type == "application/vnd.example.config"
