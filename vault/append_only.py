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
        # A trigger of rows comes to the table's parts by itself; this one does not.
        return [refuse, rows, no_truncate(table, table), _each_part(table, no_truncate(table, "PART"))]
    raise NotImplementedError(f"no append-only triggers are known for {vendor}")


def no_truncate(table: str, part: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {part} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )


def lift_statements(table: str, vendor: str) -> list[str]:
    """Take the triggers off again: for migrations run backwards, never at run time."""
    if vendor == "sqlite":
        return [f"DROP TRIGGER {table}_{name}" for name in ("no_update", "no_delete")]
    whole = [f"DROP TRIGGER {table}_{name} ON {table}" for name in ("no_change", "no_truncate")]
    return [*whole, _each_part(table, f"DROP TRIGGER {table}_no_truncate ON PART")]


def _each_part(table: str, statement: str) -> str:
    """For each part of a table that is kept in parts, and of none else."""
    before, after = statement.split("PART")
    each = f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass"  # noqa: S608
    run = f"EXECUTE '{before}' || part || '{after}'"
    return f"DO $$ DECLARE part text; BEGIN FOR part IN {each} LOOP {run}; END LOOP; END $$"


def append_only(table: str) -> RunPython:
    """A migration operation that makes `table` append-only."""

    def run(make: Callable[[str, str], list[str]]) -> Callable[[Any, Any], None]:
        def apply(_apps: Any, schema_editor: Any) -> None:
            for statement in make(table, schema_editor.connection.vendor):
                schema_editor.execute(statement)

        return apply

    return RunPython(run(statements), run(lift_statements))
