"""The catalog: which repositories a registry has (Docker's HTTP API V2, "Listing Repositories").

    GET /v2/_catalog?n=1000

It is no part of the OCI specification, and hosted registries tend to have none.
"""

from __future__ import annotations

import msgspec

from promotion import typed
from promotion.deadline import NEVER, Deadline
from promotion.errors import AccessDenied, BadReference, RegistryRefused, UnsupportedContent
from promotion.registry.pages import LONGEST_PAGE, all_pages, check_count, check_length
from promotion.registry.reference import Repository
from promotion.registry.transport import Request, Response, Transport

_PAGE = 1_000
MOST_NAMES = 1_000_000
"""The repositories that a registry may list."""
_LISTED_OR_NO_CATALOG = frozenset({200, 400, 404, 405, 501})


class _Names(msgspec.Struct):
    repositories: list[str] | None = None


def repositories(host: str, transport: Transport, deadline: Deadline = NEVER) -> list[Repository]:
    """All repositories of a registry; what it lists that can be none is left out.

    Raises:
        AccessDenied: This identity may not list them.
        RegistryRefused: The registry has no catalog.
        UnsupportedContent: What it sends is no list, does not end, or is longer than any that is
            of use.
        RegistryUnavailable, DeadlineExceeded: It gave no answer, or not in time.
    """
    request = Request(
        "GET",
        host,
        f"/v2/_catalog?n={_PAGE}",
        f"list the repositories of {host}",
        accept=_LISTED_OR_NO_CATALOG,
        scopes=("registry:catalog:*",),
        deadline=deadline,
    )
    first = _first_page(request, transport)
    found: list[Repository] = []
    for page in all_pages(request, first, transport, LONGEST_PAGE):
        check_count(page, MOST_NAMES, request.attempted)
        found += _repositories(host, page)
        check_length(found, MOST_NAMES, request.attempted)
    return found


def _first_page(request: Request, transport: Transport) -> Response:
    try:
        first = transport.send(request, LONGEST_PAGE)
    except AccessDenied as error:
        raise AccessDenied(
            f"Could not {request.attempted}: this identity may not see its catalog; give it the"
            f" right to (scope {request.scopes[0]}), or have each image evaluated by its name"
            f" ({error})"
        ) from error
    if first.status != 200:
        raise RegistryRefused(
            f"Could not {request.attempted}: it answered {first.status} to {request.url}, so it has"
            " no catalog; have each image evaluated by its name, or keep the stage in a registry"
            " that has one, or in Artifact Registry"
        )
    return first


def _repositories(host: str, page: Response) -> list[Repository]:
    try:
        names = typed.decode(page.content, _Names).repositories or []
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"{host} sent no list of repositories: {error}") from error
    return [repository for name in names for repository in _repository(host, name)]


def _repository(host: str, name: str) -> list[Repository]:
    try:
        return [Repository.parse(f"{host}/{name}")]
    except BadReference:
        return []
