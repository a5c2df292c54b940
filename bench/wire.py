"""HTTP/1.1 on a socket (RFC 9112): heads to look at, bodies that pass through one small buffer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

Piece = bytes | memoryview

_BUFFER = 256 * 1024
_LONGEST_HEAD = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BrokenOff(Exception):
    """The other side ended the connection in the middle of a message."""


class NotHTTP(BrokenOff):
    """The other side speaks something else: TLS, mostly."""


@dataclass(frozen=True)
class Head:
    """A message up to its body: the words of the first line, and the header fields."""

    first: tuple[str, str, str]
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: bytes) -> Head:
        """Read what came before the empty line.

        Raises:
            NotHTTP: It is something else.
        """
        line, *fields = text.decode("latin-1").split("\r\n")
        # The reason behind a status may be left out, with the space before it.
        words = [*line.split(" ", 2), ""]
        if len(words) < 3:
            raise NotHTTP
        pairs = (field.partition(":") for field in fields)
        return cls(
            (words[0], words[1], words[2]),
            tuple((name, value.strip()) for name, _, value in pairs),
        )

    @classmethod
    def of_answer(cls, status: int, fields: Mapping[str, str], length: int) -> Head:
        """The head of an answer with a body of that length."""
        reason = HTTPStatus(status).phrase
        length_field = ("Content-Length", str(length))
        return cls(("HTTP/1.1", str(status), reason), (*fields.items(), length_field))

    def get(self, name: str) -> str:
        """The value of a header field, the first if there are several; "" if there is none."""
        wanted = name.lower()
        return next((value for key, value in self.fields if key.lower() == wanted), "")

    def having(self, name: str, value: str | None) -> Head:
        """The same head with another value for a field, or without it."""
        wanted = name.lower()
        kept = tuple(pair for pair in self.fields if pair[0].lower() != wanted)
        return replace(self, fields=kept if value is None else (*kept, (name, value)))

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.get("Connection").lower() == "close" or "HTTP/1.0" in self.first

    def __bytes__(self) -> bytes:
        lines = [" ".join(self.first), *(f"{name}: {value}" for name, value in self.fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Framing:
    """How a body's end is told: by its length, by chunks, or else by the connection's end."""

    length: int | None = None
    chunked: bool = False

    @classmethod
    def of_request(cls, head: Head) -> Framing:
        """The framing of a request's body."""
        return cls._stated(head) or cls(length=0)

    @classmethod
    def of_answer(cls, head: Head, method: str) -> Framing:
        """The framing of the body of an answer to a request with that method."""
        if method == "HEAD" or head.first[1] in ("204", "304"):
            return cls(length=0)
        return cls._stated(head) or cls()

    @classmethod
    def _stated(cls, head: Head) -> Framing | None:
        if "chunked" in head.get("Transfer-Encoding").lower():
            return cls(chunked=True)
        length = head.get("Content-Length")
        return cls(length=int(length)) if length else None

    @property
    def by_end(self) -> bool:
        """Whether only the connection's end tells it."""
        return self.length is None and not self.chunked


class Wire:
    """One end of a connection. What it reads of a body is valid until it reads on."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._buffer = memoryview(bytearray(_BUFFER))

    def wait(self) -> None:
        """Wait until there is something to read, or the other side has ended the connection."""
        if not self._unread:
            self._socket.recv(1, socket.MSG_PEEK)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to read, not even that the other side has gone."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return not self._unread
        except OSError:
            pass
        return False

    def read_head(self) -> Head | None:
        """Read a message up to its body; None if the connection ended before it began."""
        while b"\r\n\r\n" not in self._unread:
            more = self._socket.recv(_LONGEST_HEAD)
            if not more and not self._unread:
                return None
            self._unread += more
            if not self._unread[:1].isalpha():
                raise NotHTTP
            if not more or len(self._unread) > _LONGEST_HEAD:
                raise BrokenOff("no end of the head")
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return Head.parse(head)

    def read_body(self, framing: Framing) -> Iterator[Piece]:
        """Read a body, piece by piece, without its framing."""
        if framing.chunked:
            return self._chunks()
        if framing.length is not None:
            return self._exactly(framing.length)
        return self._until_the_end()

    def invite(self) -> None:
        """Ask for the body of a request whose sender waits to be asked."""
        self._socket.sendall(_CONTINUE)

    def send(self, content: Piece) -> None:
        """Send bytes."""
        self._socket.sendall(content)

    def send_piece(self, piece: Piece, framing: Framing) -> None:
        """Send a piece of a body."""
        if not framing.chunked:
            self.send(piece)
        elif piece:
            self.send(b"%x\r\n" % len(piece))
            self.send(piece)
            self.send(b"\r\n")

    def send_end(self, framing: Framing) -> None:
        """Send what tells that a body is complete."""
        if framing.chunked:
            self.send(b"0\r\n\r\n")

    def interrupt(self) -> None:
        """End the connection for a thread that uses it; closing is left to that thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self, *, reset: bool = False) -> None:
        """End the connection in order, or with a reset, as a crash or a firewall does."""
        with suppress(OSError):
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.close()

    def _exactly(self, length: int) -> Iterator[Piece]:
        if self._unread and length:
            piece, self._unread = self._unread[:length], self._unread[length:]
            length -= len(piece)
            yield piece
        while length:
            count = self._socket.recv_into(self._buffer[:length])
            if not count:
                raise BrokenOff(f"{length} bytes of a body are missing")
            length -= count
            yield self._buffer[:count]

    def _until_the_end(self) -> Iterator[Piece]:
        piece, self._unread = self._unread, b""
        if piece:
            yield piece
        while count := self._socket.recv_into(self._buffer):
            yield self._buffer[:count]

    def _chunks(self) -> Iterator[Piece]:
        while size := int(self._line().partition(b";")[0], 16):
            yield from self._exactly(size)
            self._line()
        while self._line():
            pass

    def _line(self) -> bytes:
        while b"\r\n" not in self._unread:
            more = self._socket.recv(_LONGEST_HEAD)
            if not more:
                raise BrokenOff("a chunked body has no end")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line
