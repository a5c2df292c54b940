"""How faults interfere with an exchange: one function for each step that a fault can spoil."""

from __future__ import annotations

from collections.abc import Iterator

from bench.faults import (
    BreakDownload,
    BreakUpload,
    Corrupt,
    CutShort,
    Drip,
    Fault,
    Hold,
    LoseAnswer,
    LoseRequest,
    Relabel,
    Stall,
)
from bench.waits import Waits
from bench.wire import Head, Piece


class Lost(Exception):
    """The connection is to be reset."""


def asked(fault: Fault | None, waits: Waits) -> None:
    """The request's head has come, and the registry does not know of it yet."""
    match fault:
        case LoseRequest():
            raise Lost
        case Stall(seconds, after=None):
            waits.pause(seconds)
        case Hold(name, done=False):
            waits.hold(name)


def sending(fault: Fault | None, body: Iterator[Piece], waits: Waits) -> Iterator[Piece]:
    """The request's body is passed on."""
    match fault:
        case BreakUpload(after):
            yield from _first(after, body)
            raise Lost
        case Drip(size, seconds):
            yield from _dripping(size, seconds, body, waits)
        case _:
            yield from body


def answered(fault: Fault | None, head: Head, waits: Waits) -> Head:
    """The registry has done what it was asked, and its answer begins."""
    match fault:
        case LoseAnswer():
            raise Lost
        case Hold(name, done=True):
            waits.hold(name)
        case CutShort(after, honest=True):
            shorter = head.having("Transfer-Encoding", None).having("Content-Length", str(after))
            return shorter.having("Connection", "close")
        case Relabel(headers):
            for name, value in headers.items():
                head = head.having(name, value)
    return head


def receiving(fault: Fault | None, body: Iterator[Piece], waits: Waits) -> Iterator[Piece]:
    """The answer's body is passed on."""
    match fault:
        case BreakDownload(after):
            yield from _first(after, body)
            raise Lost
        case CutShort(after):
            yield from _first(after, body)
        case Stall(seconds, int(after)):
            yield from _stalling(after, seconds, body, waits)
        case Drip(size, seconds):
            yield from _dripping(size, seconds, body, waits)
        case Corrupt(at):
            yield from _damaged(at, body)
        case _:
            yield from body


def _first(count: int, body: Iterator[Piece]) -> Iterator[Piece]:
    """As many bytes of a body; what follows is not read."""
    while count > 0 and (piece := next(body, None)):
        yield piece[:count]
        count -= len(piece)


def _stalling(after: int, seconds: float, body: Iterator[Piece], waits: Waits) -> Iterator[Piece]:
    for piece in body:
        if 0 <= after < len(piece):
            yield piece[:after]
            waits.pause(seconds)
            yield piece[after:]
        else:
            yield piece
        after -= len(piece)


def _dripping(size: int, seconds: float, body: Iterator[Piece], waits: Waits) -> Iterator[Piece]:
    for piece in body:
        for start in range(0, len(piece), size):
            waits.pause(seconds)
            yield piece[start : start + size]


def _damaged(at: int, body: Iterator[Piece]) -> Iterator[Piece]:
    for piece in body:
        if 0 <= at < len(piece):
            damaged = bytearray(piece)
            damaged[at] ^= 0xFF
            yield bytes(damaged)
        else:
            yield piece
        at -= len(piece)
