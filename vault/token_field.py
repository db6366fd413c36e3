"""A column that takes tokens and refuses everything else, so a plain value cannot land in a record by any road."""

from typing import Any

from django.db import models

from vault.core.tokens import LENGTH, is_token


class PlaintextRefused(ValueError):
    """Somebody tried to store a plain value where only a token may stand."""


class TokenField(models.CharField):  # type: ignore[type-arg]
    """Holds a token or nothing. `get_prep_value` also guards `update()` and `bulk_update()`, which skip `save()`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(max_length=LENGTH, blank=True, default="")
        super().__init__(*args, **kwargs)

    def get_prep_value(self, value: Any) -> Any:
        if value not in ("", None) and not is_token(str(value)):
            # The value itself stays out of the message: it may be a patient's.
            raise PlaintextRefused(f"{self.model.__name__}.{self.name} takes tokens only")
        return super().get_prep_value(value)
