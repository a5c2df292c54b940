"""Real parts for the tests, started once per run and only when a test asks for them.

A test whose part is not installed is skipped with the command that installs it. With
REQUIRE_SERVICES=1, where every part has to be there, it fails instead.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from dev.services import MissingPart, Service, docker_registry, pubsub_emulator

# How long an example takes says how busy the machine is.
settings.register_profile(
    "without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("without a clock")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Docker's registry, shared by the whole run: use repository names of your own."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as service:
        yield service


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The Pub/Sub emulator, shared by the whole run: use a project name of your own."""
    with pubsub_emulator(tmp_path_factory.mktemp("pubsub"), "local") as service:
        yield service


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Report a part that a fixture misses."""
    return (yield from _reporting_missing_parts())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Report a part that a test misses."""
    return (yield from _reporting_missing_parts())


def _reporting_missing_parts() -> Generator[None, object, object]:
    try:
        return (yield)
    except MissingPart as missing:
        reason = str(missing)
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
