"""What one repository can be asked: the verbs of the OCI Distribution Specification 1.1."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from promotion.deadline import NEVER, Deadline, current, keeping
from promotion.errors import ContentMismatch, NotFound, RegistryUnavailable, UnsupportedContent
from promotion.registry.answers import is_web_page, listed_tags, media_type, told_digest
from promotion.registry.connections import read_piece
from promotion.registry.manifest import MANIFEST_TYPES, Blob, Descriptor, Manifest, index_entries
from promotion.registry.pages import LONGEST_PAGE, all_pages, check_count, check_length
from promotion.registry.reference import (
    Digest,
    Reference,
    Repository,
    algorithm_of,
    digest_of,
    is_canonical,
    parse_digest,
)
from promotion.registry.retry import Tries
from promotion.registry.transport import Request, Response, Transport, no_answer

if TYPE_CHECKING:
    import urllib3

LARGEST_MANIFEST = 4 * 1024 * 1024
"""The bytes that a manifest, or a page of referrers, may have."""

_ACCEPT_MANIFESTS = {"Accept": ", ".join(sorted(MANIFEST_TYPES))}
_PIECE = 256 * 1024
_FOUND_OR_NOT = frozenset({200, 404})
_WRITTEN = frozenset({200, 201})
_READ = frozenset({200, 206})
_NO_SUCH_RANGE = 416
# Registries without the referrers API know neither the path nor, some of them, a digest there.
_REFERRERS_OR_NO_API = frozenset({200, 400, 404, 405})
# Past these a list is a registry's fault or an attack: it ends in an error, and is never cut.
MOST_REFERRERS = 10_000
"""What may refer to one manifest."""
MOST_TAGS = 1_000_000
"""The tags that a repository may have."""


class RepositoryClient:
    """Reads from and writes to one repository, as one identity; safe to share between threads.

    Attributes:
        scopes: What its requests need rights for, in the token specification's form.
    """

    def __init__(
        self,
        repository: Repository,
        transport: Transport,
        deadline: Deadline = NEVER,
        scopes: tuple[str, ...] = (),
    ) -> None:
        self.repository = repository
        self._deadline = deadline
        self.transport = transport
        self.scopes = scopes or (f"repository:{repository.path}:pull",)

    @property
    def deadline(self) -> Deadline:
        """When all of its work must be done: by default, when what is being done must be."""
        return current() if self._deadline is NEVER else self._deadline

    def until(self, deadline: Deadline) -> Self:
        """The same repository as the same identity, with another deadline."""
        other = copy.copy(self)
        other._deadline = deadline
        return other

    def manifest(self, name: str) -> Manifest:
        """Fetch the manifest that a tag or a digest names.

        Raises:
            NotFound: There is none.
            ContentMismatch: What came is not what the digest names.
            UnsupportedContent: It has no media type.
        """
        attempted = f"read the manifest {self._named(name)}"
        answer = self._ask("GET", f"manifests/{name}", attempted, LARGEST_MANIFEST)
        return self._received(name, answer)

    def resolve(self, tag: str) -> Digest | None:
        """The digest that a tag names now, or None if there is no such tag."""
        attempted = f"look up {self._named(tag)}"
        answer = self._ask("HEAD", f"manifests/{tag}", attempted, accept=_FOUND_OR_NOT)
        if answer.status == 404:
            return None
        return told_digest(answer, attempted) or self.manifest(tag).digest

    def find(self, name: str) -> Manifest | None:
        """Fetch the manifest that a tag or a digest names, or None if there is none."""
        try:
            return self.manifest(name)
        except NotFound:
            return None

    def has_manifest(self, digest: Digest) -> bool:
        """Whether the repository holds a manifest with this digest."""
        attempted = f"look up {self._named(digest)}"
        return (
            self._ask("HEAD", f"manifests/{digest}", attempted, accept=_FOUND_OR_NOT).status == 200
        )

    def put_manifest(self, manifest: Manifest, tag: str = "") -> bool:
        """Store a manifest under its digest or, given a tag, let the tag name it.

        Returns:
            Whether the registry says that it has taken note of the manifest's subject.

        Raises:
            ContentMismatch: The registry stored something else.
            UnsupportedContent: The digest is of a kind that the registry does not know.
        """
        name = tag or manifest.digest
        try:
            answer = self._ask(
                "PUT",
                f"manifests/{name}",
                f"write the manifest {self._named(name)}",
                headers={"Content-Type": manifest.media_type},
                body=manifest.content,
                accept=_WRITTEN,
            )
        except ContentMismatch as error:
            if is_canonical(manifest.digest):
                raise
            raise UnsupportedContent(
                f"{self.repository.host} takes no manifest under a digest of another kind than"
                f" sha256: {error}"
            ) from error
        stored = answer.headers.get("Docker-Content-Digest", manifest.digest)
        if stored != manifest.digest:
            raise ContentMismatch(
                f"{self._named(name)} was written with the digest {manifest.digest},"
                f" but {self.repository.host} stored {stored}"
            )
        return "OCI-Subject" in answer.headers

    def referrers(self, digest: Digest) -> list[Descriptor] | None:
        """What refers to a manifest, or None where the registry has no referrers API.

        Raises:
            BeyondLimit: The list does not end, or is longer than any that is of use.
            UnsupportedContent: It is no list, or leads in a circle.
        """
        path = f"referrers/{digest}"
        attempted = f"list what refers to {self._named(digest)}"
        first = self._ask("GET", path, attempted, LARGEST_MANIFEST, accept=_REFERRERS_OR_NO_API)
        if first.status != 200 or is_web_page(first):
            return None
        found: list[Descriptor] = []
        for page in self._pages(path, first, attempted, LARGEST_MANIFEST):
            found += index_entries(Manifest("", digest_of(page.content), page.content))
            check_length(found, MOST_REFERRERS, attempted)
        return found

    def tags(self) -> list[str]:
        """All tags of the repository; none, if there is no such repository.

        Raises:
            BeyondLimit: The list does not end, or is longer than any that is of use.
            UnsupportedContent: It is no list, or leads in a circle.
        """
        path = "tags/list"
        attempted = f"list the tags of {self.repository}"
        first = self._ask("GET", path, attempted, LONGEST_PAGE, accept=_FOUND_OR_NOT)
        if first.status == 404:
            return []
        found: list[str] = []
        for page in self._pages(path, first, attempted, LONGEST_PAGE):
            check_count(page, MOST_TAGS, attempted)
            found += listed_tags(page)
            check_length(found, MOST_TAGS, attempted)
        return found

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository holds a blob with this digest."""
        attempted = f"look up the blob {self._named(digest)}"
        return self._ask("HEAD", f"blobs/{digest}", attempted, accept=_FOUND_OR_NOT).status == 200

    @contextmanager
    def blob(
        self, blob: Blob, start: int = 0, tries: Tries | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Read a blob, from a byte onwards, piece by piece, without holding it in memory.

        Args:
            blob: What to read.
            start: The number of the first byte that is wanted.
            tries: How often it may still be asked for; default: as often as anything.

        Raises:
            NotFound: The repository does not have it.
            RegistryUnavailable: The registry broke off; raised while the pieces are read.
        """
        onwards = self._reading(blob, start)
        with self.transport.stream(onwards, tries) as answer:
            if answer.status != _NO_SUCH_RANGE:
                yield _pieces(answer, onwards, start if answer.status == 200 else 0)
                return
        # Not every server behind one name takes ranges: what was read comes again, and is skipped.
        whole = self._reading(blob)
        with self.transport.stream(whole, tries) as answer:
            yield _pieces(answer, whole, start)

    def mount(self, blob: Blob, source: Repository | None) -> str | None:
        """Link a blob of another repository of the same registry into this one.

        One request asks whether the blob is there, mounts it, or opens an upload for it. Without
        a source the registry may still find the blob by itself.

        Returns:
            None when the blob is here now; else the upload's location, for ``upload``.
        """
        query = {"mount": blob.digest} | ({"from": source.path} if source else {})
        return self._open_upload(blob, query)

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
        attempted = f"write the blob {self._named(blob.digest)}"
        self.transport.send(
            Request(
                "PUT",
                self.repository.host,
                _with_digest(location, blob.digest, attempted),
                attempted,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(blob.size),
                },
                body=content,
                accept=_WRITTEN,
                scopes=self.scopes,
                deadline=self.deadline,
            )
        )

    def read_blob(self, blob: Blob, most: int) -> bytes:
        """Read a small blob into memory.

        Args:
            blob: Which one.
            most: The bytes that it may have.

        Raises:
            ContentMismatch: What came is not what the digest names.
            NotFound: The repository does not have it.
            UnsupportedContent: It is larger than that.
        """
        if blob.size > most:
            raise UnsupportedContent(
                f"{self._named(blob.digest)} has {blob.size} bytes, and {most} are read at most"
            )
        content = bytearray()
        with self.blob(blob) as pieces:
            for piece in pieces:
                content += piece
                if len(content) > blob.size:
                    break
        if digest_of(bytes(content), algorithm_of(blob.digest)) != blob.digest:
            raise ContentMismatch(
                f"{self.repository.host} sent bytes for {self._named(blob.digest)} that do not"
                " have that digest"
            )
        return bytes(content)

    def put_blob(self, content: bytes) -> None:
        """Have a small blob in the repository; it is sent only if it is not found there.

        An upload that fails is not gone on with, since some of it may have arrived: the blob is
        sent again through another one.
        """
        blob = Blob(digest_of(content), len(content))
        tries = self.transport.tries()
        while (location := self.mount(blob, None)) is not None:
            try:
                self.upload(location, blob, [content])
                return
            except (RegistryUnavailable, NotFound, ContentMismatch) as error:
                with keeping(self.deadline):
                    tries.failed(error)

    def _reading(self, blob: Blob, start: int = 0) -> Request:
        return self._request(
            "GET",
            f"blobs/{blob.digest}",
            f"read the blob {self._named(blob.digest)}",
            headers={"Range": f"bytes={start}-"} if start else {},
            accept=_READ | {_NO_SUCH_RANGE} if start else _READ,
        )

    def _open_upload(self, blob: Blob, query: dict[str, str]) -> str | None:
        answer = self._ask(
            "POST",
            f"blobs/uploads/?{urlencode(query, safe=':/')}",
            f"write the blob {self._named(blob.digest)}",
            headers={"Content-Length": "0"},
            accept=frozenset({201, 202}),
        )
        if answer.status == 201:
            return None
        if "Location" not in answer.headers:
            raise RegistryUnavailable(
                f"Could not open an upload in {self.repository}: the answer names no location"
            )
        return answer.headers["Location"]

    def _pages(self, path: str, first: Response, attempted: str, most: int) -> Iterator[Response]:
        return all_pages(self._request("GET", path, attempted), first, self.transport, most)

    def _ask(
        self, method: str, path: str, attempted: str, most: int = 64 * 1024, **more: Any
    ) -> Response:
        return self.transport.send(self._request(method, path, attempted, **more), most)

    def _request(self, method: str, path: str, attempted: str, **more: Any) -> Request:
        url = self._path(path)
        reads_manifest = method in ("GET", "HEAD") and "/manifests/" in url
        more.setdefault("headers", _ACCEPT_MANIFESTS if reads_manifest else {})
        host = self.repository.host
        return Request(
            method, host, url, attempted, scopes=self.scopes, deadline=self.deadline, **more
        )

    def _path(self, path: str) -> str:
        return path if path.startswith("/") else f"/v2/{self.repository.path}/{path}"

    def _received(self, name: str, answer: Response) -> Manifest:
        told = told_digest(answer, f"read {self._named(name)}")
        expected = parse_digest(name) if ":" in name else told
        digest = digest_of(answer.content, algorithm_of(expected) if expected else "sha256")
        if expected and digest != expected:
            raise ContentMismatch(
                f"The manifest {self._named(name)} should have the digest {expected},"
                f" but {self.repository.host} sent one with {digest}"
            )
        return Manifest(media_type(answer), digest, answer.content)

    def _named(self, name: str) -> Reference:
        if ":" in name:
            return Reference(self.repository, digest=Digest(name))
        return Reference(self.repository, tag=name)


def between(
    source: Repository,
    destination: Repository,
    reader: Transport,
    writer: Transport,
    deadline: Deadline = NEVER,
) -> tuple[RepositoryClient, RepositoryClient]:
    """Clients for the two sides of a copy, each with the rights that its side needs.

    Inside one registry the writer needs the source's right as well, to mount from it; where both
    sides are one identity, both rights are asked for in one token. Another identity is not asked
    to show a right that it need not have: a token endpoint may refuse it as a whole.
    """
    pull = f"repository:{source.path}:pull"
    push = f"repository:{destination.path}:pull,push"
    together = source.host == destination.host and reader is writer
    writes = (push, pull) if together else (push,)
    reads = writes if together else (pull,)
    return (
        RepositoryClient(source, reader, deadline, reads),
        RepositoryClient(destination, writer, deadline, writes),
    )


def writer(
    repository: Repository, transport: Transport, deadline: Deadline = NEVER
) -> RepositoryClient:
    """A client for a repository that is written to, with the right to do so."""
    scopes = (f"repository:{repository.path}:pull,push",)
    return RepositoryClient(repository, transport, deadline, scopes)


def _with_digest(location: str, digest: Digest, attempted: str) -> str:
    """Where an upload is closed: its location, with the digest of what was sent."""
    try:
        parts = urlsplit(location)
    except ValueError as error:
        # It may be signed, so not all of it is to be read.
        place = location.partition("?")[0]
        raise RegistryUnavailable(
            f"Could not {attempted}: the upload is at {place!r:.200}, which is no URL"
        ) from error
    # What stands there already may be signed, so it is left as it is.
    query = "&".join(filter(None, (parts.query, urlencode({"digest": digest}))))
    return parts._replace(query=query).geturl()


def _pieces(answer: urllib3.BaseHTTPResponse, request: Request, skipped: int) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError

    try:
        while piece := read_piece(answer, _PIECE):
            if skipped:
                piece, skipped = piece[skipped:], max(0, skipped - len(piece))
                if not piece:
                    continue
            yield piece
        if request.deadline.left <= 0:
            # What was cut looks as if it had ended, where no length is stated.
            raise no_answer(request, TimeoutError())
    except HTTPError as error:
        raise no_answer(request, error, "broke off") from error
