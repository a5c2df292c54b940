"""Statements in registries without the referrers API: a tag each, which never moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock

import msgspec
import pytest

from dev import images
from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from dev.storage import Manifest as StoredManifest
from dev.storage import Refused, is_digest
from dev.storage import Repository as StoredRepository
from promotion.evidence import attestation, suite_run
from promotion.evidence.attested import Evidence
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_INDEX, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.registry.referrers import fallback_tag
from promotion.registry.transport import Transport
from tests.unit.attesting import KEY, RUN, attach, bundle, reasons, store


class Immutable(Distribution):
    """A registry without the referrers API whose tags cannot be set again, to nothing at all."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, referrers_api=False)
        self._tagging = Lock()

    def add_manifest(
        self, repository: StoredRepository, reference: str, media_type: str, raw: bytes
    ) -> StoredManifest:
        """Keep a manifest that has arrived."""
        with self._tagging:
            if not is_digest(reference) and _has(repository, reference):
                raise Refused("MANIFEST_INVALID", f"the tag {reference} is immutable")
            return super().add_manifest(repository, reference, media_type, raw)


def _has(repository: StoredRepository, tag: str) -> bool:
    try:
        repository.manifest(tag)
    except Refused:
        return False
    return True


@pytest.fixture
def immutable(tmp_path: Path, transport: Transport) -> Iterator[RepositoryClient]:
    """A repository whose tags are immutable."""
    root = tmp_path / "immutable"
    with EmbeddedRegistry(root, distribution=Immutable(root)) as registry:
        yield RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)


@pytest.fixture
def place(tmp_path: Path, transport: Transport) -> Iterator[RepositoryClient]:
    """A repository whose tags can move."""
    with EmbeddedRegistry(tmp_path / "tags", referrers_api=False) as registry:
        yield RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)


def push(place: RepositoryClient) -> Manifest:
    """An image."""
    return images.push_image(place, [b"tested"], tag="1.4.2")


def state(place: RepositoryClient, image: Manifest, suite: str) -> None:
    """State that a suite succeeded, as a promoter that has read nothing yet."""
    run = msgspec.structs.replace(RUN, suite=suite)
    store().attach(place, image, run, Evidence())


def suites(place: RepositoryClient, image: Manifest) -> list[str]:
    """The suites that somebody reads of who has not read before."""
    return sorted(each.said.suite for each in store().read(image.digest, [place]).runs)


def listed(place: RepositoryClient, image: Digest) -> set[str]:
    """What the specification's fallback tag lists."""
    index = json.loads(place.manifest(fallback_tag(image)).content)
    return {each["digest"] for each in index["manifests"]}


def test_each_statement_has_a_tag_of_its_own(place: RepositoryClient) -> None:
    """It follows from the image's digest and the statement's, so that no two writers share one."""
    image = push(place)
    state(place, image, "functional")
    state(place, image, "nft")
    runs = store().read(image.digest, [place]).runs
    tags = {attestation.tag_of(image.digest, run.basis.attestation) for run in runs}
    assert len(tags) == 2
    assert set(place.tags()) == {"1.4.2", fallback_tag(image.digest), *tags}


def test_the_fallback_tag_is_written_for_others(place: RepositoryClient) -> None:
    """Whatever lists referrers by the specification finds all statements there."""
    image = push(place)
    state(place, image, "functional")
    state(place, image, "nft")
    runs = store().read(image.digest, [place]).runs
    assert listed(place, image.digest) == {run.basis.attestation for run in runs}


def test_nothing_is_found_by_the_fallback_tag(place: RepositoryClient) -> None:
    """Somebody's update of it that lost ours, or lists what is not there, changes nothing."""
    image = push(place)
    state(place, image, "functional")
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    place.put_manifest(Manifest(OCI_INDEX, digest_of(empty), empty), fallback_tag(image.digest))
    assert suites(place, image) == ["functional"]


def test_a_fallback_tag_that_is_damaged_keeps_nobody_from_writing(place: RepositoryClient) -> None:
    """It is a convenience: whatever stands there, the statement is attached and found."""
    image = push(place)
    odd = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}'
    place.put_manifest(Manifest(OCI_INDEX, digest_of(odd), odd), fallback_tag(image.digest))
    state(place, image, "functional")
    assert suites(place, image) == ["functional"]


def test_tags_that_cannot_be_set_again_are_enough(immutable: RepositoryClient) -> None:
    """Every statement is written once; the fallback tag, which had to move, stays behind."""
    image = push(immutable)
    for suite in ("functional", "nft", "integration"):
        state(immutable, image, suite)
    assert suites(immutable, image) == ["functional", "integration", "nft"]
    assert len(listed(immutable, image.digest)) == 1


def test_a_redelivery_does_not_set_a_tag_again(immutable: RepositoryClient) -> None:
    """Though it has read nothing before it writes."""
    image = push(immutable)
    state(immutable, image, "functional")
    state(immutable, image, "functional")
    assert suites(immutable, image) == ["functional"]


def test_twins_may_set_a_tag_at_the_same_moment(immutable: RepositoryClient) -> None:
    """Who comes second where tags are immutable finds it set, to the very same."""
    image = push(immutable)
    start = Barrier(4)

    def attach_at_once(_: int) -> None:
        start.wait()
        state(immutable, image, "functional")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(attach_at_once, range(4)))
    assert suites(immutable, image) == ["functional"]


def test_a_statement_under_the_tag_of_another_is_ignored(place: RepositoryClient) -> None:
    """A tag that was moved names what it is not: what it names now counts by its own tag only."""
    image = push(place)
    forged = attach(place, image, bundle(suite_run.write(RUN, image.digest)))
    state(place, image, "functional")
    (run,) = store().read(image.digest, [place]).runs
    place.put_manifest(forged, attestation.tag_of(image.digest, run.basis.attestation))
    evidence = store().read(image.digest, [place])
    assert evidence.runs == ()
    assert {each.attestation for each in evidence.ignored} == {forged.digest}


def test_a_tag_of_that_form_that_names_no_attestation_is_ignored(place: RepositoryClient) -> None:
    """An image under it is told apart from a statement, and named."""
    image = push(place)
    place.put_manifest(image, attestation.tag_of(image.digest, image.digest))
    (reason,) = reasons(store().read(image.digest, [place]))
    assert "its manifest is not well formed" in reason


def test_a_statement_under_its_own_tag_counts_whoever_set_it(place: RepositoryClient) -> None:
    """The signature counts, not who brought it."""
    image = push(place)
    attach(place, image, bundle(suite_run.write(RUN, image.digest), KEY))
    assert suites(place, image) == ["functional"]


def test_other_images_have_other_statements(place: RepositoryClient) -> None:
    """The repository's tags are one list, of which each image has its own part."""
    image, other = push(place), images.push_image(place, [b"other"], tag="1.4.3")
    state(place, image, "functional")
    state(place, other, "nft")
    assert suites(place, image) == ["functional"]
    assert suites(place, other) == ["nft"]
