"""The statements about an image, in the registry that holds the image: there is no other store.

Whoever can write to a repository can attach something there, so nothing counts that the verifier
does not vouch for, and nothing that is about another digest. What does not count is reported too,
with the reason.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from promotion import dsse
from promotion.dsse import BUNDLE_TYPE, Envelope, NotAnEnvelope
from promotion.errors import (
    AccessDenied,
    ContentMismatch,
    EvidenceMissing,
    NotFound,
    PromotionError,
    RegistryRefused,
)
from promotion.evidence import attestation, kinds, statement
from promotion.evidence.attested import MOST, Attested, Evidence, Ignored, Read, collected
from promotion.evidence.kinds import Said
from promotion.evidence.statement import PAYLOAD_TYPE, NotAStatement
from promotion.registry import parallel, referrers
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob, Descriptor, Manifest
from promotion.registry.reference import Digest, Repository, digest_of
from promotion.signing import NotTrusted, Signer, Verifier
from promotion.verdict import Basis

_AT_ONCE = 16
_REMEMBERED = 2000
# Registries may list a manifest with the size of what it points to.
_LARGEST_LISTED = attestation.LARGEST + dsse.LARGEST

_logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")


class EvidenceStore:
    """Reads and writes statements; safe to share between threads.

    What was read and verified once is remembered: only what is new since then is fetched. What
    there is, is asked for each time.
    """

    def __init__(self, signer: Signer, verifier: Verifier) -> None:
        self._signer = signer
        self._verifier = verifier
        # The subject must be part of it: whoever can set a tag can show the attestation of one
        # image where those of another are looked for.
        self._known: _Memory[tuple[Digest, str], Read] = _Memory()
        # Tags that were seen to name what they are made of, and nothing else can they ever name.
        self._own_tags: _Memory[tuple[Repository, str], Digest] = _Memory()
        self._with_api: set[str] = set()
        # That is for writing alone: a tag too many does no harm where there is an API by now.
        self._without_api: set[Repository] = set()

    def read(self, digest: Digest, repositories: Sequence[RepositoryClient]) -> Evidence:
        """All statements about a digest in these repositories, each once.

        Raises:
            Retryable: A repository cannot be read.
        """
        listings = [
            parallel.start(partial(self._listed, each, digest), each.repository.host)
            for each in repositories
        ]
        found: list[Read] = []
        overflow = False
        for repository, listing in zip(repositories, listings, strict=True):
            names = listing.result()
            overflow = overflow or len(names) > MOST
            found += self._each(repository, digest, names[:MOST])
        return collected(found, overflow)

    def attach(
        self, repository: RepositoryClient, subject: Manifest, said: Said, known: Evidence
    ) -> Attested[Said]:
        """State something about an image, unless that is known; the statement, as it is there.

        Args:
            repository: Where the image is.
            subject: The image.
            said: What there is to state.
            known: What was read there.

        Raises:
            Retryable: It could not be signed or written.
        """
        payload = kinds.write(said, subject.digest)
        if there := known.find(digest_of(payload)):
            return there
        bundle = self._signer.sign(PAYLOAD_TYPE, payload).to_bundle()
        kind, at = kinds.predicate_type(said), kinds.moment(said)
        written = attestation.manifest(subject, bundle, kind, at)
        read = self._understood(written, bundle, subject.digest)
        if isinstance(read, Ignored):
            raise EvidenceMissing(
                f"The statement {digest_of(payload)} would not count, so it was not attached:"
                f" {read.reason}; does signing.trusted hold the signing key? `promotion check"
                " --online` says"
            )
        _put_blobs(repository, bundle, known)
        self._put(repository, subject.digest, written)
        self._known.keep((subject.digest, written.digest), read)
        self._list(repository, subject.digest, [written])
        return read

    def carry(
        self,
        evidence: Evidence,
        subject: Digest,
        sources: Sequence[RepositoryClient],
        destination: RepositoryClient,
        there: Evidence,
    ) -> None:
        """Let evidence go with its image: attach what the destination does not have yet.

        Raises:
            Retryable: It could not be read or written.
        """
        present = {each.basis.attestation for each in there.attested}
        missing = [each for each in evidence.attested if each.basis.attestation not in present]
        for each in missing:
            # Where a copy has brought all but the tag, the registry has seen to it that all is
            # there: it refuses a manifest whose parts it lacks.
            if self._has_api(destination, subject) or not destination.has_manifest(
                each.manifest.digest
            ):
                _put_blobs(destination, _found(sources, each.bundle), there)
            self._put(destination, subject, each.manifest)
        if missing:
            self._list(destination, subject, [each.manifest for each in evidence.attested])

    def _put(self, repository: RepositoryClient, subject: Digest, manifest: Manifest) -> None:
        """Write an attestation, all parts of which are there, so that it is found."""
        if self._has_api(repository, subject):
            repository.put_manifest(manifest)
            return
        tag = attestation.tag_of(subject, manifest.digest)
        _tag(repository, manifest, tag)
        self._own_tags.keep((repository.repository, tag), manifest.digest)

    def _list(
        self, repository: RepositoryClient, subject: Digest, written: Sequence[Manifest]
    ) -> None:
        """List it under the specification's fallback tag, by which nothing is found here."""
        if self._has_api(repository, subject):
            return
        try:
            descriptors = [referrers.described(each) for each in written]
            referrers.keep_listed_by_tag(repository, subject, descriptors)
        except PromotionError as error:
            _logger.info("not listed for other tools: %s", error)

    def _has_api(self, repository: RepositoryClient, subject: Digest) -> bool:
        """Whether what is written with a subject, which is there, is listed without a tag."""
        place = repository.repository
        if place.host not in self._with_api and place not in self._without_api:
            self._note_api(place, repository.referrers(subject) is not None)
        return place.host in self._with_api

    def _note_api(self, place: Repository, there: bool) -> None:
        if there:
            self._with_api.add(place.host)
        else:
            self._without_api.add(place)

    def _listed(self, repository: RepositoryClient, subject: Digest) -> Sequence[str | Ignored]:
        """The names of what may be statements: digests by the referrers API, else tags."""
        listed = repository.referrers(subject)
        if listed is None:
            tags = repository.tags()
            if tags:
                # Of a repository that is not there some registries answer as if they had no API.
                self._note_api(repository.repository, there=False)
            return [tag for tag in tags if attestation.is_tag_for(subject, tag)]
        self._note_api(repository.repository, there=True)
        return [_named(each, subject) for each in listed if each.artifact_type == BUNDLE_TYPE]

    def _each(
        self, repository: RepositoryClient, subject: Digest, names: Sequence[str | Ignored]
    ) -> Iterator[Read]:
        """Read what is listed, a few at once, so that little of it is in memory at any time."""
        waiting = iter(names)
        while some := list(islice(waiting, _AT_ONCE)):
            fetched = [self._fetched(repository, subject, name) for name in some]
            for each in fetched:
                result = each.result() if isinstance(each, Future) else each
                if result is not None:
                    yield result

    def _fetched(
        self, repository: RepositoryClient, subject: Digest, name: str | Ignored
    ) -> Read | Future[Read | None]:
        if isinstance(name, Ignored):
            return name
        digest = self._own_tags.get((repository.repository, name)) or name
        known = self._known.get((subject, digest))
        fetch = partial(self._fetch, repository, subject, name)
        return known or parallel.start(fetch, repository.repository.host)

    def _fetch(self, repository: RepositoryClient, subject: Digest, name: str) -> Read | None:
        """What is kept under a digest or a tag; None if it has gone since it was listed.

        Raises:
            EvidenceMissing: It is listed all the same: nothing is decided upon the rest alone.
        """
        manifest = repository.find(name)
        if manifest is None:
            if name in self._listed(repository, subject):
                raise EvidenceMissing(
                    f"{repository.repository} lists the statement {name} about {subject}, and"
                    " answers that it is not there"
                )
            return None
        if ":" not in name:
            if name != attestation.tag_of(subject, manifest.digest):
                return Ignored.because(manifest.digest, f"its tag, {name}, is not its own")
            self._own_tags.keep((repository.repository, name), manifest.digest)
        known = self._known.get((subject, manifest.digest))
        if known is None:
            known = self._read(repository, subject, manifest)
            self._known.keep((subject, manifest.digest), known)
        return known

    def _read(self, repository: RepositoryClient, subject: Digest, manifest: Manifest) -> Read:
        try:
            bundle = _read_bundle(
                repository, attestation.bundle_in(manifest, subject, dsse.LARGEST)
            )
        except NotAStatement as error:
            return Ignored.because(manifest.digest, error)
        return self._understood(manifest, bundle, subject)

    def _understood(self, manifest: Manifest, bundle: bytes, subject: Digest) -> Read:
        """What a bundle states about its subject, if it counts."""
        try:
            envelope = Envelope.from_bundle(bundle)
            self._verifier.verify(envelope)
            if envelope.payload_type != PAYLOAD_TYPE:
                raise NotAStatement(f"its payload is {envelope.payload_type}, not {PAYLOAD_TYPE}")
            said = kinds.read(statement.read(envelope.payload, subject))
            basis = Basis(digest_of(envelope.payload), manifest.digest, kinds.moment(said))
            return Attested(said, basis, manifest, Blob(digest_of(bundle), len(bundle)))
        except (NotAnEnvelope, NotTrusted, NotAStatement) as error:
            return Ignored.because(manifest.digest, error)


class _Memory(Generic[Key, Value]):
    """Keeps so many things for all threads; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: Key, value: Value) -> None:
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)


def _named(listed: Descriptor, subject: Digest) -> Digest | Ignored:
    """The name of what may be a statement; nothing is fetched that is too large to be one."""
    digest = referrers.listed_digest(listed, subject)
    if listed.size > _LARGEST_LISTED:
        return Ignored.because(
            digest, f"it is listed with {listed.size:,} bytes, which is too much"
        )
    return digest


def _read_bundle(repository: RepositoryClient, bundle: Blob) -> bytes:
    """A bundle's bytes; their number in its manifest is only what somebody wrote there.

    Raises:
        NotAStatement: There are more of them, or fewer.
        Retryable: They could not be read, or not as they are: nothing is decided without them.
    """
    content = bytearray()
    with repository.blob(bundle) as pieces:
        for piece in pieces:
            content += piece
            if len(content) > bundle.size:
                raise NotAStatement(f"it has more than the {bundle.size:,} bytes that it should")
    if digest_of(bytes(content)) != bundle.digest:
        raise ContentMismatch(
            f"{repository.repository.host} sent bytes for the statement {bundle.digest} that do"
            " not have that digest"
        )
    if len(content) < bundle.size:
        raise NotAStatement(f"it has {len(content):,} bytes, and should have {bundle.size:,}")
    return bytes(content)


def _found(repositories: Sequence[RepositoryClient], bundle: Blob) -> bytes:
    """A bundle's bytes, from the first repository that has it."""
    for repository in repositories:
        try:
            return repository.read_blob(bundle, dsse.LARGEST)
        except NotFound:
            continue
    raise NotFound(f"The statement {bundle.digest} was deleted while its image was promoted")


def _put_blobs(repository: RepositoryClient, bundle: bytes, known: Evidence) -> None:
    """Have the parts of an attestation in a repository of which so much is known."""
    putting = parallel.start(partial(repository.put_blob, bundle), repository.repository.host)
    # Any other attestation there has the same empty config.
    if not (known.attested and repository.has_blob(digest_of(attestation.EMPTY))):
        repository.put_blob(attestation.EMPTY)
    putting.result()


def _tag(repository: RepositoryClient, manifest: Manifest, tag: str) -> None:
    """Write a manifest under a tag of its own, which may be there already."""
    try:
        repository.put_manifest(manifest, tag)
    except (AccessDenied, RegistryRefused):
        # Where tags are immutable it cannot be set again, not even to what it names.
        if repository.resolve(tag) != manifest.digest:
            raise
