from typing import Any

from django.conf import settings
from django.http import HttpRequest


def product(_request: HttpRequest) -> dict[str, Any]:
    return {
        "demo": settings.DEMO,
        "mail_works": settings.MAIL_WORKS,
        "step_up_seconds": settings.STEP_UP_SECONDS,
    }
