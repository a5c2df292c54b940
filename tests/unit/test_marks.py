"""What is said about an event is kept beside the image that it is about."""

from __future__ import annotations

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.marks import Marks
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from tests.unit.attesting import store

EVENT = "4e1d8c4e-0000-5000-8000-000000000000"


def test_what_was_announced_is_known(place: RepositoryClient, image: Manifest) -> None:
    """Once it is marked, and not before."""
    assert not Marks(EVENT, image.digest, place).announced
    Marks(EVENT, image.digest, place).announce()
    assert Marks(EVENT, image.digest, place).announced


def test_a_mark_is_about_one_event_of_one_image(place: RepositoryClient, image: Manifest) -> None:
    """Other events, and the same of other images, are not announced by it."""
    other = images.push_image(place, [b"other"], tag="1.4.3")
    Marks(EVENT, image.digest, place).announce()
    assert not Marks(EVENT[::-1], image.digest, place).announced
    assert not Marks(EVENT, other.digest, place).announced


def test_what_processes_say_is_told_apart(place: RepositoryClient, image: Manifest) -> None:
    """From other words, from what is said of another event, and from having announced it."""
    Marks(EVENT, image.digest, place).say("in doubt")
    assert Marks(EVENT, image.digest, place).said("in doubt")
    assert not Marks(EVENT, image.digest, place).said("decided")
    assert not Marks(EVENT[::-1], image.digest, place).said("in doubt")
    assert not Marks(EVENT, image.digest, place).announced


def test_whether_it_is_known_takes_one_request(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """Neither lists nor tags are looked through, on no registry."""
    Marks(EVENT, image.digest, place).announce()
    before = len(either.served)
    assert Marks(EVENT, image.digest, place).announced
    assert [each.method for each in either.served[before:]] == ["HEAD"]


def test_marking_again_changes_nothing(place: RepositoryClient, image: Manifest) -> None:
    """Twins write the same, and no tag comes of it."""
    for _ in range(2):
        Marks(EVENT, image.digest, place).announce()
    assert place.tags() == ["1.4.2"]
    assert not place.referrers(image.digest)


def test_a_mark_is_no_evidence(place: RepositoryClient, image: Manifest) -> None:
    """It takes none of the places of statements, and is not reported among what is ignored."""
    Marks(EVENT, image.digest, place).announce()
    evidence = store().read(image.digest, [place])
    assert (evidence.ignored, evidence.attested) == ((), ())


def test_a_mark_stays_where_it_is(
    place: RepositoryClient, image: Manifest, far: EmbeddedRegistry, transport: Transport
) -> None:
    """Nothing that one stage remembers keeps the next one from announcing."""
    following = RepositoryClient(Repository(far.host, "shop/next/shop"), transport)
    Marks(EVENT, image.digest, place).announce()
    assert copy(image, place, following).referrers == ()
    assert not Marks(EVENT, image.digest, following).announced
