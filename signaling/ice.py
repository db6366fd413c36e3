"""ICE servers for browsers: the clinic's own coturn with credentials that die within the hour, or none."""

import base64
import hashlib
import hmac
import time
from typing import Any

from django.conf import settings


def credentials(name: str, secret: str, *, expires_at: int) -> tuple[str, str]:
    """User name and password as coturn's `use-auth-secret` checks them (draft-uberti-behave-turn-rest-00)."""
    username = f"{expires_at}:{name}"
    # SHA-1 is what that scheme and coturn use; HMAC does not need its collision resistance.
    password = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(password).decode()


def servers(participant: str) -> list[dict[str, Any]]:
    """RTCIceServer dictionaries (W3C webrtc-pc, 4.2.2) for one participant. Never a third party's server."""
    if not settings.TURN_URLS:
        return []
    username, password = credentials(
        participant, settings.TURN_SECRET, expires_at=int(time.time()) + settings.TURN_SECONDS
    )
    return [{"urls": settings.TURN_URLS, "username": username, "credential": password}]
