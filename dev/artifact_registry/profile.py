"""The endpoints of Artifact Registry: the specification's, where they do not differ from it."""

import re
from io import BytesIO
from pathlib import Path
from threading import Lock

import msgspec
from werkzeug.exceptions import NotFound
from werkzeug.routing import Rule, Submount
from werkzeug.wrappers import Request, Response

from dev.artifact_registry import frontend
from dev.artifact_registry.access import Access
from dev.artifact_registry.answers import Answers
from dev.artifact_registry.inventory import inventory
from dev.artifact_registry.quota import Quota
from dev.artifact_registry.refusal import Refusal
from dev.artifact_registry.signed import SignedPaths, Transfer
from dev.distribution import INDEX, Distribution, json_response, page, referrers_index
from dev.storage import (
    Descriptor,
    Digest,
    Manifest,
    Refused,
    Repository,
    Upload,
    is_digest,
    is_repository_name,
)

_NAMED = re.compile(r"/v2/(.+)/(?:manifests/.*|blobs/.*|tags/list|referrers/.*)")


class Profile(Distribution):
    """Knows its callers, counts what they ask, and sends bytes by ways of its own.

    Attributes:
        immutable_tags: A tag stays with the manifest that it names.
    """

    def __init__(
        self, root: Path, access: Access, quota: Quota, answers: Answers, largest_page: int
    ) -> None:
        self._access = access
        self._quota = quota
        self._answers = answers
        self._largest_page = largest_page
        self._signed = SignedPaths()
        self._sent: set[str] = set()
        self._lists_to_miss: dict[str, int] = {}
        self._tagging = Lock()
        self.immutable_tags = False
        super().__init__(root)

    def rules(self) -> list[Rule | Submount]:
        """Add the token endpoint."""
        return [
            Rule("/v2/token", methods=["GET"], endpoint=self._access.issue),
            *super().rules(),
        ]

    def dispatch(self, request: Request) -> Response:
        """Hand over what the front end, the quota and the access control let through."""
        match = _NAMED.fullmatch(request.path)
        name = match[1] if match else ""
        if name and not is_repository_name(name):
            return frontend.page("Artifact Registry", status=200)
        if frontend.lacks_length(request, self._answers.transfer_encoding):
            return frontend.page("Error 411 (Length Required)!!1", status=411)
        self._quota.admit(request)
        if transfer := self._signed.find(request.path):
            return transfer.answer(request)
        if name and "/" not in name:
            raise Refusal(400, "NAME_INVALID", "invalid number of path components: 1")
        if request.path.startswith("/v2") and request.path != "/v2/token":
            self._access.admit(request, name)
        return super().dispatch(request)

    def refusal(self, refused: Refused) -> Response:
        """Put a refusal into Artifact Registry's words, where it has its own."""
        if isinstance(refused, Refusal):
            return refused.response
        if refused.code == "MANIFEST_BLOB_UNKNOWN":
            absent = ", ".join(detail["digest"] for detail in refused.details)
            message = f"Manifest references unknown blob(s): {absent}"
            answers = self._answers
            return Refusal(answers.absent_blobs_status, answers.absent_blobs_code, message).response
        return super().refusal(refused)

    def get_version(self, _: Request) -> Response:
        """Say that this is a registry, with no words at all."""
        headers = {"Docker-Distribution-Api-Version": "registry/2.0"}
        return Response(headers=headers, content_type="text/html; charset=utf-8")

    # Manifests, tags and referrers

    def add_manifest(
        self, repository: Repository, reference: str, media_type: str, raw: bytes
    ) -> Manifest:
        """Keep a manifest, unless its tag has to stay where it is."""
        pushed = Manifest(Digest.of(BytesIO(raw)), media_type, raw)
        if pushed.subject and not self._answers.absent_subject:
            repository.manifest(str(pushed.subject))
        with self._tagging:
            if self.immutable_tags and not is_digest(reference):
                self._keep_in_place(repository, reference, pushed.digest)
            manifest = super().add_manifest(repository, reference, media_type, raw)
        if manifest.subject:
            self._lists_to_miss[str(manifest.digest)] = self._answers.referrers_lag
            self._tag_referrers(repository, manifest.subject)
        return manifest

    def delete_manifest(self, request: Request, repository: Repository, reference: str) -> Response:
        """Delete a tag or a manifest, unless the tag has to stay."""
        if self.immutable_tags:
            named = repository.manifest(reference).digest
            for tag in repository.tags():
                if reference in (tag, str(named)) and repository.target_of(tag) == named:
                    raise self._immutable(tag)
        return super().delete_manifest(request, repository, reference)

    def _keep_in_place(self, repository: Repository, tag: str, digest: Digest) -> None:
        named = repository.target_of(tag)
        if named is not None and not (named == digest and self._answers.same_digest_again):
            raise self._immutable(tag)

    def _immutable(self, tag: str) -> Refusal:
        reason = "The repository has enabled tag immutability"
        message = f"manifest invalid: cannot update tag {tag}. {reason}"
        return Refusal(self._answers.immutable_tag_status, "MANIFEST_INVALID", message)

    def _tag_referrers(self, repository: Repository, subject: Digest) -> None:
        if self._answers.referrer_tags:
            index = referrers_index(super().referrers(repository, subject))
            tag = f"{subject.algorithm}-{subject.encoded}"
            repository.add_manifest(tag, INDEX, msgspec.json.encode(index))

    def referrers(self, repository: Repository, subject: Digest) -> list[Descriptor]:
        """Describe what names this manifest as its subject, so far as it is known yet."""
        found = super().referrers(repository, subject)
        found = [descriptor for descriptor in found if not self._misses(descriptor)]
        if self._answers.referrer_sizes_are_true:
            return found
        return [msgspec.structs.replace(each, size=each.size // 2) for each in found]

    def _misses(self, descriptor: Descriptor) -> bool:
        lists = self._lists_to_miss.get(descriptor.digest, 0)
        self._lists_to_miss[descriptor.digest] = max(lists - 1, 0)
        return lists > 0

    def list_repositories(self, _: Request) -> Response:
        """There is no such list: Google's API has one of its own."""
        raise NotFound

    def list_tags(self, request: Request, repository: Repository) -> Response:
        """List the tags, what they name, and the repositories below."""
        children = repository.children
        names = repository.tags(absent_ok=bool(children))
        tags, link = page(request, names, self._largest_page)
        body = {
            "child": children,
            "manifest": inventory(repository, tags, untagged=not link),
            "name": repository.name,
            "tags": tags,
        }
        return json_response(body, headers=link)

    # Blobs

    def get_blob(self, request: Request, repository: Repository, digest: str) -> Response:
        """Send the client to where the blob is."""
        repository.blob(Digest.parse(digest))
        if request.method == "HEAD":
            return super().get_blob(request, repository, digest)
        endpoints = {"GET": self._download, "HEAD": self._download}
        location = self._issue("downloads", Transfer(repository, digest, endpoints))
        return Response(status=self._answers.blob_redirect, headers={"Location": location})

    def _download(self, request: Request, repository: Repository, digest: str) -> Response:
        if self._answers.download_refuses_authorization and "Authorization" in request.headers:
            raise Refusal(400, "UNSUPPORTED", "the path is authorization enough")
        return super().get_blob(request, repository, digest)

    def mount(self, request: Request, repository: Repository, digest: Digest) -> bool:
        """Take a blob over from a repository that the caller may read."""
        source = request.args.get("from")
        if source is None:
            return self._mount_from_anywhere(request, repository, digest)
        if _project(source) != _project(repository.name) and not self._answers.cross_project_mount:
            return False
        if not self._access.may_read(request, source):
            if self._answers.unreadable_mount == 403:
                raise self._access.unreadable(source)
            if self._answers.unreadable_mount == 202:
                return False
        return super().mount(request, repository, digest)

    def _mount_from_anywhere(
        self, request: Request, repository: Repository, digest: Digest
    ) -> bool:
        if self._answers.mount_without_source == 202:
            return False
        return any(
            self._access.may_read(request, source.name) and repository.mount(digest, source)
            for source in Repository.holding(self.root, digest)
        )

    def upload_location(self, repository: Repository, upload: Upload) -> str:
        """Say where an upload goes on: elsewhere, and back here once the bytes were sent."""
        if not self._answers.upload_session_elsewhere:
            return super().upload_location(repository, upload)
        endpoints = {"PATCH": self.continue_upload, "PUT": self.finish_upload}
        transfer = Transfer(repository, upload.session, endpoints)
        if upload.session not in self._sent:
            return self._issue("uploads", transfer)
        folder = "/".join(repository.name.split("/")[:2])
        return self._signed.issue(f"/v2/{folder}/pkg/blobs/uploads", transfer)

    def continue_upload(self, request: Request, repository: Repository, session: str) -> Response:
        """Take the whole blob, once."""
        self._refuse_chunk(request, another=session in self._sent)
        self._sent.add(session)
        return super().continue_upload(request, repository, session)

    def finish_upload(self, request: Request, repository: Repository, session: str) -> Response:
        """Make a blob of what was sent, before or now."""
        self._refuse_chunk(request, another=session in self._sent and request.content_length != 0)
        return super().finish_upload(request, repository, session)

    def _refuse_chunk(self, request: Request, another: bool) -> None:
        if another or "Content-Range" in request.headers:
            raise Refusal(405, "UNSUPPORTED", "chunked uploads are not supported")

    def _issue(self, kind: str, transfer: Transfer) -> str:
        project, name = transfer.repository.name.split("/")[:2]
        folder = f"/artifacts-{kind}/namespaces/{project}/repositories/{name}/{kind}"
        return self._signed.issue(folder, transfer)


def _project(repository: str) -> str:
    return repository.partition("/")[0]
