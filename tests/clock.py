"""A clock that stands still until a test moves it."""

import datetime as dt
import time

import pytest
from django.utils import timezone


class Clock:
    """Holds `time.time` and Django's `timezone.now` together, ten seconds into a one-time code's half minute.

    Monotonic time, which schedules, goes on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = time.time()
        self.now = real - real % 30 + 10
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(timezone, "now", lambda: dt.datetime.fromtimestamp(self.now, dt.UTC))

    def move(self, seconds: float) -> None:
        self.now += seconds
