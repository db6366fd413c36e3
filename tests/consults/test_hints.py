"""Hints are worth waiting for a second, and no more."""

import asyncio

import pytest
from redis.exceptions import ConnectionError

from consults import hints, visit
from tests.cast import BY, bring_to

pytestmark = pytest.mark.django_db(transaction=True)


class Layer:
    """A channel layer in trouble."""

    def __init__(self, trouble):
        self.trouble, self.asked = trouble, []

    async def group_send(self, group, _message):
        self.asked.append(group)
        await self.trouble()


async def mute():
    await asyncio.Event().wait()


async def gone():
    raise ConnectionError


@pytest.mark.parametrize("trouble", [mute, gone])
def test_nobody_waits_for_a_channel_layer_that_is_away(committed_cast, monkeypatch, caplog, trouble):
    now = bring_to("waiting", committed_cast.clinician, committed_cast.patient)
    layer = Layer(trouble)
    monkeypatch.setattr(hints, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(hints, "PATIENCE", 0.1)
    visit.admit(now.consult, BY)
    now.consult.refresh_from_db()
    assert now.consult.admitted_at
    # The others are not tried: each would take as long.
    assert layer.asked == [hints.consult_group(now.consult.id)]
    assert "nothing could be said" in caplog.text
