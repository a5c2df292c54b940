"""Images of unusual shape: what arrives is what was there."""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import Future
from typing import Any

import pytest

from dev import images
from dev.images import DOCKER, OCI
from dev.registry import EmbeddedRegistry
from promotion.errors import BeyondLimit, UnsupportedContent
from promotion.registry.client import LARGEST_MANIFEST, RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import OCI_ARTIFACT, OCI_MANIFEST, Blob, Descriptor, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import Attached, NoAttachments
from promotion.registry.report import Way
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer


@pytest.fixture
def source(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """Where images come from."""
    return RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)


@pytest.fixture
def destination(far: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A repository of another registry."""
    return RepositoryClient(Repository(far.host, "shop/prod/shop"), transport)


def descriptor(content: bytes, media_type: str = OCI.layer, **more: Any) -> dict[str, Any]:
    """The descriptor of some content that need not be anywhere."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def pointer(manifest: Manifest) -> dict[str, Any]:
    """What points to a manifest."""
    size = len(manifest.content)
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}


def unpushed(content: dict[str, Any], media_type: str = OCI_MANIFEST) -> Manifest:
    """A manifest that is not in any registry."""
    text = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}).encode()
    return Manifest(media_type, digest_of(text), text)


def test_an_artifact_manifest_is_copied(
    near: EmbeddedRegistry, source: RepositoryClient, destination: RepositoryClient
) -> None:
    """The artifact manifest of OCI 1.1 drafts has blobs, and neither config nor layers."""
    blob = images.push_blob(source, b"content", "text/plain")
    image = unpushed({"artifactType": "text/plain", "blobs": [blob]}, OCI_ARTIFACT)
    copied = copy(image, source, destination)
    assert [each.digest for each in copied.blobs] == [digest_of(b"content")]
    assert near.served


def test_content_in_the_manifest_needs_no_request_to_the_source(
    near: EmbeddedRegistry, source: RepositoryClient, destination: RepositoryClient
) -> None:
    """A descriptor with data brings its content itself; data that does not match is ignored."""
    config = descriptor(b"{}", OCI.config, data=base64.b64encode(b"{}").decode())
    lying = images.push_blob(source, b"true", OCI.layer) | {
        "data": base64.b64encode(b"lies").decode()
    }
    broken = images.push_blob(source, b"real", OCI.layer) | {"data": "%%%"}
    image = unpushed({"config": config, "layers": [lying, broken]})
    copy(image, source, destination)
    for content in (b"{}", b"true", b"real"):
        with destination.blob(Blob(digest_of(content), len(content))) as pieces:
            assert b"".join(pieces) == content
    assert not any(digest_of(b"{}") in served.path for served in near.served)


def test_a_layer_that_is_kept_elsewhere_may_be_missing(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """A non-distributable layer that the source lacks is left out, and said to be."""
    config = images.push_blob(source, b"{}", OCI.config)
    foreign = descriptor(b"windows", DOCKER.layer, urls=["https://vendor.example/layer"])
    present = images.push_blob(source, b"here", DOCKER.layer) | {
        "urls": ["https://vendor.example/2"]
    }
    copied = copy(unpushed({"config": config, "layers": [foreign, present]}), source, destination)
    ways = {report.digest: report.way for report in copied.blobs}
    assert ways[digest_of(b"windows")] is Way.LEFT_OUT
    assert ways[digest_of(b"here")] is Way.COPIED


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.empty.v1+json", "x/y"],
)
def test_a_layer_may_be_of_any_kind_and_be_the_config_too(
    source: RepositoryClient, destination: RepositoryClient, media_type: str
) -> None:
    """Compression and kind are the reader's matter; one content in two places is sent once."""
    config = images.push_blob(source, b"{}", "application/vnd.oci.empty.v1+json")
    layers = [images.push_blob(source, content, media_type) for content in (b"(\xb5/\xfd", b"{}")]
    image = images.push_manifest(source, {"config": config, "layers": layers}, OCI_MANIFEST)
    copied = copy(image, source, destination)
    destination.put_manifest(image, "1.0")
    assert sorted(each.size for each in copied.blobs) == [2, 4]
    assert destination.manifest("1.0") == image


def test_blobs_in_an_index_are_copied(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """A build cache keeps blobs directly in an index; they are copied as blobs."""
    cache = images.push_blob(source, b"cache", "application/vnd.example.cache")
    child = images.push_image(source, [b"x"])
    copied = copy(unpushed({"manifests": [cache, pointer(child)]}, OCI.index), source, destination)
    assert digest_of(b"cache") in {report.digest for report in copied.blobs}
    assert destination.has_manifest(child.digest)


def test_other_digest_algorithms_are_kept(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """A layer named by sha512 travels under that name, and is checked by it."""
    name = f"sha512:{hashlib.sha512(b'content').hexdigest()}"
    blob = Blob(name, 7)  # type: ignore[arg-type]
    source.upload(source.start_upload(blob), blob, [b"content"])
    layer = {"mediaType": OCI.layer, "digest": name, "size": 7}
    config = images.push_blob(source, b"{}", OCI.config)
    image = images.push_manifest(source, {"config": config, "layers": [layer]}, OCI.manifest)
    copy(image, source, destination)
    destination.put_manifest(image, "1.0")
    with destination.blob(blob) as pieces:
        assert b"".join(pieces) == b"content"


def test_what_has_no_digest_is_named(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """An attachment that nobody can copy is told from the others, and so is a list of such."""
    image = images.push_image(source, [b"x"])
    unknown = descriptor(b"y") | {"digest": f"md5:{'0' * 32}"}
    odd = unpushed({"config": unknown, "subject": pointer(image)})
    with pytest.raises(UnsupportedContent, match=f"manifest {odd.digest} is not .*'md5:0"):
        copy(odd, source, destination, NoAttachments())
    listing = [Descriptor(OCI_MANIFEST, unknown["digest"], 2)]
    found: Future[list[Descriptor]] = Future()
    found.set_result(listing)

    class Listed:
        def look_up(self, _: Digest) -> Attached:
            return Attached(found)

    with pytest.raises(
        UnsupportedContent, match=f"what refers to {image.digest} is damaged: .*'md5:0"
    ):
        copy(image, source, destination, Listed())


def test_a_registry_may_know_sha256_alone(source: RepositoryClient, transport: Transport) -> None:
    """Where no manifest can be stored under a sha512, no further try can help, and it is said."""
    child = images.push_image(source, [b"x"])
    named = Manifest(child.media_type, digest_of(child.content, "sha512"), child.content)
    source.put_manifest(named)
    image = unpushed({"manifests": [pointer(named)]}, OCI.index)
    refusal = json.dumps({"errors": [{"code": "DIGEST_INVALID", "message": "no match"}]}).encode()
    with ScriptedServer(Answer(201), Answer(201), Answer(400, refusal)) as strict:
        destination = RepositoryClient(Repository(strict.host, "shop/prod/shop"), transport)
        with pytest.raises(UnsupportedContent, match="another kind than sha256"):
            copy(image, source, destination, NoAttachments())


def test_a_manifest_at_the_limit_is_copied_and_one_beyond_it_refused(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """4 MiB is allowed; what is longer is refused before it is in memory."""
    config = images.push_blob(source, b"{}", OCI.config)
    frame = len(unpushed({"config": config, "layers": [], "annotations": {"a": ""}}).content)
    for length, fits in [(LARGEST_MANIFEST, True), (LARGEST_MANIFEST + 1, False)]:
        filler = {"a": "x" * (length - frame)}
        image = unpushed({"config": config, "layers": [], "annotations": filler})
        source.put_manifest(image, "1.0")
        if fits:
            assert source.manifest("1.0") == image
            copy(image, source, destination)
            destination.put_manifest(image, "1.0")
        else:
            with pytest.raises(BeyondLimit, match="longer than"):
                source.manifest("1.0")
