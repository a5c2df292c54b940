"""Random graphs of manifests, blobs and referrers: they arrive whole, wherever they go."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev import images
from dev.anonymous import anonymous_transport
from dev.images import DOCKER, OCI, Format
from dev.registry import EmbeddedRegistry
from promotion.registry.client import RepositoryClient, between
from promotion.registry.copy import complete, copy
from promotion.registry.manifest import Manifest, successors
from promotion.registry.reference import Digest, Repository
from promotion.registry.referrers import cosign_tags, described, keep_listed, list_referrers
from promotion.registry.transport import Transport


@dataclass(frozen=True)
class Shape:
    """A manifest and what is below and about it.

    Attributes:
        layers: Of an image; an index has children instead.
        inline: Whether the manifest holds its layers' content too.
        twin: Whether the image has a layer that is identical to the manifest pushed before it.
        about: Whether its subject is the manifest pushed before it, if nothing else is.
        referrers: What has this manifest as its subject.
        signatures: What is kept under cosign's tags for it.
    """

    layers: tuple[bytes, ...] = ()
    children: tuple[Shape, ...] | None = None
    inline: bool = False
    twin: bool = False
    about: bool = False
    referrers: tuple[Shape, ...] = ()
    signatures: tuple[bytes, ...] = ()


def shapes(below: st.SearchStrategy[tuple[Shape, ...]]) -> st.SearchStrategy[Shape]:
    """Shapes with the given ones as their children and as what refers to them."""
    return st.builds(
        Shape,
        layers=st.lists(st.binary(max_size=64), max_size=3).map(tuple),
        children=st.none() | below,
        inline=st.booleans(),
        twin=st.booleans(),
        about=st.booleans(),
        referrers=below,
        signatures=st.lists(st.binary(max_size=8), max_size=2).map(tuple),
    )


graphs = st.recursive(
    shapes(st.just(())),
    lambda below: shapes(st.lists(below, max_size=3).map(tuple)),
    max_leaves=6,
)


@dataclass
class Pusher:
    """Pushes shapes to a repository, each after what it points to."""

    repository: RepositoryClient
    form: Format
    pushed: list[Manifest] = field(default_factory=list)

    def push(self, shape: Shape, subject: Manifest | None = None) -> Manifest:
        """Push a shape with all that belongs to it."""
        if shape.children is None:
            fields, kind = self._image(shape), self.form.manifest
        else:
            children = [self.push(child) for child in shape.children]
            fields, kind = {"manifests": [pointer(child) for child in children]}, self.form.index
        if shape.about and self.pushed:
            subject = subject or self.pushed[-1]
        if subject:
            fields["subject"] = pointer(subject)
        manifest = images.push_manifest(self.repository, fields, kind)
        if subject:
            keep_listed(self.repository, subject.digest, [described(manifest)])
        self.pushed.append(manifest)
        self._attach(shape, manifest)
        return manifest

    def _image(self, shape: Shape) -> dict[str, Any]:
        contents = list(shape.layers)
        if shape.twin and self.pushed:
            contents.append(self.pushed[-1].content)
        layers = [images.push_blob(self.repository, each, self.form.layer) for each in contents]
        if shape.inline:
            for layer, content in zip(layers, contents, strict=True):
                layer["data"] = base64.b64encode(content).decode()
        config = images.push_blob(self.repository, b"{}", self.form.config)
        return {"config": config, "layers": layers}

    def _attach(self, shape: Shape, manifest: Manifest) -> None:
        for referrer in shape.referrers:
            self.push(referrer, manifest)
        for tag, content in zip(cosign_tags(manifest.digest), shape.signatures, strict=False):
            images.push_image(self.repository, [content], tag)


def pointer(manifest: Manifest) -> dict[str, Any]:
    """What points to a manifest."""
    size = len(manifest.content)
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}


@dataclass
class Content:
    """All that a repository says of a manifest, and of everything that belongs to it."""

    repository: RepositoryClient
    manifests: dict[Digest, bytes] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    referrers: dict[Digest, set[str]] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)

    def read(self, digest: Digest) -> Content:
        """Read a manifest and go on from there."""
        if digest in self.manifests:
            return self
        manifest = self.repository.manifest(digest)
        self.manifests[digest] = manifest.content
        points_to = successors(manifest)
        for blob in points_to.blobs:
            with self.repository.blob(blob) as pieces:
                self.blobs[blob.digest] = b"".join(pieces)
        listed = list_referrers(self.repository, digest)
        self.referrers[digest] = {each.digest for each in listed}
        for tag in cosign_tags(digest):
            if named := self.repository.resolve(tag):
                self.tags[tag] = named
                self.read(named)
        for each in (*points_to.manifests, *(Digest(each.digest) for each in listed)):
            self.read(each)
        return self

    @property
    def everything(self) -> tuple[object, ...]:
        """What has to be the same at both sides of a copy."""
        return self.manifests, self.blobs, self.referrers, self.tags


@dataclass(frozen=True)
class Registries:
    """A registry with the referrers API and one without it, and names that nobody has used."""

    hosts: dict[bool, str]
    transport: Transport
    numbers: Iterator[int]

    def sides(self, from_api: bool, to_api: bool) -> tuple[RepositoryClient, RepositoryClient]:
        """Two new repositories, of one registry or of both."""
        number = next(self.numbers)
        source = Repository(self.hosts[from_api], f"random/source-{number}")
        destination = Repository(self.hosts[to_api], f"random/destination-{number}")
        return between(source, destination, self.transport, self.transport)


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """Both registries, for all graphs."""
    folder = tmp_path_factory.mktemp("random")
    transport = anonymous_transport()
    with (
        EmbeddedRegistry(folder / "new") as new,
        EmbeddedRegistry(folder / "old", referrers_api=False) as old,
    ):
        yield Registries({True: new.host, False: old.host}, transport, count())
    transport.close()


@settings(max_examples=60)
@given(
    graph=graphs, form=st.sampled_from([OCI, DOCKER]), from_api=st.booleans(), to_api=st.booleans()
)
def test_any_graph_arrives_whole(
    registries: Registries, graph: Shape, form: Format, from_api: bool, to_api: bool
) -> None:
    """Source and destination hold the same content, lists and tags, and nothing is left to do."""
    source, destination = registries.sides(from_api, to_api)
    image = Pusher(source, form).push(graph)
    copy(image, source, destination)
    destination.put_manifest(image, "1.0")
    assert destination.resolve("1.0") == image.digest
    expected = Content(source).read(image.digest).everything
    assert Content(destination).read(image.digest).everything == expected
    again = complete(image, source, destination)
    assert (again.blobs, again.manifests, again.kept) == ((), 0, ())
