"""An embedded OCI registry: distribution-spec 1.1 on a port of this machine, kept in a directory.

For a demonstration that needs nothing installed, and for tests that want the referrers API or a
look at each request. It authenticates nobody and is no place for images that matter.

    python -m dev.registry --root DIRECTORY [--port PORT]
"""

import argparse
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

import msgspec
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    NotFound,
    RequestedRangeNotSatisfiable,
)
from werkzeug.routing import Map, Rule, Submount
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import get_input_stream

from dev.storage import Digest, Refused, Repository, Upload

_INDEX = "application/vnd.oci.image.index.v1+json"
_CHUNK = 256 * 1024
_POLL_SECONDS = 0.02
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")
# What the specification refuses is 400 unless it stands here.
_STATUS = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 416,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "MANIFEST_UNKNOWN": 404,
    "NAME_UNKNOWN": 404,
}


@dataclass(frozen=True)
class Served:
    """A request that was answered; `path` is as it was sent, with the query string."""

    method: str
    path: str
    status: int


class EmbeddedRegistry:
    """A registry that serves for as long as its `with` block lasts.

    Without the referrers API it is a registry of the specification's first edition: the route is
    not there, and attachments are found by the tags that clients maintain.

    Attributes:
        host: What image references call it, `127.0.0.1:PORT`.
        served: The requests answered so far, oldest first.
    """

    def __init__(self, root: Path, port: int = 0, *, referrers_api: bool = True) -> None:
        self.served: list[Served] = []
        self._lock = Lock()
        self._distribution = _Distribution(root, referrers_api)
        self._server = _Server(port, self._answer)
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,))
        self.host = f"127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()

    def _answer(self, request: Request) -> Response:
        response = self._distribution.answer(request)
        served = Served(request.method, request.environ["RAW_URI"], response.status_code)
        with self._lock:
            self.served.append(served)
        return response


class _Distribution:
    """The specification's endpoints, over what the storage keeps."""

    def __init__(self, root: Path, referrers_api: bool) -> None:
        self._root = root
        self._referrers_api = referrers_api
        self._routes = Map(
            [
                Rule("/v2/", methods=["GET"], endpoint=self._get_version),
                Submount("/v2/<path:repository>", self._repository_routes()),
            ],
            strict_slashes=False,
            merge_slashes=False,
        )

    def _repository_routes(self) -> list[Rule]:
        referrers = Rule("/referrers/<digest>", methods=["GET"], endpoint=self._list_referrers)
        return [
            Rule("/manifests/<reference>", methods=["GET"], endpoint=self._get_manifest),
            Rule("/manifests/<reference>", methods=["PUT"], endpoint=self._put_manifest),
            Rule("/manifests/<reference>", methods=["DELETE"], endpoint=self._delete_manifest),
            Rule("/blobs/<digest>", methods=["GET"], endpoint=self._get_blob),
            Rule("/blobs/<digest>", methods=["DELETE"], endpoint=self._delete_blob),
            Rule("/blobs/uploads/", methods=["POST"], endpoint=self._begin_upload),
            Rule("/blobs/uploads/<session>", methods=["GET"], endpoint=self._get_upload),
            Rule("/blobs/uploads/<session>", methods=["PATCH"], endpoint=self._continue_upload),
            Rule("/blobs/uploads/<session>", methods=["PUT"], endpoint=self._finish_upload),
            Rule("/blobs/uploads/<session>", methods=["DELETE"], endpoint=self._cancel_upload),
            Rule("/tags/list", methods=["GET"], endpoint=self._list_tags),
            *([referrers] if self._referrers_api else []),
        ]

    def answer(self, request: Request) -> Response:
        """Answer every request, also those that the specification has an error for."""
        try:
            return self._dispatch(request)
        except Refused as refused:
            errors = _errors(refused.code, refused.message, *refused.details)
            return _json(errors, status=_STATUS.get(refused.code, 400))
        except NotFound:
            return Response("404 page not found\n", status=404)
        except HTTPException as error:
            response = error.get_response(request.environ)
            response.data = msgspec.json.encode(_errors("UNSUPPORTED", error.description or ""))
            response.content_type = "application/json"
            return response

    def _dispatch(self, request: Request) -> Response:
        endpoint, matched = self._routes.bind_to_environ(request.environ).match()
        arguments = dict(matched)
        if "repository" in arguments:
            arguments["repository"] = Repository(self._root, arguments["repository"])
        response: Response = endpoint(request, **arguments)
        return response

    def _get_version(self, _: Request) -> Response:
        return _json({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    def _get_manifest(self, _: Request, repository: Repository, reference: str) -> Response:
        manifest = repository.manifest(reference)
        headers = {"Docker-Content-Digest": str(manifest.digest)}
        return Response(manifest.raw, headers=headers, content_type=manifest.media_type)

    def _put_manifest(self, request: Request, repository: Repository, reference: str) -> Response:
        media_type = request.content_type or ""
        manifest = repository.add_manifest(reference, media_type, b"".join(_body(request)))
        response = _created(repository, "manifests", manifest.digest)
        # Clients take this header as the word that the registry itself keeps the list of referrers.
        if manifest.subject and self._referrers_api:
            response.headers["OCI-Subject"] = str(manifest.subject)
        return response

    def _delete_manifest(self, _: Request, repository: Repository, reference: str) -> Response:
        repository.remove_manifest(reference)
        return Response(status=202)

    def _get_blob(self, request: Request, repository: Repository, digest: str) -> Response:
        path = repository.blob(Digest.parse(digest))
        size = path.stat().st_size
        start, stop = _wanted(request, size)
        response = Response(_read(path, start, stop), mimetype="application/octet-stream")
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["Docker-Content-Digest"] = digest
        response.content_length = stop - start
        if request.range:
            response.status_code = 206
            response.content_range = request.range.make_content_range(size)
        return response

    def _delete_blob(self, _: Request, repository: Repository, digest: str) -> Response:
        repository.remove_blob(Digest.parse(digest))
        return Response(status=202)

    def _begin_upload(self, request: Request, repository: Repository) -> Response:
        if "digest" in request.args:
            return self._finish_upload(request, repository, repository.begin_upload().session)
        if "mount" in request.args and "from" in request.args:
            digest = Digest.parse(request.args["mount"])
            if repository.mount(digest, Repository(self._root, request.args["from"])):
                return _created(repository, "blobs", digest)
        return _progress(repository, repository.begin_upload(), status=202)

    def _get_upload(self, _: Request, repository: Repository, session: str) -> Response:
        return _progress(repository, repository.upload(session), status=204)

    def _continue_upload(self, request: Request, repository: Repository, session: str) -> Response:
        upload = repository.upload(session)
        _receive(request, upload)
        return _progress(repository, upload, status=202)

    def _finish_upload(self, request: Request, repository: Repository, session: str) -> Response:
        upload = repository.upload(session)
        digest = Digest.parse(request.args.get("digest", ""))
        _receive(request, upload)
        repository.add_blob(upload, digest)
        return _created(repository, "blobs", digest)

    def _cancel_upload(self, _: Request, repository: Repository, session: str) -> Response:
        repository.upload(session).cancel()
        return Response(status=204)

    def _list_tags(self, request: Request, repository: Repository) -> Response:
        last = request.args.get("last", "")
        tags = [tag for tag in repository.tags() if tag > last]
        limit = request.args.get("n", default=len(tags), type=int)
        page = tags[: max(limit, 0)]
        response = _json({"name": repository.name, "tags": page})
        if page and len(page) < len(tags):
            following = f"/v2/{repository.name}/tags/list?n={limit}&last={page[-1]}"
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response

    def _list_referrers(self, request: Request, repository: Repository, digest: str) -> Response:
        found = [manifest.descriptor for manifest in repository.referrers(Digest.parse(digest))]
        wanted = request.args.get("artifactType")
        if wanted:
            found = [descriptor for descriptor in found if descriptor.artifact_type == wanted]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found}
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        return _json(index, headers={"Content-Type": _INDEX, **headers})


def _json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {"Content-Type": "application/json", **(headers or {})}
    return Response(msgspec.json.encode(body), status=status, headers=headers)


def _errors(code: str, message: str, *details: dict[str, str]) -> dict[str, Any]:
    each = details or (None,)
    return {"errors": [{"code": code, "message": message, "detail": detail} for detail in each]}


def _created(repository: Repository, kind: str, digest: Digest) -> Response:
    location = f"/v2/{repository.name}/{kind}/{digest}"
    headers = {"Location": location, "Docker-Content-Digest": str(digest)}
    return Response(status=201, headers=headers)


def _progress(repository: Repository, upload: Upload, status: int) -> Response:
    location = f"/v2/{repository.name}/blobs/uploads/{upload.session}"
    received = f"0-{max(upload.size - 1, 0)}"
    return Response(status=status, headers={"Location": location, "Range": received})


def _wanted(request: Request, size: int) -> tuple[int, int]:
    if not request.range:
        return 0, size
    span = request.range.range_for_length(size)
    if not span:
        raise RequestedRangeNotSatisfiable(size)
    return span


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(min(_CHUNK, stop - file.tell())):
            yield chunk


def _receive(request: Request, upload: Upload) -> None:
    """Append the request's body, unless it is not the part that its Content-Range says."""
    before = upload.size
    start, stop = _announced(request)
    if start not in (None, before):
        raise Refused("BLOB_UPLOAD_INVALID", f"the next byte is {before}, not {start}")
    upload.append(_body(request))
    if stop not in (None, upload.size):
        upload.truncate(before)
        raise Refused("BLOB_UPLOAD_INVALID", "the Content-Range is not the length of the body")


def _announced(request: Request) -> tuple[int, int] | tuple[None, None]:
    header = request.headers.get("Content-Range")
    if header is None:
        return None, None
    match = _CONTENT_RANGE.fullmatch(header)
    if not match:
        raise Refused("BLOB_UPLOAD_INVALID", f"the Content-Range is not FIRST-LAST: {header!r}")
    return int(match[1]), int(match[2]) + 1


def _body(request: Request) -> Iterator[bytes]:
    try:
        while chunk := request.stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise ClientDisconnected from error


class _Server(ThreadedWSGIServer):
    """A server whose end is the end of its connections and threads."""

    daemon_threads = False

    def __init__(self, port: int, answer: Callable[[Request], Response]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", port, Request.application(answer), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        # Threads that wait for another request on a connection end when the connection does.
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Handler(WSGIRequestHandler):
    """Serves many requests on one connection, where Werkzeug's own handler closes it after one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        body = environ["wsgi.input"] = get_input_stream(environ)
        environ["wsgi.input_terminated"] = True
        chunks, status, headers = run_wsgi_app(self.server.app, environ)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)
        # The next request begins behind what the application left of this one.
        try:
            while body.read(_CHUNK):
                pass
        except (ClientDisconnected, OSError):
            self.close_connection = True

    def log(self, *_: object) -> None:
        """Say nothing: `served` has it all."""


def run() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m dev.registry", description=run.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="directory to keep the content in")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    arguments = parser.parse_args()
    # Blocked in this thread and in those it starts, so that no signal is lost before sigwait.
    end = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, end)
    with EmbeddedRegistry(arguments.root, arguments.port) as registry:
        print(f"listening on {registry.host}", flush=True)
        signal.sigwait(end)


if __name__ == "__main__":
    run()
