"""Where images come from and go to: two real registries, with or without a proxy before each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.separate import SeparateProxy, separate_proxy
from bench.traffic import Traffic
from dev.anonymous import anonymous_transport
from dev.services import docker_registry
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport


@dataclass(frozen=True)
class Place:
    """A registry.

    Attributes:
        host: What contestants call it: the proxy's address, if there is one.
        proxy: What counts their requests.
    """

    host: str
    proxy: SeparateProxy | None
    _registry: str
    _data: Path
    _transport: Transport

    def repository(self, path: str) -> RepositoryClient:
        """A repository, spoken to past the proxy: to prepare a copy and to look at its result."""
        return RepositoryClient(Repository(self._registry, path), self._transport)

    def clear(self) -> None:
        """Remove all that was pushed; a registry with its data in files does not mind."""
        shutil.rmtree(self._data, ignore_errors=True)


@dataclass(frozen=True)
class Places:
    """Two registries."""

    near: Place
    far: Place

    def forget(self) -> None:
        """Begin to count anew."""
        for proxy in self._proxies:
            proxy.forget()

    def traffic(self) -> Traffic | None:
        """What was counted at both; None without proxies."""
        if not self._proxies:
            return None
        return Traffic.of(each for proxy in self._proxies for each in proxy.exchanges())

    def connections(self) -> tuple[int, int]:
        """How many connections were made so far, and how many of them are open, to both."""
        made, opened = zip((0, 0), *(proxy.connections() for proxy in self._proxies), strict=True)
        return sum(made), sum(opened)

    @property
    def _proxies(self) -> list[SeparateProxy]:
        return [place.proxy for place in (self.near, self.far) if place.proxy]


@contextmanager
def behind_proxies(folder: Path, round_trip: float) -> Iterator[Places]:
    """Two registries, each behind a proxy that adds so many seconds to each request."""
    with (
        _directly(folder) as (near, far),
        separate_proxy(near.host, round_trip) as near_proxy,
        separate_proxy(far.host, round_trip) as far_proxy,
    ):
        yield Places(_behind(near, near_proxy), _behind(far, far_proxy))


@contextmanager
def without_proxies(folder: Path) -> Iterator[Places]:
    """Two registries with nothing before them."""
    with _directly(folder) as (near, far):
        yield Places(near, far)


@contextmanager
def _directly(folder: Path) -> Iterator[tuple[Place, Place]]:
    transport = anonymous_transport()
    near, far = folder / "near", folder / "far"
    try:
        with docker_registry(near) as one, docker_registry(far) as other:
            yield (
                Place(one.host, None, one.host, near / "data", transport),
                Place(other.host, None, other.host, far / "data", transport),
            )
    finally:
        transport.close()


def _behind(place: Place, proxy: SeparateProxy) -> Place:
    return Place(proxy.host, proxy, place._registry, place._data, place._transport)
