"""A limit on guessing: so many judged attempts a window, counted in the database, so it holds across processes."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import Attempts

WINDOW = timedelta(minutes=15)
LIMIT = 10


def _digest(kind: str, subject: str) -> str:
    # Keyed: what was typed as an e-mail, or an address, could be guessed from a plain digest.
    return salted_hmac("accounts.attempts", f"{kind}\0{subject}", algorithm="sha256").hexdigest()


def allowed(kind: str, subject: str, *, limit: int = LIMIT, cost: int = 1, window: timedelta = WINDOW) -> bool:
    """Count one attempt (or `cost` of them) and say whether it may be judged.

    Refused attempts do not prolong the window, so the rightful person waits 15 minutes at most.
    """
    now = timezone.now()
    key = _digest(kind, subject)
    with transaction.atomic():
        row, _ = Attempts.objects.select_for_update().get_or_create(subject=key, defaults={"window_started_at": now})
        if row.window_started_at <= now - window:
            row.window_started_at, row.count = now, 0
        if row.count + cost > limit:
            return False
        row.count += cost
        row.save()
    return True


def forgive(kind: str, subject: str) -> None:
    """A right answer gives its own attempt back; the wrong ones before it stay counted."""
    Attempts.objects.filter(subject=_digest(kind, subject), count__gt=0).update(count=F("count") - 1)
