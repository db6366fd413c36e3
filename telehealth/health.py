"""Readiness: 200 when the database, the migrations, the vault's key and the channel layer are all there."""

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from vault import keyring, keywatch
from vault.custody import VaultUnavailable


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


async def healthz(_request: HttpRequest) -> JsonResponse:
    problems = await sync_to_async(_problems)()
    try:
        await get_channel_layer().group_send("healthz", {"type": "healthz"})
    except (OSError, RedisError):
        problems.append("channel layer")
    return JsonResponse({"ready": not problems, "missing": problems}, status=503 if problems else 200)
