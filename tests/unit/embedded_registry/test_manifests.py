"""Manifests of the embedded registry: what it takes, and under which names."""

from __future__ import annotations

import json

import pytest

from tests.unit.wire import (
    ABSENT,
    CONFIG,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    errors,
    image,
)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest(client: Client, method: str) -> None:
    """A manifest is found by tag and by digest, byte for byte, with its media type."""
    digest = client.push_image("team/app", "1.0")
    for reference in ("1.0", digest):
        answer = client.ask(method, f"/v2/team/app/manifests/{reference}")
        assert answer.status == 200
        assert answer.data == (image(LAYER) if method == "GET" else b"")
        assert answer.headers["Content-Type"] == IMAGE
        assert answer.headers["Content-Length"] == str(len(image(LAYER)))
        assert answer.headers["Docker-Content-Digest"] == digest == digest_of(image(LAYER))


def test_manifest_location(client: Client) -> None:
    """The answer to a push says where the manifest is."""
    client.push_image("app", "1.0")
    location = client.push("app", "1.1", image(LAYER)).headers["Location"]
    assert client.ask("GET", location).data == image(LAYER)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_manifest_by_digest(client: Client, algorithm: str) -> None:
    """A manifest pushed by digest has no tag, and either algorithm will do."""
    digest = digest_of(image(LAYER), algorithm)
    assert client.push_image("app", digest) == digest
    assert client.ask("GET", f"/v2/app/manifests/{digest}").data == image(LAYER)
    assert client.ask("GET", "/v2/app/tags/list").json() == {"name": "app", "tags": []}


def test_wrong_manifest_digest(client: Client) -> None:
    """A manifest that is not what its digest says is refused."""
    client.push_image("app", "1.0")
    answer = client.push("app", ABSENT, image(LAYER))
    assert (answer.status, errors(answer)) == (400, [("DIGEST_INVALID", None)])


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [(b"not JSON", IMAGE), (b"[]", IMAGE), (b'{"layers": [{}]}', IMAGE), (image(), INDEX)],
)
def test_invalid_manifest(client: Client, manifest: bytes, media_type: str) -> None:
    """A manifest has to be one, and of the media type it is sent as."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "1.0", manifest, media_type)
    assert (answer.status, errors(answer)) == (400, [("MANIFEST_INVALID", None)])


def test_invalid_tag(client: Client) -> None:
    """A manifest that cannot get its tag is not kept either."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "-1", image())
    assert (answer.status, errors(answer)) == (400, [("MANIFEST_INVALID", None)])
    assert client.ask("GET", f"/v2/app/manifests/{digest_of(image())}").status == 404


def test_incomplete_image(client: Client) -> None:
    """An image is refused with one error for each blob that is missing."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "1.0", image(LAYER, b"another", LAYER))
    assert answer.status == 400
    assert errors(answer) == [
        ("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(LAYER)}),
        ("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(b"another")}),
    ]
    assert client.ask("GET", "/v2/app/manifests/1.0").status == 404


def test_layers_that_live_elsewhere(client: Client) -> None:
    """A layer with URLs need not be in the registry."""
    client.push_blob("app", CONFIG)
    layer = descriptor(LAYER, "application/octet-stream", urls=["https://example.com/layer"])
    assert client.push("app", "1.0", image(layers=[layer])).status == 201


def test_index(client: Client) -> None:
    """An index is accepted once all its manifests are in the repository."""
    child = image(LAYER)
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(child, IMAGE)]}).encode()
    refused = client.push("app", "1.0", index, INDEX)
    assert errors(refused) == [("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(child)})]
    client.push_image("app", digest_of(child))
    assert client.push("app", "1.0", index, INDEX).status == 201


def test_moved_tag(client: Client) -> None:
    """A tag names what was pushed last, and what it named before stays."""
    before = client.push_image("app", "latest")
    after = client.push_image("app", "latest", image())
    named = client.ask("HEAD", "/v2/app/manifests/latest")
    assert named.headers["Docker-Content-Digest"] == after
    assert client.ask("HEAD", f"/v2/app/manifests/{before}").status == 200


def test_deleted_tag(client: Client) -> None:
    """Without its tag a manifest is still there."""
    digest = client.push_image("app", "1.0")
    assert client.ask("DELETE", "/v2/app/manifests/1.0").status == 202
    assert client.ask("GET", "/v2/app/manifests/1.0").status == 404
    assert client.ask("GET", f"/v2/app/manifests/{digest}").status == 200


def test_deleted_manifest(client: Client) -> None:
    """With a manifest go all its tags, and no others."""
    digest = client.push_image("app", "1.0")
    client.push_image("app", "1.1")
    client.push_image("app", "2.0", image())
    assert client.ask("DELETE", f"/v2/app/manifests/{digest}").status == 202
    gone = client.ask("DELETE", f"/v2/app/manifests/{digest}")
    assert (gone.status, errors(gone)) == (404, [("MANIFEST_UNKNOWN", None)])
    assert client.ask("GET", "/v2/app/tags/list").json()["tags"] == ["2.0"]
