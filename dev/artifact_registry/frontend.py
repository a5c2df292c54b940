"""What Google's front end answers before the registry sees a request: pages for people."""

from werkzeug.wrappers import Request, Response

_BODIES = ("POST", "PUT", "PATCH")


def page(title: str, status: int) -> Response:
    """Answer with HTML."""
    html = f"<!DOCTYPE html>\n<html lang=en>\n<title>{title}</title>\n<p><b>{title}</b>\n"
    return Response(html, status=status, content_type="text/html; charset=UTF-8")


def lacks_length(request: Request, transfer_encoding: bool) -> bool:
    """Tell whether a request that may have a body does not say how long it is."""
    if request.method not in _BODIES or request.content_length is not None:
        return False
    return not (transfer_encoding and "Transfer-Encoding" in request.headers)
