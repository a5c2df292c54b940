"""Functions in several processes that come to promote the same image at the same moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from promotion.errors import AccessDenied, Contended, PromotionError, RegistryRefused
from promotion.events import PROMOTED, Event
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.kinds import Said
from promotion.evidence.record import PromotionRecord
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from tests.topics import RecordedTopic
from tests.unit.promoting import promoter
from tests.unit.shop import PUBLISHED, Shop, codes, kinds

REFUSALS = [AccessDenied("403"), RegistryRefused("400")]
EARLY, LATE = PUBLISHED, PUBLISHED + timedelta(seconds=1)
PATIENCE = 60


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Where a second process does its part."""
    with ThreadPoolExecutor(1, thread_name_prefix="other") as thread:
        yield thread


def in_the_other() -> bool:
    """Whether the second process is asking."""
    return threading.current_thread().name.startswith("other")


def test_what_is_told_twice_is_never_told_differently(
    shop: Shop, other: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that was decided upon first, and arrives last, changes no event going out."""
    digest = shop.push().digest
    decided, announced = threading.Event(), threading.Event()
    attach = EvidenceStore.attach

    def held_up(
        store: EvidenceStore,
        repository: RepositoryClient,
        subject: Manifest,
        said: Said,
        known: Evidence,
    ) -> Attested[Said]:
        if in_the_other() and isinstance(said, PromotionRecord):
            decided.set()
            assert announced.wait(PATIENCE)
        return attach(store, repository, subject, said, known)

    monkeypatch.setattr(EvidenceStore, "attach", held_up)
    slow: list[Future[None]] = []

    class Waiting(RecordedTopic):
        """While it takes an event, the second process does all that it still has to do."""

        def publish(self, event: Event) -> str:
            announced.set()
            with pytest.raises(Contended, match="by another process"):
                slow[0].result(PATIENCE)
            return super().publish(event)

    topic = Waiting()
    first = promoter(shop.promotion_yaml, shop.transport, topic, lambda: LATE)
    second = promoter(shop.promotion_yaml, shop.transport, topic, lambda: EARLY)
    result = shop.result(digest)
    slow.append(other.submit(second.handle, result))
    assert decided.wait(PATIENCE)
    first.handle(result)
    assert shop.handle(result) == []
    (event,) = topic.events
    assert kinds([event]) == [PROMOTED]
    assert json.loads(event.data)["timestamp"] == "2026-01-31T12:00:01Z"
    assert len(shop.evidence("extended-test", digest).records) == 2


def test_if_all_have_seen_all_one_of_them_announces(
    shop: Shop, other: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one whose record they agree on; the other one's next delivery finds that this is done."""
    digest = shop.push().digest
    together = threading.Barrier(2)
    attach = EvidenceStore.attach

    def at_once(
        store: EvidenceStore,
        repository: RepositoryClient,
        subject: Manifest,
        said: Said,
        known: Evidence,
    ) -> Attested[Said]:
        if not isinstance(said, PromotionRecord):
            return attach(store, repository, subject, said, known)
        together.wait(PATIENCE)
        try:
            return attach(store, repository, subject, said, known)
        finally:
            together.wait(PATIENCE)

    monkeypatch.setattr(EvidenceStore, "attach", at_once)
    result = shop.result(digest)
    first = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: EARLY)
    second = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: LATE)
    beside = other.submit(second.handle, result)
    with suppress(Contended):
        first.handle(result)
    with suppress(Contended):
        beside.result(PATIENCE)
    assert shop.stage("extended-test").resolve("1.0") == digest
    (event,) = shop.topic.events
    assert json.loads(event.data)["timestamp"] == "2026-01-31T12:00:01Z"
    assert shop.handle(result) == []


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    ("first", "seen"), [("twin", ["suite-succeeded"]), ("rival", ["tag-conflict"])]
)
def test_a_tag_that_is_refused_because_it_is_there(
    refusal: PromotionError,
    first: str,
    seen: list[str],
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a tag cannot be set again, a twin's is as good as ours, and a rival's is a conflict."""
    image = shop.push()
    rival = shop.push(stage="extended-test", content=b"rival", tag="other")
    put = RepositoryClient.put_manifest

    def refuse(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        if tag != "1.0":
            return put(repository, manifest, tag)
        put(repository, image if first == "twin" else rival, tag)
        raise refusal

    monkeypatch.setattr(RepositoryClient, "put_manifest", refuse)
    (event,) = shop.handle(shop.result(image.digest))
    assert codes(event) == seen


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_tag_that_is_refused_and_not_there(
    refusal: PromotionError, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it was refused for another reason, and nothing is said of it."""
    image = shop.push()
    put = RepositoryClient.put_manifest

    def refuse(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        if tag == "1.0":
            raise refusal
        return put(repository, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", refuse)
    with pytest.raises(type(refusal)):
        shop.handle(shop.result(image.digest))
    assert shop.topic.events == []
