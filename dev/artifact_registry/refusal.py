"""A refusal in the form that Artifact Registry gives it."""

from collections.abc import Mapping

from werkzeug.wrappers import Response

from dev.distribution import json_response
from dev.storage import Refused


class Refusal(Refused):
    """An error whose status does not follow from its code."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.headers = headers or {}

    @property
    def response(self) -> Response:
        """What the client gets to see."""
        error = {"code": self.code, "message": self.message}
        return json_response({"errors": [error]}, self.status, self.headers)
