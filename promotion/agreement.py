"""Lets processes that promote the same at the same moment agree on the record to be announced.

Each proposes the record that it has attached. No registry offers to write only if nothing has been
written, so they agree as processes do that can but write and read: in rounds of commit and adopt
(Gafni, "Round-by-Round Fault Detectors", 1998). In each round

1. a process proposes its choice, and looks at who else has proposed what;
2. it says that it is decided, if nobody has proposed anything else, and else that it is in doubt;
3. if it is decided, and nobody is in doubt, all agree on its choice. If not, it chooses for the
   next round what somebody is decided upon or, where nobody is, what comes first of the proposals.

Of two proposals the later one's process sees the earlier one, so at most one is decided upon in a
round. And whoever does not see that decision has been in doubt before it was made, which the one
that is decided then sees. So once a process has agreed to a choice, all others have no other one in
the next round, whoever dies at whatever moment. Processes that go on in step may do so for long;
one that is by itself ends in the second round, at the latest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

from promotion.registry.reference import Digest


class Board(Protocol):
    """Where processes say something that all others can read."""

    def said(self, what: str) -> bool:
        """Whether anybody has said it."""

    def say(self, what: str) -> None:
        """Say it: whoever asks from now on is told so."""


def agree(choice: Digest, look: Callable[[], Sequence[Digest]], board: Board) -> Digest:
    """What all processes announce, of what they have proposed.

    Args:
        choice: One's own, which has been attached, and so is proposed.
        look: All that is attached by now, the preferred ones first.
        board: Where the processes say how far they are.

    Raises:
        Retryable: The board could not be read or written, or the time is used up.
    """
    for number in itertools.count(1):
        own = _Round(number, choice, board)
        own.propose()
        listed = look()
        rivals = own.rivals(listed)
        if own.is_agreed(rivals):
            return choice
        choice = own.next_choice(rivals, listed)
    raise AssertionError("counting ends only by an agreement")


class _Round:
    """One process in a round."""

    def __init__(self, number: int, choice: Digest, board: Board) -> None:
        self._number = number
        self._choice = choice
        self._board = board

    def propose(self) -> None:
        if self._number > 1:
            self._say(f"proposed {self._choice}")

    def rivals(self, listed: Sequence[Digest]) -> list[Digest]:
        """What else has been proposed in this round; in the first one, all that is attached."""
        others = [each for each in listed if each != self._choice]
        return [each for each in others if self._number == 1 or self._said(f"proposed {each}")]

    def is_agreed(self, rivals: Sequence[Digest]) -> bool:
        self._say("in doubt" if rivals else f"decided {self._choice}")
        return not rivals and not self._said("in doubt")

    def next_choice(self, rivals: Sequence[Digest], listed: Sequence[Digest]) -> Digest:
        proposed = {self._choice, *rivals}
        decided = [each for each in proposed if self._said(f"decided {each}")]
        return decided[0] if decided else min(proposed, key=[*listed, self._choice].index)

    def _say(self, what: str) -> None:
        self._board.say(f"round {self._number}: {what}")

    def _said(self, what: str) -> bool:
        return self._board.said(f"round {self._number}: {what}")
