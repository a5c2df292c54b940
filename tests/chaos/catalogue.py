"""All scenarios, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos import clocks, deliveries, killing, registries, rivals, tempest
from tests.chaos.scenario import Scenario

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for group in (killing, registries, rivals, deliveries, tempest, clocks)
    for scenario in group.SCENARIOS
}
