"""System checks: settings that do not fit together stop the start with one sentence each."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, register


@register()
def settings_fit(app_configs: Any, **_kwargs: Any) -> list[Error]:
    problems = []
    if settings.MODE not in ("demo", "production"):
        problems.append(Error("TELEHEALTH_MODE must be demo or production.", id="telehealth.E001"))
    if settings.MODE == "production":
        problems += _production_problems()
    elif settings.HOST not in ("localhost", "127.0.0.1") and settings.DATABASE_URL:
        problems.append(
            Error(
                "Demo mode does not run on a public host with a real database. Set TELEHEALTH_MODE=production.",
                id="telehealth.E002",
            )
        )
    if settings.TURN_URLS and not settings.TURN_SECRET:
        problems.append(Error("TELEHEALTH_TURN_URLS needs TELEHEALTH_TURN_SECRET.", id="telehealth.E003"))
    if bool(settings.REDIS_URL) != bool(settings.DATABASE_URL):
        problems.append(Error("DATABASE_URL and REDIS_URL belong together: set both or neither.", id="telehealth.E004"))
    return problems


def _production_problems() -> list[Error]:
    problems = []
    for name in ("SECRET_KEY", "CRYPTOGRAPHY_KEY", "CHANNEL_KEY"):
        if len(getattr(settings, name)) < 32 or getattr(settings, name) == "unset":
            problems.append(
                Error(f"Production needs {name} (or {name}_FILE), 32 letters or more.", id="telehealth.E010")
            )
    if len({settings.SECRET_KEY, settings.CRYPTOGRAPHY_KEY, settings.CHANNEL_KEY}) < 3:
        problems.append(
            Error(
                "SECRET_KEY, CRYPTOGRAPHY_KEY and CHANNEL_KEY must differ from each other.",
                id="telehealth.E011",
            )
        )
    if not settings.DATABASE_URL or not settings.REDIS_URL:
        problems.append(Error("Production needs DATABASE_URL and REDIS_URL.", id="telehealth.E012"))
    if settings.HOST == "localhost":
        problems.append(Error("Production needs TELEHEALTH_HOST, the name in your certificate.", id="telehealth.E013"))
    return problems
