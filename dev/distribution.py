"""The endpoints of distribution-spec 1.1, over what the storage keeps.

`Distribution` answers one request after the other, from as many threads as there are connections.
A registry with habits of its own overrides the methods that they concern.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    NotFound,
    RequestedRangeNotSatisfiable,
)
from werkzeug.routing import Map, Rule, Submount
from werkzeug.wrappers import Request, Response

from dev.storage import (
    Descriptor,
    Digest,
    Manifest,
    Refused,
    Repository,
    Upload,
    repository_names,
)

INDEX = "application/vnd.oci.image.index.v1+json"

_CHUNK = 256 * 1024
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")
# What the specification refuses is 400 unless it stands here.
_STATUS = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 416,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "MANIFEST_UNKNOWN": 404,
    "NAME_UNKNOWN": 404,
}


class Distribution:
    """A registry that authenticates nobody.

    Attributes:
        root: The directory that the content is kept in.
    """

    def __init__(self, root: Path, referrers_api: bool = True) -> None:
        self.root = root
        self._referrers_api = referrers_api
        self._routes = Map(self.rules(), strict_slashes=False, merge_slashes=False)

    def rules(self) -> list[Rule | Submount]:
        """Say which method answers on which path."""
        return [
            Rule("/v2/", methods=["GET"], endpoint=self.get_version),
            Rule("/v2/_catalog", methods=["GET"], endpoint=self.list_repositories),
            Submount("/v2/<path:repository>", self._repository_rules()),
        ]

    def _repository_rules(self) -> list[Rule]:
        referrers = Rule("/referrers/<digest>", methods=["GET"], endpoint=self.list_referrers)
        return [
            Rule("/manifests/<reference>", methods=["GET"], endpoint=self.get_manifest),
            Rule("/manifests/<reference>", methods=["PUT"], endpoint=self.put_manifest),
            Rule("/manifests/<reference>", methods=["DELETE"], endpoint=self.delete_manifest),
            Rule("/blobs/<digest>", methods=["GET"], endpoint=self.get_blob),
            Rule("/blobs/<digest>", methods=["DELETE"], endpoint=self.delete_blob),
            Rule("/blobs/uploads/", methods=["POST"], endpoint=self.begin_upload),
            Rule("/blobs/uploads/<session>", methods=["GET"], endpoint=self.get_upload),
            Rule("/blobs/uploads/<session>", methods=["PATCH"], endpoint=self.continue_upload),
            Rule("/blobs/uploads/<session>", methods=["PUT"], endpoint=self.finish_upload),
            Rule("/blobs/uploads/<session>", methods=["DELETE"], endpoint=self.cancel_upload),
            Rule("/tags/list", methods=["GET"], endpoint=self.list_tags),
            *([referrers] if self._referrers_api else []),
        ]

    def answer(self, request: Request) -> Response:
        """Answer every request, also those that the specification has an error for."""
        try:
            return self.dispatch(request)
        except Refused as refused:
            return self.refusal(refused)
        except NotFound:
            return Response("404 page not found\n", status=404)
        except HTTPException as error:
            response = error.get_response(request.environ)
            response.data = msgspec.json.encode(_errors("UNSUPPORTED", error.description or ""))
            response.content_type = "application/json"
            return response

    def dispatch(self, request: Request) -> Response:
        """Hand the request to the method that answers on its path."""
        endpoint, matched = self._routes.bind_to_environ(request.environ).match()
        arguments = dict(matched)
        if "repository" in arguments:
            arguments["repository"] = Repository(self.root, arguments["repository"])
        response: Response = endpoint(request, **arguments)
        return response

    def refusal(self, refused: Refused) -> Response:
        """Put a refusal into the specification's form."""
        errors = _errors(refused.code, refused.message, *refused.details)
        return json_response(errors, status=_STATUS.get(refused.code, 400))

    def get_version(self, _: Request) -> Response:
        """Say that this is a registry."""
        return json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    # Manifests

    def get_manifest(self, _: Request, repository: Repository, reference: str) -> Response:
        """Send a manifest."""
        manifest = repository.manifest(reference)
        headers = {"Docker-Content-Digest": str(manifest.digest)}
        return Response(manifest.raw, headers=headers, content_type=manifest.media_type)

    def put_manifest(self, request: Request, repository: Repository, reference: str) -> Response:
        """Take a manifest in."""
        media_type = request.content_type or ""
        raw = b"".join(_body(request))
        manifest = self.add_manifest(repository, reference, media_type, raw)
        response = _created(repository, "manifests", manifest.digest)
        # Clients take this header as the word that the registry itself keeps the list of referrers.
        if manifest.subject and self._referrers_api:
            response.headers["OCI-Subject"] = str(manifest.subject)
        return response

    def add_manifest(
        self, repository: Repository, reference: str, media_type: str, raw: bytes
    ) -> Manifest:
        """Keep a manifest that has arrived."""
        return repository.add_manifest(reference, media_type, raw)

    def delete_manifest(self, _: Request, repository: Repository, reference: str) -> Response:
        """Delete a tag, or a manifest with its tags."""
        repository.remove_manifest(reference)
        return Response(status=202)

    # Blobs

    def get_blob(self, request: Request, repository: Repository, digest: str) -> Response:
        """Send a blob, or the part of it that is wanted."""
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

    def delete_blob(self, _: Request, repository: Repository, digest: str) -> Response:
        """Delete a blob."""
        repository.remove_blob(Digest.parse(digest))
        return Response(status=202)

    def begin_upload(self, request: Request, repository: Repository) -> Response:
        """Open an upload, unless the request brings the blob or mounts it."""
        if "digest" in request.args:
            return self.finish_upload(request, repository, repository.begin_upload().session)
        if "mount" in request.args:
            digest = Digest.parse(request.args["mount"])
            if self.mount(request, repository, digest):
                return _created(repository, "blobs", digest)
        return self._progress(repository, repository.begin_upload(), status=202)

    def mount(self, request: Request, repository: Repository, digest: Digest) -> bool:
        """Take a blob over from the repository that the request names, if that one has it."""
        source = request.args.get("from")
        return source is not None and repository.mount(digest, Repository(self.root, source))

    def get_upload(self, _: Request, repository: Repository, session: str) -> Response:
        """Say how far an upload is."""
        return self._progress(repository, repository.upload(session), status=204)

    def continue_upload(self, request: Request, repository: Repository, session: str) -> Response:
        """Append a chunk."""
        upload = repository.upload(session)
        _receive(request, upload)
        return self._progress(repository, upload, status=202)

    def finish_upload(self, request: Request, repository: Repository, session: str) -> Response:
        """Append what the request brings, and make a blob of it all."""
        upload = repository.upload(session)
        digest = Digest.parse(request.args.get("digest", ""))
        _receive(request, upload)
        repository.add_blob(upload, digest)
        return _created(repository, "blobs", digest)

    def cancel_upload(self, _: Request, repository: Repository, session: str) -> Response:
        """Forget an upload."""
        repository.upload(session).cancel()
        return Response(status=204)

    def upload_location(self, repository: Repository, upload: Upload) -> str:
        """Say where an upload goes on."""
        return f"/v2/{repository.name}/blobs/uploads/{upload.session}"

    def _progress(self, repository: Repository, upload: Upload, status: int) -> Response:
        location = self.upload_location(repository, upload)
        received = f"0-{max(upload.size - 1, 0)}"
        return Response(status=status, headers={"Location": location, "Range": received})

    # Lists

    def list_repositories(self, request: Request) -> Response:
        """List what was pushed to, a page at a time if the client says so."""
        names, link = page(request, repository_names(self.root))
        return json_response({"repositories": names}, headers=link)

    def list_tags(self, request: Request, repository: Repository) -> Response:
        """List the tags, a page at a time if the client says so."""
        tags, link = page(request, repository.tags())
        return json_response({"name": repository.name, "tags": tags}, headers=link)

    def list_referrers(self, request: Request, repository: Repository, digest: str) -> Response:
        """List what names this manifest as its subject."""
        found = self.referrers(repository, Digest.parse(digest))
        wanted = request.args.get("artifactType")
        if wanted:
            found = [descriptor for descriptor in found if descriptor.artifact_type == wanted]
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        return json_response(referrers_index(found), headers={"Content-Type": INDEX, **headers})

    def referrers(self, repository: Repository, subject: Digest) -> list[Descriptor]:
        """Describe what names this manifest as its subject."""
        return [manifest.descriptor for manifest in repository.referrers(subject)]


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return Response(msgspec.json.encode(body), status=status, headers=headers)


def page(
    request: Request, names: list[str], largest: int | None = None
) -> tuple[list[str], dict[str, str]]:
    """Cut the page out that the request asks for; with it comes the link to the one behind it."""
    following = [name for name in names if name > request.args.get("last", "")]
    limit = max(request.args.get("n", default=len(following), type=int), 0)
    limit = limit if largest is None else min(limit, largest)
    if not 0 < limit < len(following):
        return following[:limit], {}
    target = f"{request.path}?n={limit}&last={following[limit - 1]}"
    return following[:limit], {"Link": f'<{target}>; rel="next"'}


def referrers_index(found: list[Descriptor]) -> dict[str, object]:
    """Put a list of referrers into its form."""
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}


def _errors(code: str, message: str, *details: dict[str, str]) -> dict[str, Any]:
    each = details or (None,)
    return {"errors": [{"code": code, "message": message, "detail": detail} for detail in each]}


def _created(repository: Repository, kind: str, digest: Digest) -> Response:
    location = f"/v2/{repository.name}/{kind}/{digest}"
    headers = {"Location": location, "Docker-Content-Digest": str(digest)}
    return Response(status=201, headers=headers)


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


def _body(request: Request) -> Iterable[bytes]:
    try:
        while chunk := request.stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise ClientDisconnected from error
