"""A registry that answers anything at all, behind no network.

Whatever it says, its credential goes to its own origin alone, as the parser that connects reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import urllib3
from urllib3.util import parse_url

from promotion.deadline import NEVER, Deadline
from promotion.errors import PromotionError
from promotion.registry import catalog
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Body, Connections
from promotion.registry.credentials import GivenToken
from promotion.registry.fetch import Answer
from promotion.registry.manifest import (
    OCI_MANIFEST,
    Blob,
    Descriptor,
    index_entries,
    successors,
)
from promotion.registry.reference import Digest, Repository
from promotion.registry.referrers import described, keep_listed, list_referrers
from promotion.registry.retry import Patience
from promotion.registry.transport import Transport
from tests.fuzz.inputs import DIGEST, OTHER

HOST = "registry.example"
WRITTEN = Descriptor(OCI_MANIFEST, OTHER, 2)


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class _Answering(Connections):
    """Gives the answers in order, the last one again and again."""

    def __init__(self, answers: Sequence[Said]) -> None:
        super().__init__()
        self._answers = list(answers)

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = None,
        deadline: Deadline = NEVER,  # noqa: ARG002
    ) -> urllib3.BaseHTTPResponse:
        address = parse_url(url)
        assert (address.scheme, address.host, address.auth) == ("https", HOST, None)
        assert "Authorization" not in headers or address.port in (None, 443)
        return self._answer(method, body)

    def _answer(self, method: str, body: Body) -> urllib3.BaseHTTPResponse:
        if body is not None and not isinstance(body, bytes):
            for _ in body:
                pass
        said = self._answers.pop(0) if self._answers[1:] else self._answers[0]
        return urllib3.HTTPResponse(
            BytesIO(said.content),
            said.headers,
            said.status,
            preload_content=False,
            decode_content=False,
            request_method=method,
        )

    def open_elsewhere(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        deadline: Deadline,  # noqa: ARG002
        forbids: Callable[[str], bool],  # noqa: ARG002 - there is no network
    ) -> urllib3.BaseHTTPResponse:
        address = parse_url(url)
        assert (address.scheme, address.auth) == ("https", None)
        assert "Authorization" not in headers
        return self._answer(method, body)

    def fetch(
        self,
        method: str,  # noqa: ARG002
        url: str,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes | None = None,  # noqa: ARG002
    ) -> Answer:
        address = parse_url(url)
        assert (address.scheme, address.host, address.auth) == ("https", HOST, None)
        said = self._answers[-1]
        return Answer(said.status, urllib3.HTTPHeaderDict(said.headers), said.content)


def ask_everything(answers: Sequence[Said]) -> None:
    """Ask a registry that gives these answers for all that registries are asked for.

    Each question ends in an answer or in an error of the product's own.
    """
    blob = Blob(Digest(DIGEST), 5)
    for question in _questions(blob):
        connections = _Answering(answers)
        authenticator = RegistryAuthenticator(GivenToken("secret"), connections.fetch)
        transport = Transport(authenticator, connections, Patience(tries=1))
        client = RepositoryClient(Repository(HOST, "shop"), transport, Deadline.after(1))
        with suppress(PromotionError):
            question(client)


def _questions(blob: Blob) -> list[Callable[[RepositoryClient], object]]:
    def read(client: RepositoryClient) -> None:
        with client.blob(blob, 2) as pieces:
            for _ in pieces:
                pass

    def follow(client: RepositoryClient) -> None:
        manifest = client.manifest("1.0")
        for understood in (successors, index_entries, described):
            with suppress(PromotionError):
                understood(manifest)

    return [
        follow,
        read,
        lambda client: client.resolve("1.0"),
        lambda client: client.tags(),
        lambda client: list_referrers(client, Digest(DIGEST)),
        lambda client: keep_listed(client, Digest(DIGEST), [WRITTEN]),
        lambda client: client.read_blob(blob, 5),
        lambda client: client.put_blob(b"bytes"),
        lambda client: client.upload(client.start_upload(blob), blob, [b"bytes"]),
        lambda client: catalog.repositories(HOST, client.transport, client.deadline),
    ]
