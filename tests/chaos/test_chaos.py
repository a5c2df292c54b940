"""The short form of the scenarios: few rounds, short waits, several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from dev.services import Service
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.course import play
from tests.chaos.scenario import Outcome, Scale
from tests.chaos.world import behind_proxies

SEED = 1
AT_ONCE = 6

# The faults of registries one by one, and an events topic that is shut, are left to `make chaos`.
BESIDE = (
    "killed",
    "forgotten",
    "repeated",
    "rivals",
    "everything",
    "tempest",
)


@pytest.fixture(scope="module")
def outcomes(
    registry: Service,
    prod_registry: Service,
    emulator: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[Outcome]]]:
    """What the scenarios come to that can be played side by side, on registries that they share."""

    def played(name: str) -> Outcome:
        folder = tmp_path_factory.mktemp(name)
        with behind_proxies(folder, registry, prod_registry, emulator) as shared:
            return play(SCENARIOS[name], shared, SEED, Scale(SCENARIOS[name].rounds[0]))

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="chaos") as threads:
        yield {name: threads.submit(partial(played, name)) for name in BESIDE}


@pytest.mark.parametrize("name", BESIDE)
def test_promises_hold(name: str, outcomes: Mapping[str, Future[Outcome]]) -> None:
    """Each message has one effect, whatever goes wrong, and nothing is ever there in part."""
    outcome = outcomes[name].result()
    assert outcome.violations == ()
    assert outcome.messages > 0


def test_promises_hold_by_clocks_that_are_wrong(
    registry: Service, prod_registry: Service, emulator: Service, tmp_path: Path
) -> None:
    """No soak is cut short and no freeze broken by more than clocks are wrong."""
    with behind_proxies(tmp_path, registry, prod_registry, emulator) as shared:
        outcome = play(SCENARIOS["clocks"], shared, SEED, Scale(1))
    assert outcome.violations == ()
