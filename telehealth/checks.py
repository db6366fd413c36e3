"""System checks: settings that do not fit together stop the start with one sentence each."""

from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import Error, register

from consults.alert_words import WORDS
from vault import audit_publish as publish
from vault import audit_ship as ship
from vault.custody import CUSTODIANS, REMOTE
from vault.exchange import parts_of


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
    if not all(url.startswith(("turn:", "turns:")) for url in settings.TURN_URLS):
        # A browser that asks a STUN server tells it the address of a patient.
        said = "Each of TELEHEALTH_TURN_URLS must begin with turn: or turns:, your own relay."
        problems.append(Error(said, id="telehealth.E003"))
    problems += [Error(said, id="telehealth.E020") for said in _missing_for_the_vault()]
    problems += [Error(said, id="telehealth.E021") for said in _wrong_of_the_log()]
    problems += [Error(said, id="telehealth.E022") for said in _wrong_of_the_watch()]
    if bool(settings.REDIS_URL) != bool(settings.DATABASE_URL):
        problems.append(Error("DATABASE_URL and REDIS_URL belong together: set both or neither.", id="telehealth.E004"))
    return problems


def _missing_for_the_vault() -> list[str]:
    """What the chosen custodian of the vault's keys needs and does not have."""
    name = settings.VAULT_KEY_CUSTODIAN
    if name not in CUSTODIANS:
        return ["VAULT_KEY_CUSTODIAN must be file, transit or kms."]
    needed = {"transit": ("VAULT_TRANSIT_URL", "VAULT_TRANSIT_KEY"), "kms": ("VAULT_KMS_KEY_ID", "VAULT_KMS_REGION")}
    empty = [setting for setting in needed.get(name, ()) if not getattr(settings, setting)]
    said = [f"VAULT_KEY_CUSTODIAN={name} needs {setting}." for setting in empty]
    said += [
        f"VAULT_KEY_CUSTODIAN={name} needs the Python package {package}: install requirements-{name}.txt."
        for package in REMOTE.get(name, ("", ()))[1]
        if find_spec(package) is None
    ]
    return said + (_missing_for_transit() if name == "transit" else [])


def _wrong_of_the_log() -> list[str]:
    """Addresses that the log's own process would stumble over only once it runs."""
    said = []
    for name, ask in (("PUBLISH", publish.places), ("WITNESSES", publish.witnesses), ("SHIP", ship.places)):
        try:
            ask()
        except (publish.NotPublished, ship.NotShipped) as error:
            said.append(str(error))
        except ValueError as error:  # urllib's, of a port or a bracket
            said.append(f"AUDIT_{name}: {error}.")
    if settings.MODE == "production" and any(address.startswith("http:") for address in settings.AUDIT_SHIP):
        said.append("AUDIT_SHIP must be https: or syslog+tls: in production; entries name people.")
    return said


def _wrong_of_the_watch() -> list[str]:
    said = [f"WATCH_TELL does not know {kind!r}." for kind in settings.WATCH_TELL if kind not in WORDS]
    if not all(seconds > 0 for seconds in settings.WATCH_SECONDS.values()):
        said.append("WATCH_…_SECONDS must be above 0.")
    if settings.WATCH_LATE.total_seconds() <= settings.WATCH_EVERY:
        said.append(
            f"WATCH_LATE_SECONDS must be above {settings.WATCH_EVERY:.0f}, the seconds from one round to the next."
        )
    if not settings.WATCH_WEBHOOK:
        return said
    try:
        parts_of(settings.WATCH_WEBHOOK)
    except ValueError as error:
        return [*said, f"WATCH_WEBHOOK: {error}."]
    if len(settings.WATCH_WEBHOOK_SECRET) < 32:
        said.append("WATCH_WEBHOOK needs WATCH_WEBHOOK_SECRET (or WATCH_WEBHOOK_SECRET_FILE), 32 letters or more.")
    if settings.MODE == "production" and settings.WATCH_WEBHOOK.startswith("http:"):
        said.append("WATCH_WEBHOOK must be https: in production; it says which visits there are.")
    return said


def _missing_for_transit() -> list[str]:
    """A way to sign in: a token, or a role with its secret."""
    said = []
    secret = settings.VAULT_TRANSIT_SECRET_ID or settings.VAULT_TRANSIT_SECRET_ID_FILE
    if not (settings.VAULT_TRANSIT_TOKEN or settings.VAULT_TRANSIT_TOKEN_FILE) and not (
        settings.VAULT_TRANSIT_ROLE_ID and secret
    ):
        said.append(
            "VAULT_KEY_CUSTODIAN=transit needs VAULT_TRANSIT_TOKEN_FILE,"
            " or VAULT_TRANSIT_ROLE_ID and VAULT_TRANSIT_SECRET_ID_FILE."
        )
    if not settings.DEMO and settings.VAULT_TRANSIT_URL.startswith("http:"):
        said.append("Production needs VAULT_TRANSIT_URL to begin with https.")
    return said


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
