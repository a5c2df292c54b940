"""A registry that means harm: what it answers has no end, leads nowhere, or is a lie.

Each kind of malice is a function that answers every request.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from dev.serving import Serving
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST
from promotion.registry.reference import digest_of

_CHUNK = 64 * 1024
_FULL_PAGE = b'{"tags": [%s"x"], "manifests": []}' % (b'"%s",' % (b"x" * 128) * 31_000)
SUBJECT = digest_of(b"the subject")

Say = Callable[[BaseHTTPRequestHandler], None]


class HostileRegistry(Serving):
    """Answers every request with one kind of malice."""

    def __init__(self, malice: Say) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                try:
                    malice(self)
                except OSError:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # They end with the connections, which those who were asked close.
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"


def _begin(asked: BaseHTTPRequestHandler, **headers: str) -> None:
    asked.send_response(200)
    for name, value in {"Content-Type": OCI_MANIFEST, **headers}.items():
        asked.send_header(name.replace("_", "-"), value)
    asked.end_headers()


def whole(asked: BaseHTTPRequestHandler, content: bytes, **headers: str) -> None:
    """Answer with some content, and go on listening."""
    _begin(asked, Content_Length=str(len(content)), **headers)
    asked.wfile.write(content)


def _without_end(asked: BaseHTTPRequestHandler, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        asked.wfile.write(piece)


def endless_body(asked: BaseHTTPRequestHandler) -> None:
    """No length is stated, and there is no end."""
    _begin(asked)
    _without_end(asked, iter(lambda: b"[" * _CHUNK, b""))


def endless_chunks(asked: BaseHTTPRequestHandler) -> None:
    """The same in chunks."""
    _begin(asked, Transfer_Encoding="chunked")
    chunk = b"%x\r\n%s\r\n" % (_CHUNK, b"[" * _CHUNK)
    _without_end(asked, iter(lambda: chunk, b""))


def endless_chunk_size(asked: BaseHTTPRequestHandler) -> None:
    """A chunk whose size has no end."""
    _begin(asked, Transfer_Encoding="chunked")
    _without_end(asked, iter(lambda: b"0" * _CHUNK, b""))


def negative_chunk(asked: BaseHTTPRequestHandler) -> None:
    """A chunk that is shorter than nothing."""
    _begin(asked, Transfer_Encoding="chunked")
    asked.wfile.write(b"-2\r\n{}\r\n0\r\n\r\n")
    asked.close_connection = True


def rest_as_a_chunk(asked: BaseHTTPRequestHandler) -> None:
    """A chunk whose size stands for all that follows, where it is taken as it is: a gigabyte."""
    _begin(asked, Transfer_Encoding="chunked")
    asked.wfile.write(b"-1\r\n")
    _without_end(asked, (b"[" * _CHUNK for _ in range(16 * 1024)))
    asked.close_connection = True


def refusal_as_a_chunk(asked: BaseHTTPRequestHandler) -> None:
    """The same as the explanation of a refusal."""
    asked.send_response(400)
    asked.send_header("Transfer-Encoding", "chunked")
    asked.end_headers()
    asked.wfile.write(b"-1\r\n")
    _without_end(asked, (b"[" * _CHUNK for _ in range(16 * 1024)))
    asked.close_connection = True


def endless_headers(asked: BaseHTTPRequestHandler) -> None:
    """Headers, and no body, for ever."""
    asked.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _without_end(asked, (b"X-%d: %s\r\n" % (number, b"x" * 9_000) for number in count()))


def endless_header(asked: BaseHTTPRequestHandler) -> None:
    """One header for ever."""
    asked.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    _without_end(asked, iter(lambda: b"x" * _CHUNK, b""))


def endless_status(asked: BaseHTTPRequestHandler) -> None:
    """A status line without an end."""
    _without_end(asked, iter(lambda: b"HTTP/1.1 " * 1_000, b""))


def stated_terabyte(asked: BaseHTTPRequestHandler) -> None:
    """It says that there is more to come than any memory holds."""
    _begin(asked, Content_Length=str(2**40))
    _without_end(asked, iter(lambda: b"[" * _CHUNK, b""))


def endless_refusal(asked: BaseHTTPRequestHandler) -> None:
    """A refusal whose explanation has no end."""
    asked.send_response(400)
    asked.end_headers()
    _without_end(asked, iter(lambda: b'{"errors": [' * 5_000, b""))


def circle(asked: BaseHTTPRequestHandler) -> None:
    """A page that is followed by itself."""
    whole(asked, b'{"tags": ["a"], "manifests": []}', Link=f'<{asked.path}>; rel="next"')


def endless_second_page(asked: BaseHTTPRequestHandler) -> None:
    """A page like any other, and one without end after it."""
    if asked.path.endswith("page=2"):
        endless_body(asked)
    else:
        whole(asked, b'{"tags": ["a"], "manifests": []}', Link='<?page=2>; rel="next"')


def endless_pages(asked: BaseHTTPRequestHandler) -> None:
    """Each page, almost as large as a page may be, is followed by another."""
    number = int("0" + asked.path.partition("page=")[2]) + 1
    whole(asked, _FULL_PAGE, Link=f'<?page={number}>; rel="next"')


def many_names(asked: BaseHTTPRequestHandler) -> None:
    """A page of as many short names as fit."""
    whole(asked, b'{"tags": [' + b'"",' * 5_000_000 + b'""]}')


def long_names(asked: BaseHTTPRequestHandler) -> None:
    """Page after page of a name each that fills it."""
    number = int("0" + asked.path.partition("page=")[2]) + 1
    whole(asked, b'{"tags": ["%s"]}' % (b"x" * 15_000_000), Link=f'<?page={number}>; rel="next"')


def nested(asked: BaseHTTPRequestHandler) -> None:
    """Brackets in brackets."""
    whole(asked, b'{"tags": ' + b"[" * 4_000_000, Content_Type=OCI_INDEX)


def lie(asked: BaseHTTPRequestHandler) -> None:
    """Another manifest than was asked for: one that points to what was, as a cycle would."""
    entry = {"mediaType": OCI_INDEX, "digest": SUBJECT, "size": 2}
    content = json.dumps({"schemaVersion": 2, "manifests": [entry] * 1_000}).encode()
    whole(asked, content, Content_Type=OCI_INDEX, Docker_Content_Digest=SUBJECT)


def many_referrers(asked: BaseHTTPRequestHandler) -> None:
    """More attachments than are ever read, of which each says as much of itself as it can."""
    number = int("0" + asked.path.partition("page=")[2])
    entries = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": digest_of(b"%d %d" % (number, each)),
            "size": 2,
            "annotations": {"a": "x" * 3_000},
        }
        for each in range(1_000)
    ]
    content = json.dumps({"schemaVersion": 2, "manifests": entries, "tags": []}).encode()
    link = f'<?page={number + 1}>; rel="next"'
    whole(asked, content, Content_Type=OCI_INDEX, Link=link)


@cache
def _bomb() -> bytes:
    return gzip.compress(gzip.compress(b"[" * 50_000_000))


def bomb(asked: BaseHTTPRequestHandler) -> None:
    """A few bytes that would be gigabytes, were they decompressed."""
    whole(asked, _bomb(), Content_Encoding="gzip, gzip")


MALICE: tuple[Say, ...] = (
    endless_body,
    endless_chunks,
    endless_chunk_size,
    negative_chunk,
    rest_as_a_chunk,
    refusal_as_a_chunk,
    endless_headers,
    endless_header,
    endless_status,
    stated_terabyte,
    endless_refusal,
    circle,
    endless_second_page,
    endless_pages,
    many_names,
    long_names,
    nested,
    lie,
    many_referrers,
    bomb,
)


def endless_interim(asked: BaseHTTPRequestHandler) -> None:
    """It will answer in a moment, it says, for ever."""
    _without_end(asked, iter(lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b""))


def endless_trailers(asked: BaseHTTPRequestHandler) -> None:
    """A body that is over, and headers after it that are not."""
    _begin(asked, Transfer_Encoding="chunked")
    asked.wfile.write(b"2\r\n{}\r\n0\r\n")
    _without_end(asked, iter(lambda: b"X: y\r\n" * 1_000, b""))


WITHOUT_PAUSE: tuple[Say, ...] = (endless_interim, endless_trailers)
"""What goes on for as long as it is listened to: only the deadline ends it."""
