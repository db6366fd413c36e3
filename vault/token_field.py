"""A column that takes tokens and refuses everything else, so a plain value cannot land in a record by any road."""

from typing import Any

from django.db import models
from django.db.models.expressions import Case, Value
from django.db.models.functions import Cast

from vault.core.tokens import LENGTH, is_token


class PlaintextRefused(ValueError):
    """Somebody tried to store a plain value where only a token may stand."""


class TokenField(models.CharField):  # type: ignore[type-arg]
    """Holds a token or nothing. `get_prep_value` also guards `update()` and `bulk_update()`, which skip `save()`.

    What the database would compute is refused too, since only it would see the value: `update(name=Value("Maria"))`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(max_length=LENGTH, blank=True, default="")
        super().__init__(*args, **kwargs)

    def get_prep_value(self, value: Any) -> Any:
        if value not in ("", None) and not is_token(str(value)):
            raise self._refused()
        return super().get_prep_value(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        self._refuse_computed(value)
        return super().get_db_prep_save(value, connection)

    def _refuse_computed(self, value: Any) -> None:
        if not hasattr(value, "as_sql"):
            return
        if isinstance(value, Cast):  # as bulk_update asks Postgres
            (value,) = value.get_source_expressions()
        # Of bulk_update, which gives each row its own value, and each is asked of this field.
        results = [case.result for case in value.cases] if isinstance(value, Case) else [value]
        if isinstance(value, Case) and getattr(value.default, "value", "") is not None:
            results.append(value.default)
        for result in results:
            if not isinstance(result, Value) or not isinstance(
                getattr(result, "_output_field_or_none", None), TokenField
            ):
                raise self._refused()

    def _refused(self) -> PlaintextRefused:
        # The value itself stays out of the message: it may be a patient's.
        return PlaintextRefused(f"{self.model.__name__}.{self.name} takes tokens only")
