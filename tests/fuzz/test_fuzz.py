"""The short form of fuzzing: the same few inputs each time, or others with another SEED."""

from __future__ import annotations

import pytest

from tests.fuzz.exploring import chosen_seed, explore
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

EXAMPLES = 300
FEWER = {"whole answers": 100}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_comes_ends_in_an_error_of_ours(target: Target) -> None:
    """No input leads to an exception of another kind, or goes on for ever."""
    assert explore(target, FEWER.get(target.name, EXAMPLES), chosen_seed()) > 0
