"""Forgeries on a real registry that has no referrers API: they open no gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.services import Service
from promotion.registry.transport import Transport
from tests.unit.forging import (
    FORGED_RECORDS,
    FORGED_SUCCESSES,
    SignedShop,
    check_a_forged_record_lets_nothing_in,
    check_a_forged_success_changes_nothing,
)


@pytest.fixture
def shop(registry: Service, name: str, transport: Transport, tmp_path: Path) -> SignedShop:
    """A shop of the test's own whose statements are signed."""
    return SignedShop(registry.host, transport, tmp_path, prefix=name)


@pytest.mark.parametrize("forgery", FORGED_SUCCESSES)
def test_a_forged_success_changes_nothing(shop: SignedShop, forgery: str) -> None:
    """The gate waits for the suite itself, and a reader learns why the forgery does not count."""
    check_a_forged_success_changes_nothing(shop, forgery)


@pytest.mark.parametrize("forgery", FORGED_RECORDS)
def test_a_forged_record_lets_nothing_in(shop: SignedShop, forgery: str) -> None:
    """An image that was pushed straight into a later stage is not judged on its merits there."""
    check_a_forged_record_lets_nothing_in(shop, forgery)
