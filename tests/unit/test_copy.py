"""The copy: whatever the image's shape and wherever it goes, it arrives whole, or not at all."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from dev import images
from dev.images import DOCKER, OCI, Format
from dev.registry import EmbeddedRegistry
from promotion.errors import (
    ContentMismatch,
    NotFound,
    RegistryUnavailable,
    Retryable,
    UnsupportedContent,
)
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest, successors
from promotion.registry.pace import Pace
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import NoAttachments
from promotion.registry.report import BlobReport, Copied, Watcher, Way
from promotion.registry.retry import Tries
from promotion.registry.transport import Transport
from tests.unit import wire

SHARED = b"a layer that several images share" * 1000


def single(repository: RepositoryClient, form: Format) -> Manifest:
    """An image of two layers, one of them longer than a piece of a stream."""
    return images.push_image(repository, [SHARED, b"x" * (3 * 1024 * 1024 + 7)], form=form)


def index(repository: RepositoryClient, form: Format) -> Manifest:
    """Two platforms that share a layer."""
    children = [
        images.push_image(repository, [SHARED, architecture.encode()], "", architecture, form)
        for architecture in ("amd64", "arm64")
    ]
    return images.push_index(repository, children, form=form)


def nested(repository: RepositoryClient, form: Format) -> Manifest:
    """An index of an index and of an image that the inner index holds as well."""
    child = images.push_image(repository, [SHARED], form=form)
    inner = images.push_index(repository, [child], form=form)
    return images.push_index(repository, [inner, child], form=form)


def empty(repository: RepositoryClient, form: Format) -> Manifest:
    """An image without layers."""
    return images.push_image(repository, [], form=form)


def zero(repository: RepositoryClient, form: Format) -> Manifest:
    """An image with a layer of no bytes, and one layer twice."""
    return images.push_image(repository, [b"", SHARED, SHARED], form=form)


Shape = Callable[[RepositoryClient, Format], Manifest]
every_shape = pytest.mark.parametrize("shape", [single, index, nested, empty, zero])
every_form = pytest.mark.parametrize("form", [OCI, DOCKER], ids=["oci", "docker"])


@pytest.fixture
def source(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """Where images come from."""
    return RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)


@pytest.fixture
def beside(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """Another repository of the same registry."""
    return RepositoryClient(Repository(near.host, "shop/extended-test/shop"), transport)


@pytest.fixture
def elsewhere(far: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A repository of another registry."""
    return RepositoryClient(Repository(far.host, "shop/prod/shop"), transport)


def assert_same(image: Manifest, source: RepositoryClient, destination: RepositoryClient) -> None:
    """Every manifest and every blob of the image is there, byte for byte."""
    assert destination.manifest(image.digest) == image
    points_to = successors(image)
    for digest in points_to.manifests:
        assert_same(source.manifest(digest), source, destination)
    for blob in points_to.blobs:
        with source.blob(blob) as expected, destination.blob(blob) as found:
            assert b"".join(found) == b"".join(expected)


def whole(image: Manifest, source: RepositoryClient, destination: RepositoryClient) -> Copied:
    """Copy an image and set its tag, as whoever copies does."""
    copied = copy(image, source, destination)
    destination.put_manifest(image, "1.0")
    return copied


@every_shape
@every_form
def test_inside_one_registry_blobs_are_mounted(
    shape: Shape, form: Format, source: RepositoryClient, beside: RepositoryClient
) -> None:
    """Every blob is linked, once, and no byte of it travels."""
    image = shape(source, form)
    copied = whole(image, source, beside)
    assert_same(image, source, beside)
    assert {blob.way for blob in copied.blobs} == {Way.MOUNTED}
    assert copied.bytes_copied == 0


@every_shape
@every_form
def test_between_registries_blobs_are_streamed(
    shape: Shape, form: Format, source: RepositoryClient, elsewhere: RepositoryClient
) -> None:
    """Every blob is sent once; a second copy finds them all and sends none."""
    image = shape(source, form)
    first = whole(image, source, elsewhere)
    assert_same(image, source, elsewhere)
    second = whole(image, source, elsewhere)
    assert {blob.way for blob in first.blobs} == {Way.COPIED}
    large = [blob for blob in second.blobs if blob.size > 1024 * 1024]
    assert {blob.way for blob in large} <= {Way.PRESENT}


def test_a_mount_copy_needs_few_requests(
    near: EmbeddedRegistry, source: RepositoryClient, beside: RepositoryClient
) -> None:
    """An image of three blobs takes a request a blob, and its look-ups run beside them."""
    image = images.push_image(source, [b"one", b"two"])
    before = len(near.served)
    copy(image, source, beside)
    methods = Counter(served.method for served in near.served[before:])
    assert methods == {"POST": 3, "GET": 4}


@pytest.mark.parametrize("inside", [True, False], ids=["mounted", "streamed"])
def test_a_layer_may_be_identical_to_a_manifest(
    inside: bool,
    source: RepositoryClient,
    beside: RepositoryClient,
    elsewhere: RepositoryClient,
) -> None:
    """A digest that names a manifest and a blob of one image arrives as both."""
    child = images.push_image(source, [SHARED])
    holder = images.push_image(source, [child.content], architecture="holder")
    image = images.push_index(source, [child, holder])
    destination = beside if inside else elsewhere
    whole(image, source, destination)
    assert_same(image, source, destination)
    assert destination.has_blob(child.digest)


def test_only_the_tag_is_missing(source: RepositoryClient, beside: RepositoryClient) -> None:
    """Whoever asks for the tag does not find it yet; all that it will name is there."""
    image = index(source, OCI)
    copy(image, source, beside)
    assert beside.resolve("1.0") is None
    assert all(beside.has_manifest(digest) for digest in successors(image).manifests)
    beside.put_manifest(image, "1.0")


def test_children_are_there_before_their_parents(
    near: EmbeddedRegistry, source: RepositoryClient, beside: RepositoryClient
) -> None:
    """The manifests of a nested index are written bottom up, each once."""
    image = nested(source, OCI)
    before = len(near.served)
    copied = copy(image, source, beside)
    written = [served.path for served in near.served[before:] if served.method == "PUT"]
    assert len(written) == copied.manifests == 2
    inner, child = successors(image).manifests
    assert [path.rpartition("/")[2] for path in written] == [child, inner]


def test_a_mount_that_the_registry_declines_becomes_an_upload(
    source: RepositoryClient, beside: RepositoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a mount answers with an upload session instead, the bytes go through that session."""
    image = single(source, OCI)
    monkeypatch.setattr(beside, "mount", lambda blob, _: beside.start_upload(blob))
    copied = whole(image, source, beside)
    assert_same(image, source, beside)
    assert {blob.way for blob in copied.blobs} == {Way.COPIED}
    assert {blob.reason for blob in copied.blobs} == {"the registry opened an upload instead"}


class Damaged(RepositoryClient):
    """A repository whose blobs arrive otherwise than they were stored."""

    damage: Callable[[bytes], Iterable[bytes]]

    @contextmanager
    def blob(
        self, blob: Blob, start: int = 0, tries: Tries | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The blob, damaged."""
        with super().blob(blob, start, tries) as pieces:
            yield iter(self.damage(b"".join(pieces)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: [content[:-1], b"?"],
        lambda content: [content[:-1]],
        lambda content: [content, b"more"],
        lambda content: [b"?" + content[1:]],
        lambda _: [],
    ],
    ids=["last byte", "too short", "too long", "first byte", "nothing"],
)
def test_a_damaged_blob_is_never_completed(
    damage: Callable[[bytes], Iterable[bytes]],
    source: RepositoryClient,
    elsewhere: RepositoryClient,
    transport: Transport,
) -> None:
    """Bytes of a wrong digest or length end the copy, and neither blob nor image exist after it."""
    image = images.push_image(source, [b"content"])
    damaged = Damaged(source.repository, transport)
    damaged.damage = damage
    with pytest.raises(ContentMismatch, match="the upload was abandoned"):
        copy(image, damaged, elsewhere)
    assert not elsewhere.has_blob(digest_of(b"content"))
    assert not elsewhere.has_manifest(image.digest)


def test_a_missing_blob_ends_the_copy(source: RepositoryClient, beside: RepositoryClient) -> None:
    """An image that is incomplete at the source is not written at the destination."""
    gone = {"mediaType": "text/plain", "digest": digest_of(b"gone"), "size": 4}
    config = images.push_blob(source, b"{}", OCI.config)
    content = json.dumps({"config": config, "layers": [gone]}).encode()
    image = Manifest(OCI.manifest, digest_of(content), content)
    with pytest.raises(NotFound, match=digest_of(b"gone")):
        copy(image, source, beside)
    assert not beside.has_manifest(image.digest)


def test_an_unknown_kind_of_manifest_is_refused(source: RepositoryClient) -> None:
    """What cannot be understood cannot be copied faithfully, and is said to be so."""
    image = Manifest(
        "application/vnd.docker.distribution.manifest.v1+prettyjws", digest_of(b"{}"), b"{}"
    )
    with pytest.raises(UnsupportedContent, match=r"v1\+prettyjws.*cannot be copied"):
        copy(image, source, source)


def test_a_registry_that_is_gone_is_worth_another_try(tmp_path: Path, transport: Transport) -> None:
    """No answer is a retryable error that names what was attempted and the host."""
    with EmbeddedRegistry(tmp_path) as registry:
        gone = RepositoryClient(Repository(registry.host, "shop/prod/shop"), transport)
    with pytest.raises(
        RegistryUnavailable, match=f"{gone.repository}:1.0.*gave no answer"
    ) as raised:
        gone.manifest("1.0")
    assert isinstance(raised.value, Retryable)
    assert raised.value.__cause__ is not None
    assert f"({registry.host}: Failed to establish a new connection" in str(raised.value)


class TakenUp:
    """A report that says when the walk looks at it."""

    def __init__(self, digest: Digest, then: Callable[[], None]) -> None:
        self._digest = digest
        self._then = then

    @property
    def digest(self) -> Digest:
        """Of the blob."""
        self._then()
        return self._digest


class OneByOne:
    """Brings blobs one after another, each when the walk has taken up the last."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore()

    def __call__(
        self,
        blob: Blob,
        *,
        source: RepositoryClient,  # noqa: ARG002 - the protocol's parameters
        destination: RepositoryClient,  # noqa: ARG002
        pace: Pace,  # noqa: ARG002
        watcher: Watcher,  # noqa: ARG002
    ) -> BlobReport:
        """Claim that it is there."""
        self._turn.acquire()
        return cast("BlobReport", TakenUp(blob.digest, self._turn.release))


def calls_of_walk(layers: int, source: RepositoryClient, destination: RepositoryClient) -> int:
    """How many functions the walk itself calls for an image of so many layers."""
    content = wire.image(*(b"%d" % number for number in range(layers)))
    image = Manifest(OCI_MANIFEST, digest_of(content), content)
    called: Counter[str] = Counter()
    # It sees this thread alone, and not those that bring the layers.
    sys.setprofile(lambda _, event, __: called.update([event]))
    try:
        copied = copy(image, source, destination, NoAttachments(), bring=OneByOne())
    finally:
        sys.setprofile(None)
    assert len(copied.blobs) == layers + 1
    return called["call"] + called["c_call"]


def test_a_large_image_costs_no_more_by_the_layer(
    source: RepositoryClient, beside: RepositoryClient
) -> None:
    """What takes up one blob after another looks at each of them once, and not at all that wait."""
    few = calls_of_walk(100, source, beside)
    assert calls_of_walk(800, source, beside) < 16 * few
