"""The parts that the whole run shares."""

from tests.integration.conftest import prod_registry

__all__ = ["prod_registry"]
