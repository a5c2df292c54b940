"""Suites that finish in the same instant, in processes of their own, on a registry without the API.

The fallback tag, which the specification has for such registries, loses statements when several
writers update it at once. Here none is lost, for each statement has a tag of its own.
"""

from __future__ import annotations

from pathlib import Path

from dev import images
from dev.services import Service
from promotion.events import PROMOTED
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Reference, Repository
from promotion.registry.transport import Transport
from tests.integration.reporters import Reported, reporters
from tests.unit.attesting import key_files, store
from tests.unit.forging import promotion_yaml

ROUNDS = 50
SUITES = ("functional", "integration", "nft", "security")


def test_none_is_lost_and_all_are_decided_upon(
    registry: Service, name: str, transport: Transport, tmp_path: Path
) -> None:
    """Fifty times four: all statements are there, one promotion, one event, and no denial."""
    place = f"{registry.host}/{name}"
    text = promotion_yaml(place, *key_files(tmp_path))
    with reporters(text.replace("[functional, nft]", f"[{', '.join(SUITES)}]"), SUITES) as together:
        for number in range(ROUNDS):
            source, destination = (
                RepositoryClient(Repository.parse(f"{place}/{stage}/shop-{number}"), transport)
                for stage in ("fast-feedback", "extended-test")
            )
            image = images.push_image(source, [b"tested"], tag="1.0.0")

            reported = together.report(Reference(source.repository, "1.0.0"), image.digest)

            evidence = store().read(image.digest, [source])
            assert sorted(run.said.suite for run in evidence.runs) == sorted(SUITES)
            assert (evidence.ignored, evidence.overflow) == ((), False)
            check_what_was_announced(reported)
            assert destination.resolve("1.0.0") == image.digest
            there = store().read(image.digest, [destination])
            assert {run.said.suite for run in there.runs} == set(SUITES)
            assert there.records
            assert all(len(record.said.inputs) == len(SUITES) for record in there.records)


def check_what_was_announced(reported: list[Reported]) -> None:
    """At least one process saw everything, and whoever announced it announced the same event."""
    events = [event for each in reported for event in each.events]
    assert {event.attributes["ce-type"] for event in events} == {PROMOTED}
    assert len({(event.attributes["ce-id"], event.data) for event in events}) == 1
