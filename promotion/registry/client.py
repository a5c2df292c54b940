"""What one repository can be asked: the verbs of the OCI Distribution Specification 1.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from promotion.errors import ContentMismatch, NotFound, RegistryUnavailable, UnsupportedContent
from promotion.registry.manifest import MANIFEST_TYPES, Blob, Manifest
from promotion.registry.reference import (
    Digest,
    Reference,
    Repository,
    algorithm_of,
    digest_of,
    parse_digest,
)
from promotion.registry.transport import Request, Transport

if TYPE_CHECKING:
    import urllib3

LARGEST_MANIFEST = 4 * 1024 * 1024

_ACCEPT_MANIFESTS = {"Accept": ", ".join(sorted(MANIFEST_TYPES))}
_PIECE = 1024 * 1024


class RepositoryClient:
    """Reads from and writes to one repository; safe to share between threads."""

    def __init__(self, repository: Repository, transport: Transport) -> None:
        self.repository = repository
        self._transport = transport

    def manifest(self, name: str) -> Manifest:
        """Fetch the manifest that a tag or a digest names.

        Raises:
            NotFound: There is none.
            ContentMismatch: What came is not what the digest names.
            UnsupportedContent: It is larger than 4 MiB.
        """
        request = self._manifest_request("GET", name, f"read the manifest {self._named(name)}")
        answer = self._transport.send(request, most=LARGEST_MANIFEST)
        expected = name if ":" in name else answer.headers.get("Docker-Content-Digest", "")
        algorithm = algorithm_of(parse_digest(expected)) if expected else "sha256"
        digest = digest_of(answer.content, algorithm)
        if expected and digest != expected:
            raise ContentMismatch(
                f"The manifest {self._named(name)} should have the digest {expected},"
                f" but {self.repository.host} sent one with {digest}"
            )
        return Manifest(_media_type(answer.headers.get("Content-Type", "")), digest, answer.content)

    def resolve(self, tag: str) -> Digest | None:
        """The digest that a tag names now, or None if there is no such tag."""
        try:
            request = self._manifest_request("HEAD", tag, f"look up {self._named(tag)}")
            answer = self._transport.send(request)
        except NotFound:
            return None
        digest = answer.headers.get("Docker-Content-Digest")
        return parse_digest(digest) if digest else self.manifest(tag).digest

    def has_manifest(self, digest: Digest) -> bool:
        """Whether the repository holds a manifest with this digest."""
        attempted = f"look up {self._named(digest)}"
        answer = self._transport.send(
            self._manifest_request("HEAD", digest, attempted, accept=frozenset({200, 404}))
        )
        return answer.status == 200

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Store a manifest under its digest or, given a tag, let the tag name it."""
        name = tag or manifest.digest
        self._transport.send(
            Request(
                "PUT",
                self.repository.host,
                f"/v2/{self.repository.path}/manifests/{name}",
                f"write the manifest {self._named(name)}",
                headers={"Content-Type": manifest.media_type},
                body=manifest.content,
                accept=frozenset({200, 201}),
            )
        )

    @contextmanager
    def blob(self, blob: Blob) -> Iterator[Iterator[bytes]]:
        """Read a blob piece by piece, without holding it in memory.

        Raises:
            NotFound: The repository does not have it.
        """
        request = Request(
            "GET",
            self.repository.host,
            f"/v2/{self.repository.path}/blobs/{blob.digest}",
            f"read the blob {self._named(blob.digest)}",
        )
        with self._transport.stream(request) as answer:
            yield _pieces(answer, request)

    def mount(self, blob: Blob, source: Repository) -> str | None:
        """Link a blob of another repository of the same registry into this one.

        One request asks whether the blob is there, mounts it, or opens an upload for it.

        Returns:
            None when the blob is here now; else the upload's location, for ``upload``.
        """
        return self._open_upload(blob, {"mount": blob.digest, "from": source.path})

    def start_upload(self, blob: Blob) -> str:
        """Open an upload for a blob and return its location, for ``upload``."""
        location = self._open_upload(blob, {})
        if location is None:
            raise RegistryUnavailable(
                f"Could not open an upload in {self.repository}: the answer was 201, not 202"
            )
        return location

    def upload(self, location: str, blob: Blob, content: Iterable[bytes]) -> None:
        """Send a blob's bytes to an open upload, in one request, and close it."""
        parts = urlsplit(location)
        query = urlencode(
            [*parse_qsl(parts.query, keep_blank_values=True), ("digest", blob.digest)]
        )
        self._transport.send(
            Request(
                "PUT",
                self.repository.host,
                parts._replace(query=query).geturl(),
                f"write the blob {self._named(blob.digest)}",
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(blob.size),
                },
                body=content,
                accept=frozenset({200, 201}),
            )
        )

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository holds a blob with this digest."""
        answer = self._transport.send(
            Request(
                "HEAD",
                self.repository.host,
                f"/v2/{self.repository.path}/blobs/{digest}",
                f"look up the blob {self._named(digest)}",
                accept=frozenset({200, 404}),
            )
        )
        return answer.status == 200

    def _open_upload(self, blob: Blob, query: dict[str, str]) -> str | None:
        answer = self._transport.send(
            Request(
                "POST",
                self.repository.host,
                f"/v2/{self.repository.path}/blobs/uploads/?{urlencode(query, safe=':/')}",
                f"write the blob {self._named(blob.digest)}",
                headers={"Content-Length": "0"},
                accept=frozenset({201, 202}),
            )
        )
        return None if answer.status == 201 else answer.headers["Location"]

    def _manifest_request(
        self, method: str, name: str, attempted: str, accept: frozenset[int] = frozenset({200})
    ) -> Request:
        return Request(
            method,
            self.repository.host,
            f"/v2/{self.repository.path}/manifests/{name}",
            attempted,
            headers=_ACCEPT_MANIFESTS,
            accept=accept,
        )

    def _named(self, name: str) -> Reference:
        if ":" in name:
            return Reference(self.repository, digest=Digest(name))
        return Reference(self.repository, tag=name)


def _pieces(answer: urllib3.BaseHTTPResponse, request: Request) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError

    try:
        while piece := answer.read(_PIECE):
            yield piece
    except HTTPError as error:
        raise RegistryUnavailable(
            f"Could not {request.attempted} to its end: {request.host} broke off ({error})"
        ) from error


def _media_type(content_type: str) -> str:
    media_type = content_type.partition(";")[0].strip()
    if not media_type:
        raise UnsupportedContent("The registry sent a manifest without a Content-Type")
    return media_type
