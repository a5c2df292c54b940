"""A target: one reader of the product's, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Target:
    """One reader, and what it is given.

    Attributes:
        check: Reads an input; any exception that it raises is a failure of the target.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], object]
