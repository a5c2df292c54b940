"""The one error of these tools that the product does not have."""

from __future__ import annotations

from promotion.errors import PromotionError


class OperationFailed(PromotionError):
    """An operation could not be begun, or not be completed; the text says what to do about it."""
