"""Requests to a registry as they go over the wire, and small content to send."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3

LAYER = b"a layer of some bytes"
CONFIG = b"{}"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
ABSENT = "sha256:" + "0" * 64


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Name content as a registry does."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str, **fields: object) -> dict[str, object]:
    """Point to content."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **fields}


def image(*layers: bytes, **fields: object) -> bytes:
    """Write an image manifest whose bytes no serializer would reproduce."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(CONFIG, CONFIG_TYPE),
        "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        **fields,
    }
    return json.dumps(manifest, indent=3).encode() + b"\n"


class Client:
    """Requests to one registry, and the few steps that most tests begin with.

    With a token each request has an Authorization header; ``authorized`` tells who else asks.
    """

    def __init__(self, pool: urllib3.PoolManager, host: str, token: str = "") -> None:
        self.pool = pool
        self.host = host
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def authorized(self, token: str) -> Client:
        """Somebody else who asks the same registry; nobody in particular without a token."""
        return Client(self.pool, self.host, token)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; the path may also be a Location."""
        url = f"http://{self.host}{path}"
        headers = {**self._headers, **(headers or {})}
        return self.pool.request(method, url, body=body, headers=headers, redirect=False)

    def begin(self, repository: str) -> str:
        """Open an upload; the answer is where it continues."""
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]

    def push_blob(self, repository: str, content: bytes) -> str:
        """Push a blob that has to be accepted."""
        digest = digest_of(content)
        pushed = self.ask("PUT", f"{self.begin(repository)}?digest={digest}", content)
        assert pushed.status == 201
        return digest

    def push(
        self, repository: str, reference: str, manifest: bytes, media_type: str = IMAGE
    ) -> urllib3.BaseHTTPResponse:
        """Push a manifest."""
        path = f"/v2/{repository}/manifests/{reference}"
        return self.ask("PUT", path, manifest, {"Content-Type": media_type})

    def push_image(self, repository: str, reference: str, manifest: bytes | None = None) -> str:
        """Push an image of one layer that has to be accepted."""
        self.push_blob(repository, CONFIG)
        self.push_blob(repository, LAYER)
        pushed = self.push(repository, reference, manifest or image(LAYER))
        assert pushed.status == 201, pushed.data
        return pushed.headers["Docker-Content-Digest"]


def errors(answer: urllib3.BaseHTTPResponse) -> list[tuple[str, Any]]:
    """List an answer's error codes with their details."""
    assert answer.headers["Content-Type"] == "application/json"
    return [(error["code"], error["detail"]) for error in answer.json()["errors"]]
