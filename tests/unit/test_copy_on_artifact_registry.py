"""The engine on the Artifact Registry profile: whichever way the open questions are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dev import images
from dev.artifact_registry import Answers, ArtifactRegistry
from promotion.errors import AccessDenied, RegistryUnavailable
from promotion.events import DENIED, PROMOTED, Event
from promotion.messages import Outcome, TestResult
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient, between
from promotion.registry.connections import Connections
from promotion.registry.copy import copy
from promotion.registry.credentials import Token
from promotion.registry.manifest import Blob, Manifest, successors
from promotion.registry.reference import Reference, Repository
from promotion.registry.report import Copied, Way
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.promoting import promoter

DEV = "acme-dev/shop/fast-feedback/shop"
PROD = "acme-prod/shop/prod/shop"
EVERYTHING = {"acme-dev": "writer", "acme-prod": "writer"}
WRITER = {"acme-prod": "writer"}


class Renewable:
    """An identity whose access token ends; ``renew`` brings the next one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.renewals = 0

    def find(self, host: str) -> Token:  # noqa: ARG002 - the protocol's parameter
        """The present token."""
        return Token(self.tokens[0])

    def renew(self, host: str) -> None:  # noqa: ARG002 - the protocol's parameter
        """Go on to the next token."""
        self.renewals += 1
        self.tokens = self.tokens[1:] or self.tokens


Shown = Callable[..., Transport]


@pytest.fixture
def shown() -> Iterator[Shown]:
    """Makes transports that show credentials."""
    with ExitStack() as stack:

        def shown(credentials: Renewable) -> Transport:
            connections = Connections()
            stack.callback(connections.close)
            authenticator = RegistryAuthenticator(credentials, connections.fetch)
            return Transport(authenticator, connections)

        yield shown


@contextmanager
def registry_of(folder: Path, **options: Any) -> Iterator[ArtifactRegistry]:
    """The profile, with an administrator's token besides those given."""
    tokens = {"admin": EVERYTHING, **options.pop("tokens", {})}
    with ArtifactRegistry(folder, tokens=tokens, **options) as registry:
        yield registry


def push(registry: ArtifactRegistry, shown: Shown) -> Manifest:
    """Push an image to the stage that images come from."""
    transport = shown(Renewable("admin"))
    scopes = (f"repository:{DEV}:pull,push",)
    repository = RepositoryClient(Repository(registry.host, DEV), transport, scopes=scopes)
    return images.push_image(repository, [b"one" * 1000, b"two" * 1000], tag="1.0")


def promote(registry: ArtifactRegistry, reader: Transport, writer: Transport) -> Copied:
    """Copy the image from dev to prod, and set its tag."""
    source, destination = between(
        Repository(registry.host, DEV), Repository(registry.host, PROD), reader, writer
    )
    image = source.manifest("1.0")
    copied = copy(image, source, destination)
    destination.put_manifest(image, "1.0")
    return copied


def assert_arrived(registry: ArtifactRegistry, image: Manifest, shown: Shown) -> None:
    """The image is in prod, whole."""
    prod = RepositoryClient(Repository(registry.host, PROD), shown(Renewable("admin")))
    assert prod.manifest("1.0") == image
    for blob in successors(image).blobs:
        with prod.blob(Blob(blob.digest, blob.size)) as pieces:
            assert len(b"".join(pieces)) == blob.size


ANSWERS = [
    {},
    {"bearer_token_writes": False},
    {"bearer_token_writes": False, "issued_token_has_scopes": True},
    {"upload_session_elsewhere": False},
    {"mount_without_source": 202},
    {"absent_subject": False},
    {"referrer_sizes_are_true": False},
    {"referrer_tags": True},
]


@pytest.mark.parametrize("answers", ANSWERS, ids=repr)
def test_an_image_is_mounted_whatever_the_answers(
    tmp_path: Path, shown: Shown, answers: dict[str, Any]
) -> None:
    """One identity promotes inside one host without sending a byte of a blob."""
    with registry_of(tmp_path, answers=Answers(**answers)) as registry:
        image = push(registry, shown)
        transport = shown(Renewable("admin"))
        copied = promote(registry, transport, transport)
        assert {blob.way for blob in copied.blobs} == {Way.MOUNTED}
        assert_arrived(registry, image, shown)


@pytest.mark.parametrize("redirect", [302, 307])
@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize(
    "mount", [{"cross_project_mount": False}, {"unreadable_mount": 202}, {"unreadable_mount": 403}]
)
def test_where_a_mount_is_refused_the_bytes_travel(
    tmp_path: Path, shown: Shown, redirect: Any, refuses: bool, mount: dict[str, Any]
) -> None:
    """Each side keeps its own identity, and downloads are followed without a credential."""
    answers = Answers(blob_redirect=redirect, download_refuses_authorization=refuses, **mount)
    tokens = {"reader": {"acme-dev": "reader"}, "writer": WRITER}
    with registry_of(tmp_path, tokens=tokens, answers=answers) as registry:
        image = push(registry, shown)
        copied = promote(registry, shown(Renewable("reader")), shown(Renewable("writer")))
        assert {blob.way for blob in copied.blobs} == {Way.COPIED}
        assert_arrived(registry, image, shown)
        downloads = [each for each in registry.served if "/artifacts-downloads/" in each.path]
        assert downloads
        assert not any(each.authorization for each in downloads)


@pytest.mark.parametrize("challenged", [True, False])
def test_a_token_that_ends_in_the_middle_is_renewed_once(
    tmp_path: Path, shown: Shown, challenged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy goes on with the new token, and nobody asks for more than that one."""
    answers = Answers(unknown_token_is_challenged=challenged)
    tokens = {"first": EVERYTHING, "second": EVERYTHING}
    with registry_of(tmp_path, tokens=tokens, answers=answers) as registry:
        image = push(registry, shown)
        identity = Renewable("first", "second")
        transport = shown(identity)
        mount = RepositoryClient.mount

        def expired(*arguments: Any) -> str | None:
            registry.access.expire("first")
            return mount(*arguments)

        monkeypatch.setattr(RepositoryClient, "mount", expired)
        promote(registry, transport, transport)
        assert identity.renewals == 1
        assert_arrived(registry, image, shown)


def test_without_the_right_to_write_nothing_is_written(tmp_path: Path, shown: Shown) -> None:
    """A reader's promotion is refused with the registry's own words, and with what to grant."""
    with registry_of(tmp_path, tokens={"reader": {"acme-dev": "reader"}}) as registry:
        push(registry, shown)
        reader = shown(Renewable("reader"))
        with pytest.raises(AccessDenied, match=r"artifactregistry\.repositories.*roles/"):
            promote(registry, reader, reader)


@pytest.mark.parametrize("retry_after", [None, "0"])
def test_a_quota_that_is_used_up_costs_time_only(
    tmp_path: Path, shown: Shown, retry_after: str | None
) -> None:
    """429s on mounts are waited out; every blob is mounted in the end."""
    with registry_of(tmp_path) as registry:
        image = push(registry, shown)
        registry.quota.refuse_next(4, matching="POST .*mount=", retry_after=retry_after)
        transport = shown(Renewable("admin"))
        copied = promote(registry, transport, transport)
        assert {blob.way for blob in copied.blobs} == {Way.MOUNTED}
        assert_arrived(registry, image, shown)


def test_a_quota_that_stays_used_up_is_worth_another_delivery(tmp_path: Path, shown: Shown) -> None:
    """Patience ends, and the error is one that leads to another delivery."""
    with registry_of(tmp_path) as registry:
        push(registry, shown)
        registry.quota.refuse_next(1000, matching="POST .*mount=", retry_after="0")
        transport = shown(Renewable("admin"))
        with pytest.raises(RegistryUnavailable, match="TOOMANYREQUESTS"):
            promote(registry, transport, transport)


def test_an_immutable_tag_of_the_same_digest_is_no_obstacle_to_a_copy(
    tmp_path: Path, shown: Shown
) -> None:
    """What an immutable tag names already can be written to it again, where that is allowed."""
    with registry_of(tmp_path, immutable_tags=True) as registry:
        image = push(registry, shown)
        transport = shown(Renewable("admin"))
        for _ in range(2):
            promote(registry, transport, transport)
        assert_arrived(registry, image, shown)


@pytest.mark.parametrize("same_digest_again", [True, False])
@pytest.mark.parametrize("twin", [True, False], ids=["a twin", "another image"])
def test_a_race_for_an_immutable_tag(
    tmp_path: Path,
    shown: Shown,
    monkeypatch: pytest.MonkeyPatch,
    same_digest_again: bool,
    twin: bool,
) -> None:
    """Refused by immutability, a tag with our digest is success, and with another a denial."""
    answers = Answers(same_digest_again=same_digest_again)
    with registry_of(tmp_path, answers=answers, immutable_tags=True) as registry:
        image = push(registry, shown)
        transport = shown(Renewable("admin"))
        put_manifest = RepositoryClient.put_manifest

        def overtaken(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
            if tag == "1.0":
                monkeypatch.undo()
                rival = manifest if twin else images.push_image(repository, [])
                put_manifest(repository, rival, tag)
            return put_manifest(repository, manifest, tag)

        monkeypatch.setattr(RepositoryClient, "put_manifest", overtaken)
        events = handle(registry, transport, image)
        kinds = [event.attributes["ce-type"] for event in events]
        assert kinds == [PROMOTED if twin else DENIED]


def handle(registry: ArtifactRegistry, transport: Transport, image: Manifest) -> list[Event]:
    """Let the promoter handle a success; the events that it publishes."""
    text = f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {registry.host}/acme-dev/shop
        promotes_to: prod
        gate: {{suites: [functional]}}
      prod: {{registry: {registry.host}/acme-prod/shop}}
"""
    topic = RecordedTopic()
    now = datetime.now(UTC)
    reference = Reference(Repository(registry.host, DEV), "1.0")
    result = TestResult(reference, image.digest, "functional", Outcome.SUCCESS, now, now)
    promoter(text, transport, topic).handle(result)
    return topic.events
