"""The stages that images go through, and which registry each is in."""

from __future__ import annotations

from collections.abc import Mapping

from dev.stack import three_stages
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD

NIGHTLY, RELEASED = "nightly", "released"
SUITES = {
    FAST_FEEDBACK: ("functional",),
    EXTENDED_TEST: ("extended",),
    NIGHTLY: ("functional", "nft"),
}
"""What lets an image leave a stage."""
NEXT = {FAST_FEEDBACK: EXTENDED_TEST, EXTENDED_TEST: PROD, NIGHTLY: RELEASED}


def five_stages(near: str, far: str) -> str:
    """A promotion.yaml: three stages in a row, and two whose gate asks for two suites.

    Images may begin in the second of the three, without having come from the first.
    """
    three = three_stages(near, far)
    three = three.replace("extended-test:\n", "extended-test:\n        entry: any\n")
    return f"""\
{three}\
      {NIGHTLY}:
        registry: {near}/shop
        promotes_to: {RELEASED}
        gate:
          suites: [{", ".join(SUITES[NIGHTLY])}]
      {RELEASED}:
        registry: {far}/shop
"""


def hosts_by_stage(near: str, far: str) -> Mapping[str, str]:
    """The registry of each stage."""
    return {FAST_FEEDBACK: near, EXTENDED_TEST: near, NIGHTLY: near, PROD: far, RELEASED: far}
