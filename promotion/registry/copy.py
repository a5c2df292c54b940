"""Copying an image between repositories: a walk over the graph of what belongs to it.

The graph holds the image's manifests and blobs, and the manifests that refer to any of them, with
theirs. Every request begins as soon as what it needs is there: a manifest is written when its blobs
and its children are, and what refers to it when it is, so nothing ever points to what is missing.
Manifests keep their bytes, hence their digests. The image's own manifest comes last, under its tag,
and is not written here: a tag that is there implies that everything else is.

The walk runs in the caller's thread and holds all state there; only requests run beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any, Protocol

from promotion.errors import AccessDenied, NotFound, RegistryRefused
from promotion.registry import parallel
from promotion.registry.blobs import Sending, bring
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import INDEX_TYPES, Blob, Descriptor, Manifest, successors
from promotion.registry.order import Kind, Order, Vertex, Writing
from promotion.registry.pace import Pace
from promotion.registry.reference import Digest
from promotion.registry.referrers import (
    AllAttachments,
    Attachments,
    described,
    keep_listed,
    list_referrers,
    listed_digest,
)
from promotion.registry.report import BlobReport, Copied, Unwatched, Watcher

_logger = logging.getLogger(__name__)


class Bring(Protocol):
    """A way to have a blob at the destination."""

    def __call__(
        self,
        blob: Blob,
        *,
        source: RepositoryClient,
        destination: RepositoryClient,
        pace: Pace,
        watcher: Watcher,
    ) -> BlobReport | Sending:
        """Bring it there, or say what it takes."""


def copy(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    attachments: Attachments | None = None,
    watcher: Watcher = Unwatched(),  # noqa: B008 - has no state
    bring: Bring = bring,
) -> Copied:
    """Bring all that belongs to an image into another repository, so that only its tag is missing.

    Args:
        image: The image's own manifest, which is for the caller to write, under its tag.
        source: Where it is.
        destination: Where it goes.
        attachments: Finds what goes with it without being part of it; default: everything.
        watcher: Is told about each blob.
        bring: How a blob is brought over.

    Raises:
        BeyondLimit: The image has more parts than are ever copied.
        Retryable: A registry failed; what has arrived by then is found by the next attempt.
        UnsupportedContent: The image holds a manifest that cannot be copied faithfully.
    """
    walk = _Walk(image, source, destination, attachments, watcher, bring)
    return walk.run(walk.bring_image)


def complete(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    attachments: Attachments | None = None,
    watcher: Watcher = Unwatched(),  # noqa: B008 - has no state
    bring: Bring = bring,
) -> Copied:
    """Bring what is attached to an image that the destination has, and is not attached there yet.

    A registry refuses the manifest of an image whose parts it lacks, so the image itself and all
    that is listed at the destination are taken to be whole: neither is asked for or sent again.
    The arguments and errors are those of ``copy``.
    """
    walk = _Walk(image, source, destination, attachments, watcher, bring)
    return walk.run(walk.pass_by_image)


class _Walk:
    def __init__(
        self,
        image: Manifest,
        source: RepositoryClient,
        destination: RepositoryClient,
        attachments: Attachments | None,
        watcher: Watcher,
        bring: Bring,
    ) -> None:
        self._image = image
        self._pace = Pace(destination.deadline)
        self._source = source.until(self._pace.deadline)
        self._destination = destination.until(self._pace.deadline)
        self._attachments = attachments or AllAttachments(self._source)
        self._bring = partial(
            bring,
            source=self._source,
            destination=self._destination,
            pace=self._pace,
            watcher=watcher,
        )
        self._order = Order()
        self._passed_by: set[Digest] = set()
        self._pending: dict[Future[Any], Callable[[Any], None]] = {}
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._look_ups: set[Future[Any]] = set()
        self._written: list[Writing] = []
        self._unlisted: dict[Digest, list[Manifest]] = {}
        self._reports: list[BlobReport] = []
        self._kept: list[str] = []

    def run(self, begin: Callable[[], None]) -> Copied:
        """Walk until there is nothing left to do."""
        try:
            begin()
            self._until_nothing_is_pending()
            self._check_nothing_waits()
            for subject, manifests in self._unlisted.items():
                self._list(subject, manifests)
            self._until_nothing_is_pending()
        except BaseException:
            self._abandon()
            raise
        return self._copied()

    def bring_image(self) -> None:
        """Begin with an image that is to be brought, but for its own manifest."""
        self._meet(self._image.digest, None)
        self._bring_parts(self._image)
        self._look_up(self._image.digest)
        if successors(self._image).subject:
            # Where lists of referrers are kept by hand, only what is there can be put on one.
            self._write(self._image)
        else:
            self._order.hold_back(self._image)

    def pass_by_image(self) -> None:
        """Begin with an image that is there."""
        self._meet(self._image.digest, None)
        self._pass_by_manifest(self._image)

    # Requests run beside the walk, which takes up what comes of them one after another.

    def _ask_source(self, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Begin a request to the source."""
        self._take_up(parallel.start(task, self._source.repository.host), then)

    def _ask_destination(self, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Begin a request to the destination."""
        self._take_up(parallel.start(task, self._destination.repository.host), then)

    def _take_up(self, future: Future[Any], then: Callable[[Any], None]) -> None:
        """Have the walk go on with what comes of something that is under way."""
        if future not in self._pending:
            future.add_done_callback(self._done.put)
        self._pending[future] = then

    def _until_nothing_is_pending(self) -> None:
        while self._pending:
            future = self._next_done()
            then = self._pending.pop(future)
            then(future.result())

    def _next_done(self) -> Future[Any]:
        # Told by each of them: to look at all that is pending would cost the more, the more it is.
        left = self._pace.deadline.left
        try:
            return self._done.get(block=left > 0, timeout=min(left, TIMEOUT_MAX))
        except Empty:
            # A blob may still be waiting for its turn to travel.
            raise self._pace.out_of_time() from None

    def _abandon(self) -> None:
        """After an error: what has not begun is dropped, what has begun ends at once."""
        begun = [future for future in self._pending if not future.cancel()]
        self._pace.abandon()
        # What looks up what is attached ends with the attachments, which may be somebody else's.
        wait(future for future in begun if future not in self._look_ups)

    # The way down: from a manifest to what it points to.

    def _meet(self, digest: Digest, above: Digest | None) -> bool:
        """Note that a manifest was met, and from where; whether that is the first time."""
        return self._order.meet(
            Vertex(Kind.MANIFEST, digest), Vertex(Kind.MANIFEST, above) if above else None
        )

    def _bring_parts(self, manifest: Manifest) -> None:
        points_to = successors(manifest)
        for blob in points_to.blobs:
            if self._order.meet(Vertex(Kind.BLOB, blob.digest)):
                self._ask_destination(partial(self._bring, blob), self._brought)
        children = [child for child in points_to.manifests if self._meet(child, manifest.digest)]
        for child in children:
            self._ask_source(partial(self._source.manifest, child), self._fetched)
        # Afterwards, since the image need not wait for most of that.
        for child in children:
            self._look_up(child)

    def _brought(self, outcome: BlobReport | Sending) -> None:
        if isinstance(outcome, Sending):
            self._take_up(parallel.start_stream(outcome), self._brought)
            return
        self._reports.append(outcome)
        self._arrive(Vertex(Kind.BLOB, outcome.digest))

    def _fetched(self, manifest: Manifest) -> None:
        self._bring_parts(manifest)
        self._write(manifest)

    # Beside it: from a manifest to what belongs to it.

    def _look_up(self, digest: Digest) -> None:
        attached = self._attachments.look_up(digest)
        if attached.referrers:
            self._await_look_up(attached.referrers, partial(self._found_referrers, digest))
        for tag, future in attached.tags.items():
            self._await_look_up(future, partial(self._found_tag, digest, tag))

    def _await_look_up(self, look_up: Future[Any], then: Callable[[Any], None]) -> None:
        self._look_ups.add(look_up)
        self._take_up(look_up, then)

    def _found_referrers(self, subject: Digest, found: Sequence[Descriptor]) -> None:
        if found and subject in self._passed_by:
            there = partial(list_referrers, self._destination, subject)
            self._ask_destination(there, partial(self._compared, subject, found))
        else:
            self._bring_referrers(subject, found)

    def _bring_referrers(self, subject: Digest, found: Sequence[Descriptor]) -> None:
        for descriptor in found:
            digest = listed_digest(descriptor, subject)
            self._begin_to_write(self._order.release(Vertex(Kind.MANIFEST, digest)))
            if self._meet(digest, subject):
                find = partial(self._source.find, digest)
                self._ask_source(find, partial(self._fetched_referrer, subject, digest))
                self._look_up(digest)

    def _fetched_referrer(self, subject: Digest, digest: Digest, manifest: Manifest | None) -> None:
        lists = f"{self._source.repository} lists {digest} as a referrer of {subject}"
        if manifest is None:
            _logger.warning("%s, but lacks it", lists)
            self._begin_to_write(self._order.lose(Vertex(Kind.MANIFEST, digest)))
            return
        if successors(manifest).subject != subject:
            _logger.warning("%s, which it is not", lists)
        self._fetched(manifest)

    def _found_tag(self, subject: Digest, tag: str, manifest: Manifest | None) -> None:
        if manifest:
            resolve = partial(self._destination.resolve, tag)
            self._ask_destination(resolve, partial(self._resolved_tag, subject, tag, manifest))

    def _resolved_tag(
        self, subject: Digest, tag: str, manifest: Manifest, present: Digest | None
    ) -> None:
        """Set a tag that is not there; one that is there is kept, whatever it names."""
        if present is None:
            self._bring_tagged(subject, tag, manifest)
        elif present != manifest.digest:
            self._kept.append(tag)
        elif self._meet(manifest.digest, subject):
            self._pass_by_manifest(manifest)

    def _bring_tagged(self, subject: Digest, tag: str, manifest: Manifest) -> None:
        if self._meet(manifest.digest, subject):
            self._order.hold_back(manifest)
            self._look_up(manifest.digest)
        self._bring_parts(manifest)
        self._write(manifest, tag)

    # Past what is there already: only what belongs to it may be missing.

    def _pass_by(self, digest: Digest, above: Digest, is_index: bool) -> None:
        if self._meet(digest, above):
            self._is_there(digest)
            if is_index:
                self._ask_destination(
                    partial(self._destination.find, digest), self._pass_by_children
                )

    def _pass_by_manifest(self, manifest: Manifest) -> None:
        self._is_there(manifest.digest)
        self._pass_by_children(manifest)

    def _pass_by_children(self, manifest: Manifest | None) -> None:
        if manifest:
            points_to = successors(manifest)
            for child in points_to.manifests:
                self._pass_by(child, manifest.digest, child in points_to.indexes)

    def _is_there(self, digest: Digest) -> None:
        self._passed_by.add(digest)
        self._look_up(digest)
        self._arrive(Vertex(Kind.MANIFEST, digest))

    def _compared(
        self, subject: Digest, found: Sequence[Descriptor], there: Sequence[Descriptor]
    ) -> None:
        """Both sides have said what refers to a manifest: bring what is missing there."""
        listed = {descriptor.digest for descriptor in there}
        for descriptor in found:
            if descriptor.digest in listed:
                is_index = descriptor.media_type in INDEX_TYPES
                self._pass_by(listed_digest(descriptor, subject), subject, is_index)
        self._bring_referrers(subject, [each for each in found if each.digest not in listed])

    # The way up: a manifest is written when all that it needs has arrived.

    def _write(self, manifest: Manifest, tag: str = "") -> None:
        self._begin_to_write(self._order.write(manifest, tag))

    def _arrive(self, vertex: Vertex) -> None:
        self._begin_to_write(self._order.arrive(vertex))

    def _begin_to_write(self, ready: Sequence[Writing]) -> None:
        for writing in ready:
            self._ask_destination(
                partial(_put, self._destination, writing), partial(self._wrote, writing)
            )

    def _wrote(self, writing: Writing, put: _Put) -> None:
        if put is _Put.KEPT:
            self._kept.append(writing.tag)
            return
        self._written.append(writing)
        if writing.subject and put is _Put.UNLISTED:
            self._unlisted.setdefault(writing.subject, []).append(writing.manifest)
        self._arrive(Vertex(Kind.MANIFEST, writing.manifest.digest))

    def _list(self, subject: Digest, manifests: Sequence[Manifest]) -> None:
        descriptors = [described(manifest) for manifest in manifests]
        task = partial(keep_listed, self._destination, subject, descriptors)
        self._ask_destination(task, lambda _: None)

    def _check_nothing_waits(self) -> None:
        """A manifest that only a stale list names may be needed: what is not whole gets no tag."""
        if missing := self._order.missing:
            raise NotFound(
                f"{self._image.digest} cannot be copied whole to {self._destination.repository}:"
                f" {self._source.repository} lacks {', '.join(missing)}"
            )

    def _copied(self) -> Copied:
        for tag in self._kept:
            _logger.warning(
                "%s:%s has other content and is kept", self._destination.repository, tag
            )
        referrers = [writing.manifest.digest for writing in self._written if self._refers(writing)]
        return Copied(
            manifests=sum(writing.manifest is not self._image for writing in self._written),
            blobs=tuple(self._reports),
            referrers=tuple(dict.fromkeys(referrers)),
            tags=tuple(writing.tag for writing in self._written if writing.tag),
            kept=tuple(self._kept),
        )

    def _refers(self, writing: Writing) -> bool:
        """Whether a manifest is about another one of the graph."""
        return writing.subject is not None and self._order.has_met(
            Vertex(Kind.MANIFEST, writing.subject)
        )


class _Put(Enum):
    """What became of a manifest."""

    LISTED = "it is there, and the registry lists it as what it refers to"
    UNLISTED = "it is there"
    KEPT = "its tag has other content, and keeps it"


def _put(repository: RepositoryClient, writing: Writing) -> _Put:
    """Write a manifest; a tag that another writer has set meanwhile is kept.

    Raises:
        RegistryRefused: Not for the tag's sake.
    """
    try:
        listed = repository.put_manifest(writing.manifest, writing.tag)
        return _Put.LISTED if listed else _Put.UNLISTED
    except (AccessDenied, RegistryRefused):
        # Where tags are immutable, this is how a lost race shows; a twin's tag is as good as ours.
        present = repository.resolve(writing.tag) if writing.tag else None
        if present is None:
            raise
        return _Put.UNLISTED if present == writing.manifest.digest else _Put.KEPT
