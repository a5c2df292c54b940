"""What the embedded registry keeps, as files below one directory.

    content/DIGEST                               every blob and manifest, once
    repositories/NAME/_blobs/DIGEST              the repository has that blob
    repositories/NAME/_manifests/DIGEST          it has that manifest; its media type
    repositories/NAME/_referrers/SUBJECT/DIGEST  that manifest names this subject
    repositories/NAME/_tags/TAG                  the digest that the tag names
    repositories/NAME/_uploads/SESSION           what is being written

A digest is the path ALGORITHM/HEX. Everything enters through `_uploads` and is renamed into place,
so a reader never meets half a file. No component of a repository's name begins with an underscore:
the folders of one repository and the names of others do not meet.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LONGEST_NAME = 255
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


class Refused(Exception):
    """What the distribution-spec has an error code for; one error per detail."""

    def __init__(self, code: str, message: str, *details: dict[str, str]) -> None:
        super().__init__(code, message, *details)
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True)
class Digest:
    """A content digest in one of the algorithms that the image-spec registers."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ALGORITHM:HEX`."""
        if not _DIGEST.fullmatch(text):
            raise Refused("DIGEST_INVALID", f"not a sha256 or sha512 digest: {text!r}")
        return cls(*text.split(":"))

    @classmethod
    def of(cls, content: BytesIO | BufferedReader, algorithm: str = "sha256") -> Self:
        """Compute the digest of everything that `content` has to read."""
        return cls(algorithm, hashlib.file_digest(content, algorithm).hexdigest())

    @property
    def path(self) -> Path:
        """Where a file about this digest stands in its folder."""
        return Path(self.algorithm, self.encoded)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The image-spec's pointer to content."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None


class ManifestFields(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of a manifest, of whatever kind, that a registry looks at."""

    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    def blobs(self) -> Iterator[Digest]:
        """List the blobs that must be in the repository; those with URLs live elsewhere."""
        pointers = [self.config] if self.config else []
        pointers += self.layers or []
        return (Digest.parse(pointer.digest) for pointer in pointers if not pointer.urls)

    def children(self) -> Iterator[Digest]:
        """List the manifests that must be in the repository."""
        return (Digest.parse(pointer.digest) for pointer in self.manifests or [])


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was pushed, byte for byte."""

    digest: Digest
    media_type: str
    raw: bytes

    @cached_property
    def fields(self) -> ManifestFields:
        """What the bytes say."""
        try:
            return msgspec.json.decode(self.raw, type=ManifestFields)
        except msgspec.MsgspecError as error:
            raise Refused("MANIFEST_INVALID", str(error)) from error

    @property
    def subject(self) -> Digest | None:
        """The manifest that this one says something about."""
        subject = self.fields.subject
        return Digest.parse(subject.digest) if subject else None

    @property
    def descriptor(self) -> Descriptor:
        """The entry of this manifest in a list of referrers."""
        fields = self.fields
        kind = fields.config.media_type if fields.config else None
        return Descriptor(
            media_type=self.media_type,
            digest=str(self.digest),
            size=len(self.raw),
            artifact_type=fields.artifact_type or kind,
            annotations=fields.annotations,
        )


@dataclass(frozen=True)
class Upload:
    """Content on its way in; its bytes are in a file from the first one on."""

    path: Path

    @property
    def session(self) -> str:
        """The name under which the client continues."""
        return self.path.name

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self.path.stat().st_size

    def append(self, chunks: Iterable[bytes]) -> None:
        """Add to the end."""
        with self.path.open("ab") as file:
            file.writelines(chunks)

    def truncate(self, size: int) -> None:
        """Forget what came after the first `size` bytes."""
        os.truncate(self.path, size)

    def commit(self, target: Path) -> None:
        """Make the content visible at `target`, at once and whole."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)

    def cancel(self) -> None:
        """Forget the upload."""
        self.path.unlink()


class Repository:
    """One repository: it shows only what was pushed to it or mounted into it."""

    def __init__(self, root: Path, name: str) -> None:
        if not is_repository_name(name):
            raise Refused("NAME_INVALID", f"not a repository name: {name!r}")
        self.name = name
        self._content = root / "content"
        self._folder = root / "repositories" / name
        self._blobs = self._folder / "_blobs"
        self._manifests = self._folder / "_manifests"
        self._referrers = self._folder / "_referrers"
        self._tags = self._folder / "_tags"
        self._uploads = self._folder / "_uploads"

    @classmethod
    def holding(cls, root: Path, digest: Digest) -> Iterator[Self]:
        """Find the repositories that have a blob."""
        folder = root / "repositories"
        for link in sorted(folder.glob(f"**/_blobs/{digest.path}")):
            yield cls(root, link.parents[2].relative_to(folder).as_posix())

    @property
    def children(self) -> list[str]:
        """The last components of the names that continue this repository's by one."""
        folders = (path for path in self._folder.glob("*") if path.is_dir())
        return sorted(folder.name for folder in folders if not folder.name.startswith("_"))

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the blob was pushed or mounted here."""
        return (self._blobs / digest.path).exists()

    def blob(self, digest: Digest) -> Path:
        """Find the file that holds the blob."""
        if not self.has_blob(digest):
            raise Refused("BLOB_UNKNOWN", f"{self.name} has no blob {digest}")
        return self._content / digest.path

    def mount(self, digest: Digest, source: "Repository") -> bool:
        """Take a blob over from another repository, if that one has it."""
        if not source.has_blob(digest):
            return False
        self._write(self._blobs / digest.path, b"")
        return True

    def remove_blob(self, digest: Digest) -> None:
        """Hide the blob here; other repositories keep it."""
        self.blob(digest)
        (self._blobs / digest.path).unlink(missing_ok=True)

    def begin_upload(self) -> Upload:
        """Open an upload without content."""
        self._uploads.mkdir(parents=True, exist_ok=True)
        upload = Upload(self._uploads / uuid4().hex)
        upload.path.touch()
        return upload

    def upload(self, session: str) -> Upload:
        """Find an upload that was begun here."""
        upload = Upload(self._uploads / session)
        if not upload.path.is_file():
            raise Refused("BLOB_UPLOAD_UNKNOWN", f"{self.name} has no upload {session!r}")
        return upload

    def add_blob(self, upload: Upload, digest: Digest) -> None:
        """Turn the upload into a blob, or forget it if its content is not what `digest` says."""
        with upload.path.open("rb") as file:
            actual = Digest.of(file, digest.algorithm)
        if actual != digest:
            upload.cancel()
            raise Refused("DIGEST_INVALID", f"the content's digest is {actual}, not {digest}")
        upload.commit(self._content / digest.path)
        self._write(self._blobs / digest.path, b"")

    def manifest(self, reference: str) -> Manifest:
        """Find a manifest by tag or digest."""
        try:
            digest = self._resolve(reference)
            media_type = (self._manifests / digest.path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise Refused("MANIFEST_UNKNOWN", f"{self.name} has no {reference}") from error
        return Manifest(digest, media_type, (self._content / digest.path).read_bytes())

    def manifests(self) -> Iterator[Manifest]:
        """List all manifests, with a tag or without."""
        for file in sorted(self._manifests.glob("*/*")):
            yield self.manifest(str(Digest(file.parent.name, file.name)))

    def time_of(self, manifest: Digest) -> float:
        """When the manifest was pushed last, in seconds of the epoch."""
        return (self._manifests / manifest.path).stat().st_mtime

    def add_manifest(self, reference: str, media_type: str, raw: bytes) -> Manifest:
        """Keep a manifest, and its tag if `reference` is one, once all that it needs is here."""
        tag = None if is_digest(reference) else self._tag(reference)
        manifest = self._acceptable(reference, media_type, raw)
        self._write(self._content / manifest.digest.path, raw)
        self._write(self._manifests / manifest.digest.path, media_type.encode())
        if manifest.subject:
            link = self._referrers / manifest.subject.path / manifest.digest.path
            self._write(link, b"")
        if tag:
            self._write(tag, str(manifest.digest).encode())
        return manifest

    def remove_manifest(self, reference: str) -> None:
        """Remove a tag alone, or a manifest with all its tags."""
        manifest = self.manifest(reference)
        if not is_digest(reference):
            self._tag(reference).unlink(missing_ok=True)
            return
        (self._manifests / manifest.digest.path).unlink(missing_ok=True)
        for tag in self._tags.glob("*"):
            if tag.read_text(encoding="utf-8") == reference:
                tag.unlink()

    def tags(self, absent_ok: bool = False) -> list[str]:
        """List the tags in the order of their names."""
        if not (absent_ok or self._manifests.is_dir()):
            raise Refused("NAME_UNKNOWN", f"nothing was pushed to {self.name}")
        return sorted(tag.name for tag in self._tags.glob("*"))

    def target_of(self, tag: str) -> Digest | None:
        """Tell which manifest the tag names, if there is such a tag."""
        try:
            return self._resolve(tag)
        except FileNotFoundError:
            return None

    def referrers(self, subject: Digest) -> Iterator[Manifest]:
        """List the manifests whose subject is this one."""
        for link in sorted((self._referrers / subject.path).glob("*/*")):
            digest = Digest(link.parent.name, link.name)
            if self._has_manifest(digest):
                yield self.manifest(str(digest))

    def _acceptable(self, reference: str, media_type: str, raw: bytes) -> Manifest:
        named = Digest.parse(reference) if is_digest(reference) else None
        digest = Digest.of(BytesIO(raw), named.algorithm if named else "sha256")
        if named and digest != named:
            raise Refused("DIGEST_INVALID", f"the manifest's digest is {digest}, not {named}")
        manifest = Manifest(digest, media_type, raw)
        stated = manifest.fields.media_type or media_type
        if not media_type or media_type != stated:
            message = f"the Content-Type is {media_type!r}, the manifest's mediaType {stated!r}"
            raise Refused("MANIFEST_INVALID", message)
        if missing := list(dict.fromkeys(self._missing(manifest.fields))):
            details = [{"digest": str(each)} for each in missing]
            message = f"{self.name} has not all that the manifest refers to"
            raise Refused("MANIFEST_BLOB_UNKNOWN", message, *details)
        return manifest

    def _missing(self, fields: ManifestFields) -> Iterator[Digest]:
        yield from (blob for blob in fields.blobs() if not self.has_blob(blob))
        yield from (child for child in fields.children() if not self._has_manifest(child))

    def _has_manifest(self, digest: Digest) -> bool:
        return (self._manifests / digest.path).exists()

    def _resolve(self, reference: str) -> Digest:
        if not is_digest(reference):
            reference = self._tag(reference).read_text(encoding="utf-8")
        return Digest.parse(reference)

    def _tag(self, tag: str) -> Path:
        if not _TAG.fullmatch(tag):
            raise Refused("MANIFEST_INVALID", f"not a tag: {tag!r}")
        return self._tags / tag

    def _write(self, target: Path, content: bytes) -> None:
        upload = self.begin_upload()
        upload.append([content])
        upload.commit(target)


def repository_names(root: Path) -> list[str]:
    """List the repositories that something was pushed to, in the order of their names."""
    top = root / "repositories"
    found = []
    for folder, inside, _ in os.walk(top):
        if "_manifests" in inside:
            found.append(Path(folder).relative_to(top).as_posix())
        # What begins so is a repository's content, and may be much.
        inside[:] = [each for each in inside if not each.startswith("_")]
    return sorted(found)


def is_repository_name(name: str) -> bool:
    """Tell whether a repository may be called so."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def is_digest(reference: str) -> bool:
    """Tell a digest from a tag."""
    return ":" in reference
