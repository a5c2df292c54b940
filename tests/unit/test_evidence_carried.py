"""Evidence that goes with its image to the next stage.

Each test runs on a registry with the referrers API and on one without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.errors import NotFound
from promotion.evidence.attested import Evidence
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.attesting import (
    RECORD,
    RUN,
    STRANGER,
    another,
    attach,
    attach_manifest,
    bundle,
    read,
    reasons,
    state,
    store,
)


@pytest.fixture(params=["to the referrers API", "to tags"])
def destination(
    request: pytest.FixtureRequest, tmp_path: Path, transport: Transport
) -> Iterator[RepositoryClient]:
    """The repository of the next stage, in another registry."""
    api = request.param == "to the referrers API"
    with EmbeddedRegistry(tmp_path / "next", referrers_api=api) as registry:
        yield RepositoryClient(Repository(registry.host, "shop/extended-test/shop"), transport)


def carry(place: RepositoryClient, image: Manifest, destination: RepositoryClient) -> None:
    """Let what counts go with its image, as the promoter does."""
    mine = store()
    evidence = mine.read(image.digest, [place])
    there = mine.read(image.digest, [destination])
    mine.carry(evidence, image.digest, [place], destination, there)


def test_evidence_goes_with_its_image(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """The very same attestations; what does not count stays behind."""
    state(place, image)
    state(place, image, another(1))
    store().attach(place, image, RECORD, Evidence())
    attach(place, image, bundle(b"{}", STRANGER))
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    assert read(destination, image) == msgspec.structs.replace(read(place, image), ignored=())


def test_what_is_there_is_not_carried_again(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """A repeat finds all of it; it does not even need the source."""
    state(place, image)
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    mine = store()
    evidence = mine.read(image.digest, [place])
    mine.carry(evidence, image.digest, [], destination, mine.read(image.digest, [destination]))


def test_carrying_looks_wherever_evidence_is(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient, far: EmbeddedRegistry
) -> None:
    """A bundle comes from whichever place has it; one that has gone is an error to try again."""
    empty = RepositoryClient(Repository(far.host, "shop/elsewhere/shop"), place.transport)
    state(place, image)
    images.push_image(destination, [b"tested"], tag="1.4.2")
    mine = store()
    evidence = mine.read(image.digest, [place])
    with pytest.raises(NotFound, match="was deleted while its image was promoted"):
        mine.carry(evidence, image.digest, [empty], destination, Evidence())
    mine.carry(evidence, image.digest, [empty, place], destination, Evidence())
    assert [each.said for each in read(destination, image).runs] == [RUN]


def test_a_real_statement_that_a_stranger_wrapped_anew_does_not_hold_up_the_image(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """A wrapping that the next stage's registry could not take is ignored from the start."""
    state(place, image)
    (run,) = read(place, image).runs
    content = place.read_blob(run.bundle, 1 << 20)
    said = json.loads(run.manifest.content)
    config = b'{"not": "empty"}'
    said["config"] = {
        "mediaType": "application/json",
        "digest": digest_of(config),
        "size": len(config),
    }
    wrapped = json.dumps(said).encode()
    attach_manifest(
        place,
        image.digest,
        Manifest(run.manifest.media_type, digest_of(wrapped), wrapped),
        content,
        config,
    )
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    assert [each.said for each in read(destination, image).runs] == [RUN]
    assert reasons(read(destination, image)) == []
    assert "and not the empty one" in reasons(read(place, image))[0]
