"""Whether a repository can be read and written, found out without leaving anything behind."""

from __future__ import annotations

from promotion.errors import PromotionError, RegistryUnavailable
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Request, Transport

_CANCELLED = frozenset({200, 202, 204, 404})


def try_reading(repository: Repository, transport: Transport) -> None:
    """List the tags, of which there may be none.

    Raises:
        AccessDenied, RegistryRefused, RegistryUnavailable: It cannot be read.
    """
    RepositoryClient(repository, transport).tags()


def try_writing(repository: Repository, transport: Transport) -> bool:
    """Open an upload, as for an image's first blob, and cancel it.

    Returns:
        Whether nothing is left: not every registry lets an upload be cancelled, but all of them
        forget one, after a time, that nothing is sent to.

    Raises:
        AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: It cannot be written.
    """
    return _cancel(repository, _opened(repository, transport), transport)


def _opened(repository: Repository, transport: Transport) -> str:
    answer = transport.send(
        Request(
            "POST",
            repository.host,
            f"/v2/{repository.path}/blobs/uploads/",
            f"open an upload in {repository}",
            headers={"Content-Length": "0"},
            accept=frozenset({202}),
            scopes=_scopes(repository),
        )
    )
    if "Location" not in answer.headers:
        raise RegistryUnavailable(
            f"Could not open an upload in {repository}: the answer names no location"
        )
    return answer.headers["Location"]


def _cancel(repository: Repository, location: str, transport: Transport) -> bool:
    try:
        transport.send(
            Request(
                "DELETE",
                repository.host,
                location,
                f"cancel an upload in {repository}",
                accept=_CANCELLED,
                scopes=_scopes(repository),
            )
        )
    except PromotionError:
        return False
    return True


def _scopes(repository: Repository) -> tuple[str, ...]:
    return (f"repository:{repository.path}:pull,push",)
