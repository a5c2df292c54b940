"""Registries with the profile, and what it takes to speak to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dev.artifact_registry import Answers, ArtifactRegistry
from tests.unit.artifact_registry.asking import TOKENS, As, Serve
from tests.unit.wire import Client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a registry with other answers than the usual, or other options."""
    with ExitStack() as stack:

        def start(answers: Answers | None = None, **options: Any) -> ArtifactRegistry:
            registry = ArtifactRegistry(
                tmp_path / "registry", tokens=TOKENS, answers=answers, **options
            )
            return stack.enter_context(registry)

        yield start


@pytest.fixture
def client(pool: urllib3.PoolManager) -> As:
    """Speaks to a registry, for the promoter or for somebody else."""

    def speak(registry: ArtifactRegistry, token: str = "promoter") -> Client:
        return Client(pool, registry.host, token)

    return speak
