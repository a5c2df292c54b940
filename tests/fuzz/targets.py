"""What is fuzzed: everything that reads what others have written.

Each target takes an input and ends in a result or in an error of the product's own.
"""

from __future__ import annotations

from tests.fuzz import answered, files, sent, stored
from tests.fuzz.target import Target

TARGETS: tuple[Target, ...] = (
    *sent.TARGETS,
    *stored.TARGETS,
    *answered.TARGETS,
    *files.TARGETS,
)
