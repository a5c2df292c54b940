"""Contestants take turns: what is compared was measured within seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from bench.cases import Measurement
from bench.cost import NotMeasured
from bench.peers import Contestant
from bench.progress import show


def rounds(
    contestants: Sequence[Contestant], count: int, measure: Callable[[Contestant], Measurement]
) -> Iterator[Measurement]:
    """Let everybody be measured so many times, after a first round that does not count.

    Who fails is left out from then on, and the reason is printed.
    """
    left = list(contestants)
    for number in range(count + 1):
        # Nobody is always the first, or always after the same one.
        turn = (number - 1) % max(len(left), 1)
        for contestant in left[turn:] + left[:turn]:
            show(f"round {number} of {count}: {contestant.name}")
            try:
                measurement = measure(contestant)
            except NotMeasured as failure:
                show("")
                print(f"{contestant.name} is left out: {failure}", file=sys.stderr)
                left.remove(contestant)
                continue
            if number:
                yield measurement
    show("")
