"""What statements cost: each request tells something new, and what was asked once is remembered.

Each test that has a place runs on a registry with the referrers API and on one without it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dev import images
from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from promotion.evidence import attestation
from promotion.evidence.attested import Evidence
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository
from promotion.registry.referrers import fallback_tag, list_referrers
from promotion.registry.transport import Transport
from tests.unit.attached import delete
from tests.unit.attesting import RUN, another, attach, bundle, read, reasons, state, store

Requests = Counter[str]


@pytest.fixture
def next_stage(either: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A repository of the next stage, in the same registry."""
    return RepositoryClient(Repository(either.host, "shop/extended-test/shop"), transport)


def requests(registry: EmbeddedRegistry, doing: Callable[[], object]) -> Requests:
    """What it takes to do something, each kind of request with its number."""
    before = len(registry.served)
    doing()
    return Counter(_kind(f"{each.method} {each.path}") for each in registry.served[before:])


def _kind(request: str) -> str:
    """A request without its names, such as "GET tags" or "PUT own tag"."""
    method, _, path = request.partition(" ")
    kinds = {
        r"/referrers/": "referrers",
        r"/tags/list": "tags",
        r"/manifests/sha256-[0-9a-f]{64}\.[0-9a-f]{48}$": "own tag",
        r"/manifests/sha256-[0-9a-f]{64}$": "fallback tag",
        r"/manifests/": "manifest",
        r"/blobs/": "blob",
    }
    return next(f"{method} {kind}" for form, kind in kinds.items() if re.search(form, path))


def test_a_statement_beside_others(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """One list, or two, then what is new is written: none of the others is fetched again."""
    mine = store()
    for number in range(3):
        state(place, image, another(number), by=mine)
    taken = requests(either, lambda: state(place, image, another(4), by=mine))
    common = {"GET referrers": 1, "POST blob": 1, "PUT blob": 1, "HEAD blob": 1}
    if place.referrers(image.digest) is None:
        by_tag = {"GET tags": 1, "PUT own tag": 1, "GET fallback tag": 1, "PUT fallback tag": 1}
        assert taken == common | by_tag
    else:
        assert taken == common | {"PUT manifest": 1}


def test_the_first_statement(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """It brings the empty config with it; whether there is an API is asked once."""
    taken = requests(either, lambda: state(place, image))
    assert taken["GET referrers"] == 1
    assert (taken["POST blob"], taken["PUT blob"]) == (2, 2)
    assert taken["PUT own tag"] + taken["PUT manifest"] == 1
    assert taken["HEAD own tag"] + taken["HEAD blob"] == 0


def test_what_was_read_is_only_listed_again(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """Whether it counts or not, what a digest or a tag made of it names cannot change."""
    state(place, image)
    state(place, image, another(1))
    attach(place, image, bundle(b"{}"))
    mine = store()
    first = mine.read(image.digest, [place])
    assert (len(first.runs), len(first.ignored)) == (2, 1)
    taken = requests(either, lambda: mine.read(image.digest, [place]))
    assert mine.read(image.digest, [place]) == first
    by_tag = place.referrers(image.digest) is None
    assert taken == {"GET referrers": 1} | ({"GET tags": 1} if by_tag else {})


def test_statements_that_a_copy_has_brought(
    either: EmbeddedRegistry,
    place: RepositoryClient,
    image: Manifest,
    next_stage: RepositoryClient,
) -> None:
    """They only get their tags, where they need some; no bytes travel, and nothing is read back."""
    mine = store()
    for number in range(3):
        state(place, image, another(number), by=mine)
    copy(image, place, next_stage)
    next_stage.put_manifest(image)
    evidence = mine.read(image.digest, [place])
    there = mine.read(image.digest, [next_stage])

    def carry() -> None:
        mine.carry(evidence, image.digest, [place], next_stage, there)

    taken = requests(either, carry)
    after = requests(either, lambda: mine.read(image.digest, [next_stage]))
    if place.referrers(image.digest) is None:
        assert taken == {"HEAD manifest": 3, "PUT own tag": 3, "GET fallback tag": 1}
        assert after == {"GET referrers": 1, "GET tags": 1}
    else:
        assert taken == {}
        assert after == {"GET referrers": 1}
    assert read(next_stage, image) == evidence


def test_statements_that_no_copy_has_brought(
    either: EmbeddedRegistry,
    place: RepositoryClient,
    image: Manifest,
    next_stage: RepositoryClient,
) -> None:
    """They are listed for other tools all at once."""
    images.push_image(next_stage, [b"tested"], tag="1.4.2")
    mine = store()
    for number in range(3):
        state(place, image, another(number), by=mine)
    evidence = mine.read(image.digest, [place])
    there = mine.read(image.digest, [next_stage])

    def carry() -> None:
        mine.carry(evidence, image.digest, [place], next_stage, there)

    taken = requests(either, carry)
    assert taken["GET blob"] == 3
    by_tag = place.referrers(image.digest) is None
    assert (taken["PUT fallback tag"], taken["PUT own tag"]) == ((1, 3) if by_tag else (0, 0))
    listed = {each.digest for each in list_referrers(next_stage, image.digest)}
    assert listed == {each.basis.attestation for each in evidence.runs}
    assert read(next_stage, image) == evidence


def test_a_list_that_an_attempt_left_behind_is_completed(
    tmp_path: Path, transport: Transport
) -> None:
    """What an earlier attempt has carried and not listed is listed with what is carried now."""
    with EmbeddedRegistry(tmp_path / "tags", referrers_api=False) as registry:
        place = RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)
        there = RepositoryClient(Repository(registry.host, "shop/extended-test/shop"), transport)
        for each in (place, there):
            image = images.push_image(each, [b"tested"], tag="1.4.2")
        state(place, image)
        (run,) = read(place, image).runs
        content = place.read_blob(run.bundle, 1 << 20)
        for blob in (attestation.EMPTY, content):
            there.put_blob(blob)
        there.put_manifest(run.manifest, attestation.tag_of(image.digest, run.manifest.digest))
        state(place, image, another(1))
        evidence = read(place, image)
        store().carry(evidence, image.digest, [place], there, read(there, image))
        index = list_referrers(there, image.digest)
    assert {each.digest for each in index} == {each.basis.attestation for each in evidence.runs}


def test_an_empty_config_that_is_missing_is_brought(
    place: RepositoryClient, image: Manifest, next_stage: RepositoryClient
) -> None:
    """Other statements are a reason to ask for it, and none to take it to be there."""
    state(place, image)
    images.push_image(next_stage, [b"tested"], tag="1.4.2")
    store().attach(next_stage, image, another(1), read(place, image))
    assert [each.said for each in read(next_stage, image).runs] == [another(1)]


def test_a_tag_that_is_put_right_is_looked_at_again(tmp_path: Path, transport: Transport) -> None:
    """What is remembered is what a tag is made of, and never what else it has named."""
    with EmbeddedRegistry(tmp_path / "tags", referrers_api=False) as registry:
        place = RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)
        image = images.push_image(place, [b"tested"], tag="1.4.2")
        state(place, image)
        (run,) = read(place, image).runs
        tag = attestation.tag_of(image.digest, run.manifest.digest)
        place.put_manifest(image, tag)
        mine = store()
        assert "is not its own" in reasons(mine.read(image.digest, [place]))[0]
        place.put_manifest(run.manifest, tag)
        assert [each.said for each in mine.read(image.digest, [place]).runs] == [RUN]


def test_a_tag_says_nothing_of_another_repository(tmp_path: Path, transport: Transport) -> None:
    """There it may have been set to something else: what is in one place is not in all."""
    with EmbeddedRegistry(tmp_path / "tags", referrers_api=False) as registry:
        place = RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)
        there = RepositoryClient(Repository(registry.host, "shop/extended-test/shop"), transport)
        for each in (place, there):
            image = images.push_image(each, [b"tested"], tag="1.4.2")
        mine = store()
        state(place, image, by=mine)
        (run,) = mine.read(image.digest, [place]).runs
        there.put_manifest(image, attestation.tag_of(image.digest, run.manifest.digest))
        evidence = mine.read(image.digest, [there])
    assert evidence.runs == ()
    assert "is not its own" in reasons(evidence)[0]


def test_a_statement_that_was_deleted_is_forgotten(
    place: RepositoryClient, image: Manifest
) -> None:
    """What is remembered of it counts only where it is listed."""
    mine = store()
    state(place, image, by=mine)
    (run,) = mine.read(image.digest, [place]).runs
    delete(place, run.manifest)
    assert mine.read(image.digest, [place]) == Evidence()


def test_an_api_that_a_registry_gets_is_used_at_once(tmp_path: Path, transport: Transport) -> None:
    """That there was none is never taken for granted when statements are looked for."""

    class Upgraded(Distribution):
        def upgrade(self) -> None:
            self.__init__(self.root, referrers_api=True)  # type: ignore[misc]

    root = tmp_path / "upgraded"
    registry = Upgraded(root, referrers_api=False)
    with EmbeddedRegistry(root, distribution=registry) as served:
        place = RepositoryClient(Repository(served.host, "shop/fast-feedback/shop"), transport)
        image = images.push_image(place, [b"tested"], tag="1.4.2")
        mine = store()
        state(place, image, by=mine)
        registry.upgrade()
        state(place, image, another(1))
        tags = place.tags()
        assert {each.said for each in mine.read(image.digest, [place]).runs} == {RUN, another(1)}
        state(place, image, another(2), by=mine)
        assert place.tags() == tags
    assert fallback_tag(image.digest) in tags
