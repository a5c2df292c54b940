"""Somebody who looks at the next stages all the time, and expects what has a tag to be whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import urllib3

from promotion.errors import Retryable
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import MANIFEST_TYPES
from promotion.registry.reference import digest_of
from promotion.registry.referrers import list_referrers
from tests.chaos.stock import VERSION, Placed, Repositories

_PAUSE = 0.05
_ACCEPT = {"Accept": ", ".join(sorted(MANIFEST_TYPES))}
_FOUND, _ABSENT = 200, 404


class Reader:
    """Polls the destinations of images, from when it is told of them until it is told to stop.

    It has a client of its own, and judges only what it has read: docker-registry's files are cut
    before they are written anew, so that it answers 500 for a moment, which says nothing.

    Attributes:
        violations: What it has seen of tags that name what is not whole.
        looks: How often it has read a tag.
    """

    def __init__(self, repositories: Repositories, store: EvidenceStore) -> None:
        self.violations: list[str] = []
        self.looks = 0
        self._repositories = repositories
        self._store = store
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)
        self._images: list[Placed] = []
        self._attested: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._http.clear()

    def watch(self, images: list[Placed]) -> None:
        """Look at these from now on, and at no others."""
        self._images = images

    def _run(self) -> None:
        try:
            while not self._over.wait(_PAUSE):
                for image in self._images:
                    self.violations += self.look(image)
        except Exception as error:  # nobody must believe that it went on looking
            self.violations.append(f"the reader failed: {error!r}")

    def look(self, image: Placed) -> list[str]:
        """Look once, and say what is missing of an image that has its tag."""
        place = self._repositories(image.to_stage, image.name)
        status, content = self._get(place, f"manifests/{VERSION}")
        if status != _FOUND or digest_of(content) != image.digest:
            return []
        self.looks += 1
        missing = [
            f"{digest} ({status})"
            for digest in image.manifests
            if digest != image.digest
            for status, _ in [self._get(place, f"manifests/{digest}")]
            if status == _ABSENT
        ]
        missing += [
            f"{digest} ({status})"
            for digest in image.blobs
            for status in [self._head(place, f"blobs/{digest}")]
            if status == _ABSENT
        ]
        missing += self._unlisted(image, place)
        missing += self._unstated(image, place)
        return [f"{place.repository}:{VERSION} was there without {each}" for each in missing]

    def _unlisted(self, image: Placed, place: RepositoryClient) -> list[str]:
        """What refers to the image, and cannot be found by it."""
        with suppress(Retryable):
            return [
                f"{referrer} among the referrers of {subject}"
                for subject, referrer in image.referrers.items()
                if referrer not in {each.digest for each in list_referrers(place, subject)}
            ]
        return []

    def _unstated(self, image: Placed, place: RepositoryClient) -> list[str]:
        """What is not stated, and has not been stated before, of what must be."""
        if image.name in self._attested:
            return []
        try:
            evidence = self._store.read(image.digest, [place])
        except Retryable:
            return []
        missing = [] if evidence.records else ["its record"]
        missing += sorted({*image.suites} - {run.said.suite for run in evidence.runs})
        if not missing:
            self._attested.add(image.name)
        return missing

    def _get(self, place: RepositoryClient, path: str) -> tuple[int, bytes]:
        return self._asked(place, path, lambda url: self._http.request("GET", url, headers=_ACCEPT))

    def _head(self, place: RepositoryClient, path: str) -> int:
        return self._asked(place, path, lambda url: self._http.request("HEAD", url))[0]

    def _asked(
        self, place: RepositoryClient, path: str, ask: Callable[[str], urllib3.BaseHTTPResponse]
    ) -> tuple[int, bytes]:
        repository = place.repository
        try:
            answer = ask(f"http://{repository.host}/v2/{repository.path}/{path}")
        except urllib3.exceptions.HTTPError:
            return 0, b""
        return answer.status, answer.data
