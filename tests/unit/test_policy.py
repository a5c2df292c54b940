"""The promotion.yaml that judges, kept beside the images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from socket import socket
from threading import Event

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import policy
from promotion.deadline import Cancellation, Deadline, keeping
from promotion.errors import (
    DeadlineExceeded,
    NotFound,
    RegistryUnavailable,
    Retryable,
    UnsupportedContent,
)
from promotion.policy import Policy, PolicyKeeper
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.attesting import KEY, STRANGER
from tests.unit.slow import SlowServer

FIRST = Policy(b"pipelines: {}  # first\n", KEY.public.pem.encode())
SECOND = Policy(b"pipelines: {}  # second\n", KEY.public.pem.encode())
MORNING = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)

STAGE = "shop/extended-test"
PATIENCE = 60
"""Seconds after which a thread that is waited for is taken to be stuck."""


@pytest.fixture
def place(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """The repository of a stage's policies."""
    return RepositoryClient(policy.repository_of(Repository(near.host, STAGE)), transport)


def in_force(place: RepositoryClient) -> Policy:
    """The newest policy."""
    return policy.in_force(place)[1]


def keep(place: RepositoryClient, kept: Policy, hours: float = 0) -> None:
    """Let a function that judges by a policy start, so many hours after MORNING, and judge."""
    PolicyKeeper(lambda: kept, lambda: MORNING + timedelta(hours=hours)).keep(place)


def test_it_lies_beside_the_images(place: RepositoryClient, near: EmbeddedRegistry) -> None:
    """In a repository of the stage that no image is in."""
    assert str(place.repository) == f"{near.host}/shop/extended-test/promotion-policy"


def test_it_is_an_oci_artifact_with_two_files(place: RepositoryClient) -> None:
    """As oras pulls it: promotion.yaml byte for byte, and the public keys."""
    keep(place, FIRST)
    (tag,) = place.tags()
    artifact = json.loads(place.manifest(tag).content)
    assert artifact == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.promotion.policy.v1",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "application/yaml",
                "digest": digest_of(FIRST.text),
                "size": len(FIRST.text),
                "annotations": {"org.opencontainers.image.title": "promotion.yaml"},
            },
            {
                "mediaType": "application/x-pem-file",
                "digest": digest_of(FIRST.keys),
                "size": len(FIRST.keys),
                "annotations": {"org.opencontainers.image.title": "keys.pem"},
            },
        ],
    }


def test_its_tag_says_since_when_it_is_in_force(place: RepositoryClient) -> None:
    """The moment comes first, so that tags sort by it, and then its digest."""
    keep(place, FIRST)
    digest = FIRST.manifest.digest.partition(":")[2]
    assert place.tags() == [f"20260131T080000Z-{digest[:12]}"]
    assert policy.in_force(place) == (f"20260131T080000Z-{digest[:12]}", FIRST)


def test_a_record_names_it_where_it_is(place: RepositoryClient, near: EmbeddedRegistry) -> None:
    """The URI leads to the artifact, and the digest is that of promotion.yaml."""
    keep(place, FIRST)
    named = FIRST.at(Repository(near.host, STAGE))
    repository, _, digest = named.uri.removeprefix("oci://").partition("@")
    assert repository == str(place.repository)
    assert named.digest == {"sha256": hashlib.sha256(FIRST.text).hexdigest()}
    assert policy.read(place, digest) == FIRST


@pytest.mark.parametrize("kept", [FIRST, Policy(b"pipelines: {}\n")], ids=["signed", "unsigned"])
def test_it_is_read_back(place: RepositoryClient, kept: Policy) -> None:
    """With the keys that it trusts, or without where nothing is signed."""
    keep(place, kept)
    assert in_force(place) == kept


def test_where_none_was_kept_none_is_in_force(place: RepositoryClient) -> None:
    """Also in a repository that does not exist yet."""
    with pytest.raises(NotFound, match="holds no policy"):
        policy.in_force(place)


def test_it_is_kept_once(place: RepositoryClient, near: EmbeddedRegistry) -> None:
    """By one function only the first time, and by the next one not at all."""
    keeper = PolicyKeeper(lambda: FIRST, lambda: MORNING)
    keeper.keep(place)
    before = len(near.served)
    keeper.keep(place)
    assert len(near.served) == before
    keep(place, FIRST, hours=1)
    assert len(place.tags()) == 1


def test_the_newest_is_in_force(place: RepositoryClient) -> None:
    """Another policy is another tag, and the older one stays, for the records that name it."""
    keep(place, FIRST)
    keep(place, SECOND, hours=1)
    assert in_force(place) == SECOND
    assert policy.read(place, FIRST.manifest.digest) == FIRST


def test_other_keys_are_another_policy(place: RepositoryClient) -> None:
    """Who may sign is part of what judges."""
    keep(place, FIRST)
    keep(place, Policy(FIRST.text, STRANGER.public.pem.encode()), hours=1)
    assert len(place.tags()) == 2
    assert in_force(place).keys == STRANGER.public.pem.encode()


def test_going_back_is_a_new_tag(place: RepositoryClient) -> None:
    """No tag moves, and the policy that was in force first is in force again."""
    for hour, kept in enumerate((FIRST, SECOND, FIRST)):
        keep(place, kept, hours=hour)
    assert len(place.tags()) == 3
    assert in_force(place) == FIRST


def test_each_stage_has_its_own(place: RepositoryClient, transport: Transport) -> None:
    """One function keeps it in all of them."""
    host = place.repository.host
    prod = RepositoryClient(policy.repository_of(Repository(host, "shop/prod")), transport)
    keeper = PolicyKeeper(lambda: FIRST, lambda: MORNING)
    for each in (place, prod):
        keeper.keep(each)
    assert in_force(place) == in_force(prod) == FIRST


def test_other_tags_are_not_policies(place: RepositoryClient) -> None:
    """Whatever else lies there."""
    keep(place, FIRST)
    images.push_image(place, [b"an image"], tag="latest")
    images.push_image(place, [b"an image"], tag="99990101")
    assert in_force(place) == FIRST


def test_a_tag_from_the_future_is_not_in_force_for_ever(place: RepositoryClient) -> None:
    """Whoever could once write to the stage must not name the newest policy from then on."""
    keep(place, SECOND, hours=365 * 24 * 1000)
    keep(place, FIRST)
    keep(place, FIRST, hours=1)
    assert in_force(place) == FIRST
    assert len(place.tags()) == 2


def test_a_tag_that_only_looks_like_its_own_does_not_keep_it_away(place: RepositoryClient) -> None:
    """A record's policy must be there, whatever somebody has put under a name like it."""
    digest = FIRST.manifest.digest.partition(":")[2]
    images.push_image(place, [b"an image"], tag=f"20260130T080000Z-{digest[:12]}")
    keep(place, FIRST)
    assert in_force(place) == FIRST


def test_a_policy_that_cannot_be_had_is_asked_for_again(place: RepositoryClient) -> None:
    """Its keys may come from Cloud KMS, which is out of reach for a moment."""
    within_reach: list[Policy] = []

    def ask() -> Policy:
        if not within_reach:
            raise RegistryUnavailable("not now")
        return within_reach[0]

    keeper = PolicyKeeper(ask, lambda: MORNING)
    with pytest.raises(RegistryUnavailable, match="not now"):
        keeper.keep(place)
    within_reach.append(FIRST)
    keeper.keep(place)
    assert in_force(place) == FIRST


@contextmanager
def stuck(keeper: PolicyKeeper, transport: Transport) -> Iterator[RepositoryClient]:
    """A stage's repository, while a thread keeps the policy there and the registry is silent."""
    asked, wanted = Event(), Cancellation()

    def say_nothing(_: socket, closing: Event) -> None:
        asked.set()
        closing.wait(PATIENCE)

    with SlowServer(say_nothing) as server:
        silent = RepositoryClient(policy.repository_of(Repository(server.host, STAGE)), transport)
        held = silent.until(Deadline.after(PATIENCE).unless(wanted))
        with ThreadPoolExecutor(1) as threads:
            keeping_it = threads.submit(keeper.keep, held)
            assert asked.wait(PATIENCE)
            yield held
            assert not keeping_it.done()
            wanted.call()
            assert isinstance(keeping_it.exception(PATIENCE), Retryable)


def test_a_silent_registry_holds_up_no_other_stage(
    place: RepositoryClient, transport: Transport
) -> None:
    """While one stage's registry says nothing, the policy is kept in another's."""
    keeper = PolicyKeeper(lambda: FIRST, lambda: MORNING)
    with stuck(keeper, transport), keeping(Deadline.after(PATIENCE)):
        keeper.keep(place)
    assert in_force(place) == FIRST


def test_nobody_waits_for_another_longer_than_there_is_time(transport: Transport) -> None:
    """Who needs the policy where a thread is about to keep it ends in time all the same."""
    keeper = PolicyKeeper(lambda: FIRST, lambda: MORNING)
    with stuck(keeper, transport) as silent, keeping(Deadline.after(0.05)):
        with pytest.raises(DeadlineExceeded, match="waiting for another one"):
            keeper.keep(silent)


def odd(place: RepositoryClient, content: bytes) -> str:
    """A manifest of these bytes, by its digest."""
    manifest = Manifest(OCI_MANIFEST, digest_of(content), content)
    place.put_manifest(manifest)
    return manifest.digest


def test_what_is_no_policy_is_told(place: RepositoryClient) -> None:
    """An image, or something else, under a policy's name."""
    image = images.push_image(place, [b"an image"])
    with pytest.raises(UnsupportedContent, match="holds no promotion"):
        policy.read(place, image.digest)
    with pytest.raises(UnsupportedContent, match="is no policy"):
        policy.read(place, odd(place, b'{"schemaVersion": 2}'))
    with pytest.raises(NotFound):
        policy.read(place, "20260131T080000Z-000000000000")


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        ({"digest": "sha256:x", "size": 1}, "is not a digest"),
        ({"digest": digest_of(b"x"), "size": 2 * 1024 * 1024}, "are read at most"),
    ],
)
def test_a_policy_that_cannot_be_read_is_told(
    place: RepositoryClient,
    layer: dict[str, object],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that a registry should not have taken."""
    content = json.dumps({"layers": [{"mediaType": "application/yaml", **layer}]}).encode()
    manifest = Manifest(OCI_MANIFEST, digest_of(content), content)
    monkeypatch.setattr(RepositoryClient, "manifest", lambda *_: manifest)
    with pytest.raises(UnsupportedContent, match=complaint):
        policy.read(place, "any")
