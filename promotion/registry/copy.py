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
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from threading import TIMEOUT_MAX
from typing import Any, Protocol

from promotion.errors import ContentMismatch
from promotion.registry import parallel, referrers
from promotion.registry.blobs import Sending, bring
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob, Descriptor, Manifest, successors
from promotion.registry.pace import Pace
from promotion.registry.reference import Digest, parse_digest
from promotion.registry.referrers import AllAttachments, Attachments
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
        Retryable: A registry failed; what has arrived by then is found by the next attempt.
        UnsupportedContent: The image holds a manifest that cannot be copied faithfully.
    """
    pace = Pace(destination.deadline)
    source, destination = source.until(pace.deadline), destination.until(pace.deadline)
    task = partial(bring, source=source, destination=destination, pace=pace, watcher=watcher)
    attachments = attachments or AllAttachments(source)
    return _Walk(image, source, destination, attachments, task, pace).run()


@dataclass
class _Node:
    """A manifest on its way: what it waits for, and what waits for it."""

    manifest: Manifest
    waits_for: set[Digest] = field(default_factory=set)
    tag: str = ""
    subject: Digest | None = None
    written: bool = False


class _Walk:
    def __init__(
        self,
        image: Manifest,
        source: RepositoryClient,
        destination: RepositoryClient,
        attachments: Attachments,
        bring: Callable[[Blob], BlobReport | Sending],
        pace: Pace,
    ) -> None:
        self._image = image
        self._source = source
        self._destination = destination
        self._attachments = attachments
        self._bring = bring
        self._pace = pace
        self._nodes: dict[str, _Node] = {}
        self._seen: set[Digest] = set()
        self._arrived: set[Digest] = set()
        self._awaited: set[Digest] = set()
        self._pending: dict[Future[Any], Callable[[Any], None]] = {}
        self._reports: list[BlobReport] = []
        self._kept: list[str] = []
        self._unlisted: dict[Digest, list[Manifest]] = {}

    def run(self) -> Copied:
        try:
            self._seen.add(self._image.digest)
            self._attached(self._image.digest)
            self._discovered(self._image)
            self._until_nothing_is_pending()
            for subject, written in self._unlisted.items():
                described = [referrers.described(manifest) for manifest in written]
                task = partial(referrers.keep_listed, self._destination, subject, described)
                self._begin(task, lambda _: None)
            self._until_nothing_is_pending()
            self._check_nothing_is_missing()
        except BaseException:
            self._abandon()
            raise
        return self._copied()

    def _begin(self, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._pending[parallel.start(task)] = then

    def _until_nothing_is_pending(self) -> None:
        while self._pending:
            left = min(max(self._pace.deadline.left, 0.0), TIMEOUT_MAX)
            done, _ = wait(self._pending, left, return_when=FIRST_COMPLETED)
            if not done:
                # A blob may still be waiting for its turn to travel.
                raise self._pace.out_of_time()
            for future in done:
                then = self._pending.pop(future)
                then(future.result())

    def _check_nothing_is_missing(self) -> None:
        """A registry's listing may lead in a circle; what cannot be whole gets no tag."""
        for node in self._nodes.values():
            if node.waits_for:
                raise ContentMismatch(
                    f"{node.manifest.digest} cannot be written to {self._destination.repository}:"
                    f" {', '.join(sorted(node.waits_for))} cannot come before it"
                )

    def _abandon(self) -> None:
        """After an error: what has not begun is dropped, what has begun ends at once."""
        begun = [future for future in self._pending if not future.cancel()]
        self._pace.abandon()
        wait(begun)

    def _discovered(self, manifest: Manifest, tag: str = "", subject: Digest | None = None) -> None:
        """A manifest is known: see to what it points to, and write it when that is there."""
        points_to = successors(manifest)
        waits_for = {*points_to.manifests, *(blob.digest for blob in points_to.blobs)}
        if subject:
            waits_for.add(subject)
        if self._image.digest in waits_for:
            self._awaited.add(self._image.digest)
        self._nodes[tag or manifest.digest] = _Node(
            manifest, waits_for - self._arrived, tag, subject
        )
        for blob in points_to.blobs:
            if blob.digest not in self._seen:
                self._seen.add(blob.digest)
                self._begin(partial(self._bring, blob), self._brought)
        for child in points_to.manifests:
            self._fetch(child)
        self._write_what_is_ready()

    def _fetch(self, digest: Digest, subject: Digest | None = None) -> None:
        if digest in self._seen:
            return
        self._seen.add(digest)
        self._attached(digest)
        fetch = self._source.find if subject else self._source.manifest
        self._begin(partial(fetch, digest), partial(self._fetched, digest, subject))

    def _fetched(self, digest: Digest, subject: Digest | None, manifest: Manifest | None) -> None:
        if manifest is None:
            _logger.warning(
                "%s lists the referrer %s but lacks it", self._source.repository, digest
            )
            return
        if subject and successors(manifest).subject != subject:
            _logger.warning(
                "%s lists %s as a referrer of %s, which it is not",
                self._source.repository,
                digest,
                subject,
            )
            subject = None
        self._discovered(manifest, subject=subject)

    def _attached(self, digest: Digest) -> None:
        """Look up what belongs to a manifest, beside everything else."""
        attached = self._attachments.look_up(digest)
        if attached.referrers:
            self._pending[attached.referrers] = partial(self._listed, digest)
        for tag, future in attached.tags.items():
            self._pending[future] = partial(self._found_tag, tag)

    def _listed(self, subject: Digest, found: Sequence[Descriptor]) -> None:
        for descriptor in found:
            self._awaited.add(subject)
            self._fetch(parse_digest(descriptor.digest), subject)
        self._write_what_is_ready()

    def _found_tag(self, tag: str, manifest: Manifest | None) -> None:
        if manifest:
            self._discovered(manifest, tag)

    def _brought(self, outcome: BlobReport | Sending) -> None:
        if isinstance(outcome, Sending):
            self._pending[parallel.start_stream(outcome)] = self._brought
            return
        self._reports.append(outcome)
        self._arrive(outcome.digest)

    def _arrive(self, digest: Digest) -> None:
        self._arrived.add(digest)
        for node in self._nodes.values():
            node.waits_for.discard(digest)
        self._write_what_is_ready()

    def _write_what_is_ready(self) -> None:
        for node in self._nodes.values():
            is_image = node.manifest is self._image
            # The image itself is written under its tag, by the caller, unless something that
            # refers to it is to be written before.
            wanted = not is_image or self._image.digest in self._awaited
            if wanted and not node.waits_for and not node.written:
                node.written = True
                self._begin(partial(self._write, node), partial(self._wrote, node))

    def _write(self, node: _Node) -> bool:
        """Write a manifest; whether it is listed among its subject's referrers."""
        if not node.tag:
            return self._destination.put_manifest(node.manifest)
        present = self._destination.resolve(node.tag)
        if present is None:
            self._destination.put_manifest(node.manifest, node.tag)
        elif present != node.manifest.digest:
            self._kept.append(node.tag)
        return True

    def _wrote(self, node: _Node, listed: bool) -> None:
        if node.subject and not listed:
            self._unlisted.setdefault(node.subject, []).append(node.manifest)
        self._arrive(node.manifest.digest)

    def _copied(self) -> Copied:
        nodes = self._nodes.values()
        for tag in self._kept:
            _logger.warning(
                "%s:%s has other content and is kept", self._destination.repository, tag
            )
        return Copied(
            manifests=sum(node.written for node in nodes if node.manifest is not self._image),
            blobs=tuple(self._reports),
            referrers=tuple(node.manifest.digest for node in nodes if node.subject),
            tags=tuple(node.tag for node in nodes if node.tag and node.tag not in self._kept),
            kept=tuple(self._kept),
        )
