"""Database triggers that let a table grow and nothing else. Used from migrations."""

from collections.abc import Callable
from typing import Any

from django.db.migrations import RunPython


def statements(table: str, vendor: str) -> list[str]:
    if vendor == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    if vendor == "postgresql":
        refuse = (
            f"CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        rows = (
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
        )
        whole = (
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
        )
        return [refuse, rows, whole]
    raise NotImplementedError(f"no append-only triggers are known for {vendor}")


def lift_statements(table: str, vendor: str) -> list[str]:
    """Take the triggers off again: for migrations run backwards, never at run time."""
    names = ("no_update", "no_delete") if vendor == "sqlite" else ("no_change", "no_truncate")
    suffix = "" if vendor == "sqlite" else f" ON {table}"
    return [f"DROP TRIGGER {table}_{name}{suffix}" for name in names]


def append_only(table: str) -> RunPython:
    """A migration operation that makes `table` append-only."""

    def run(make: Callable[[str, str], list[str]]) -> Callable[[Any, Any], None]:
        def apply(_apps: Any, schema_editor: Any) -> None:
            for statement in make(table, schema_editor.connection.vendor):
                schema_editor.execute(statement)

        return apply

    return RunPython(run(statements), run(lift_statements))
