"""A hostile registry costs bounded memory and time, and gets nothing but an error of our own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from http.server import BaseHTTPRequestHandler

import pytest

from dev.anonymous import anonymous_transport
from promotion.deadline import Deadline
from promotion.errors import (
    BeyondLimit,
    ContentMismatch,
    DeadlineExceeded,
    PromotionError,
)
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.copy import copy
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import AllAttachments, list_referrers
from promotion.registry.retry import Patience
from promotion.registry.transport import Transport
from tests.unit.hostile import (
    MALICE,
    SUBJECT,
    WITHOUT_PAUSE,
    HostileRegistry,
    Say,
    endless_body,
    endless_refusal,
    lie,
    nested,
    whole,
)
from tests.unit.slow import SlowServer, dripping

MOST_MEMORY = 192 * 1024 * 1024
"""For a list of 64 MiB as objects, and the registry itself; with its way it took gigabytes."""

MOST_RESIDENT = 128
"""The MiB of a whole process, of which a third is Python and its libraries."""

SECONDS = 300
"""What nothing here comes near: it ends by what is too much, and not by the time."""

CONFIG = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": SUBJECT, "size": 2}


@pytest.fixture
def impatient() -> Iterator[Transport]:
    """Requests that are sent once."""
    transport = anonymous_transport(Patience(tries=1))
    yield transport
    transport.close()


def questions(client: RepositoryClient) -> list[Callable[[], object]]:
    """All that a registry is asked for before anything is copied."""

    def read_blob() -> None:
        blob = Blob(Digest(SUBJECT), 5)
        client.read_blob(blob, 5)

    return [
        partial(client.manifest, SUBJECT),
        partial(client.resolve, "1.0"),
        client.tags,
        partial(list_referrers, client, SUBJECT),
        read_blob,
        partial(client.put_blob, b"bytes"),
    ]


def entry(manifest: Manifest) -> dict[str, object]:
    """What points to a manifest."""
    size = len(manifest.content)
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}


class Fabricating:
    """Invents for each manifest another one that refers to it, without end, and all are true."""

    def __init__(self) -> None:
        self.image = self._made({"config": CONFIG, "layers": []})

    def __call__(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        _, kind, name = asked.path.rsplit("/", 2)
        if asked.command in ("POST", "PUT"):
            asked.send_response(201)
            asked.send_header("Content-Length", "0")
            asked.end_headers()
        elif kind == "referrers":
            subject = entry(self._known[name])
            made = self._made({"config": CONFIG, "layers": [], "subject": subject})
            whole(asked, json.dumps({"manifests": [entry(made)]}).encode())
        elif name in self._known:
            whole(asked, self._known[name].content)
        else:
            asked.send_response(404)
            asked.send_header("Content-Length", "0")
            asked.end_headers()

    @cached_property
    def _known(self) -> dict[str, Manifest]:
        return {}

    def _made(self, fields: dict[str, object]) -> Manifest:
        content = json.dumps({"schemaVersion": 2, **fields}).encode()
        made = Manifest(OCI_MANIFEST, digest_of(content), content)
        self._known[made.digest] = made
        return made


@pytest.mark.parametrize("malice", MALICE, ids=lambda malice: malice.__name__)
def test_malice_costs_little(malice: Say, impatient: Transport) -> None:
    """Each question ends, in an answer or an error of ours, long before the deadline."""
    refused = 0
    with HostileRegistry(malice) as registry:
        deadline = Deadline.after(SECONDS)
        client = RepositoryClient(Repository(registry.host, "shop"), impatient, deadline)
        tracemalloc.start()
        try:
            for question in questions(client):
                try:
                    question()
                except DeadlineExceeded:
                    raise
                except PromotionError:
                    refused += 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        impatient.close()
    assert refused > 0
    assert peak < MOST_MEMORY


@pytest.mark.parametrize("named", ["1.0", digest_of(gzip.compress(b"{}", mtime=0))])
def test_what_comes_compressed_stays_so(named: str, impatient: Transport) -> None:
    """It is asked for as it is, and what is sent otherwise is taken as it was sent."""
    sent = gzip.compress(b"{}", mtime=0)
    asked_for: list[str | None] = []

    def compressed(asked: BaseHTTPRequestHandler) -> None:
        asked_for.append(asked.headers["Accept-Encoding"])
        whole(asked, sent, Content_Encoding="gzip")

    with HostileRegistry(compressed) as registry:
        client = RepositoryClient(Repository(registry.host, "shop"), impatient)
        assert client.manifest(named).content == sent
        assert client.read_blob(Blob(digest_of(sent), len(sent)), 99) == sent
        impatient.close()
    assert asked_for == ["identity", "identity"]


def test_other_bytes_than_were_asked_for_are_no_blob_and_no_manifest(impatient: Transport) -> None:
    """Whether it is what was read, or what the registry says that it has kept."""
    said = {"Docker_Content_Digest": SUBJECT}
    with HostileRegistry(lambda asked: whole(asked, b"other", **said)) as registry:
        client = RepositoryClient(Repository(registry.host, "shop"), impatient)
        with pytest.raises(ContentMismatch):
            client.read_blob(Blob(digest_of(b"bytes"), 5), 5)
        with pytest.raises(ContentMismatch):
            client.put_manifest(Manifest(OCI_MANIFEST, digest_of(b"{}"), b"{}"))
        impatient.close()


def test_an_answer_of_another_service_is_read_up_to_a_limit() -> None:
    """A token endpoint is one that a registry may have named."""
    connections = Connections()
    with HostileRegistry(lambda asked: whole(asked, b"x" * 2 * 1024 * 1024)) as service:
        answer = connections.fetch("GET", f"http://{service.host}/token", {})
        assert len(answer.content) == 1024 * 1024
        connections.close()


@pytest.mark.parametrize("malice", WITHOUT_PAUSE, ids=lambda malice: malice.__name__)
def test_what_never_pauses_ends_with_the_deadline(malice: Say, impatient: Transport) -> None:
    """It is cut off in the middle, and held in no memory meanwhile."""
    with HostileRegistry(malice) as registry:
        deadline = Deadline.after(0.3)
        client = RepositoryClient(Repository(registry.host, "shop"), impatient, deadline)
        tracemalloc.start()
        try:
            with pytest.raises(DeadlineExceeded):
                client.manifest(SUBJECT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        impatient.close()
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_a_byte_now_and_then_ends_with_the_deadline(beginning: bytes, impatient: Transport) -> None:
    """Whether it is the headers that drip or the body."""
    with SlowServer(dripping(beginning)) as registry:
        deadline = Deadline.after(0.3)
        client = RepositoryClient(Repository(registry.host, "shop"), impatient, deadline)
        with pytest.raises(DeadlineExceeded):
            client.tags()


def test_attachments_of_attachments_without_end_end(impatient: Transport) -> None:
    """A registry can invent them faster than anybody copies them: the image is not copied."""
    fabricating = Fabricating()
    with HostileRegistry(fabricating) as registry:
        source = RepositoryClient(Repository(registry.host, "shop"), impatient)
        with AllAttachments(source) as attachments:
            with pytest.raises(BeyondLimit, match="more than 16 levels"):
                copy(fabricating.image, source, source, attachments)
        impatient.close()


PROGRAM = """
import os, sys
from bench import memory
from promotion import cli
try:
    sys.exit(cli.main(sys.argv[1:], os.environ))
finally:
    print("peak", memory.peak(os.getpid()), file=sys.stderr)
"""


@pytest.mark.parametrize("malice", [endless_body, endless_refusal, nested, lie])
def test_a_whole_process_stays_small(malice: Say) -> None:
    """`promotion copy` from such a registry is refused, and costs hardly more than idling."""
    with HostileRegistry(malice) as registry:
        source, destination = f"{registry.host}/shop@{SUBJECT}", f"{registry.host}/other:1.0"
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, "copy", source, destination],
            capture_output=True,
            text=True,
            env={**os.environ, "DOCKER_CONFIG": "/nonexistent"},
            check=False,
        )
    assert ended.returncode == 1
    assert float(ended.stderr.rpartition("peak")[2]) < MOST_RESIDENT
