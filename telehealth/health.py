"""Readiness: 200 when database, migrations, the vault's key and the channel layer are there. And what is late."""

from datetime import timedelta

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from consults import alerts, hints
from vault import audit_tree, keyring, keywatch
from vault.custody import VaultUnavailable

#: after which time a log that is not sealed is late; it takes a second
SEALED_WITHIN = timedelta(minutes=1)


def _problems() -> list[str]:
    problems = []
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            problems.append("migrations")
    except DatabaseError:
        problems.append("database")
    try:
        keywatch.keys()
        keyring.prove()
    except VaultUnavailable:
        problems.append("vault")
    return problems


def _late() -> list[str]:
    """What does not stop the service and somebody should look at."""
    now = timezone.now()
    late = {"audit log": audit_tree.waits_since(now - SEALED_WITHIN), "background work": alerts.is_late(now)}
    return [what for what, waits in late.items() if waits]


async def healthz(_request: HttpRequest) -> JsonResponse:
    problems = await sync_to_async(_problems)()
    if not await hints.tell("healthz", {"type": "healthz"}):
        problems.append("channel layer")
    late = await sync_to_async(_late)() if not problems else []
    return JsonResponse({"ready": not problems, "missing": problems, "late": late}, status=503 if problems else 200)
