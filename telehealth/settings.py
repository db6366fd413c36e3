"""Settings: one file, read from the environment. Any value may also come from a file named by NAME_FILE.

With nothing set: SQLite, in-process engines, self-made certificate. `DATABASE_URL` and `REDIS_URL` bring real engines.
`manage.py check --deploy` and `telehealth.checks` say what does not fit together.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from environ import FileAwareEnv
from environ.fileaware_mapping import FileAwareMapping


class _Lines(FileAwareMapping):
    """Editors end a file with a line end; it is no part of a secret, and a password would differ by it."""

    def __getitem__(self, name: str) -> str:
        return str(super().__getitem__(name)).strip()


class _Env(FileAwareEnv):
    ENVIRON = _Lines()


env = _Env()
BASE_DIR = Path(__file__).resolve().parent.parent

#: "demo" seeds a made-up clinic and refuses production settings; "production" needs every secret given
MODE = env.str("TELEHEALTH_MODE", "demo")
DEMO = MODE == "demo"
DATA_DIR = Path(env.str("TELEHEALTH_DATA", str(BASE_DIR / "var"))).resolve()
HOST = env.str("TELEHEALTH_HOST", "localhost")
BIND = env.str("TELEHEALTH_BIND", "127.0.0.1")
PORT = env.int("TELEHEALTH_PORT", 8443)
PUBLIC_ORIGIN = env.str("TELEHEALTH_ORIGIN", f"https://{HOST}:{PORT}")
#: the name that each checkpoint of the audit log begins with; once witnesses know it, it stays
AUDIT_ORIGIN = env.str("AUDIT_ORIGIN", f"{HOST}/audit")
DEBUG = False


def _kept_secret(name: str) -> str:
    """A secret from the environment, or, outside production, from the data folder where `up` made it."""
    if value := str(env.str(name, "")):
        return value
    kept = DATA_DIR / "keys" / name.lower()
    return kept.read_text().strip() if MODE != "production" and kept.exists() else ""


#: Empty values stop the start, by a system check with a plain sentence. No default stands in for a secret.
SECRET_KEY = _kept_secret("SECRET_KEY") or ("unset" if MODE == "production" else "made-by-manage-up")
#: seals secrets that are not patient data (TOTP seeds)
CRYPTOGRAPHY_KEY = _kept_secret("CRYPTOGRAPHY_KEY") or SECRET_KEY
#: seals what passes through Redis
CHANNEL_KEY = _kept_secret("CHANNEL_KEY") or SECRET_KEY

#: where its checkpoints go, separated by spaces: file:/…, https://…, s3://bucket/prefix
AUDIT_PUBLISH = env.str("AUDIT_PUBLISH", f"file:{DATA_DIR / 'audit' / 'checkpoints.jsonl'}").split()
#: who cosigns them, separated by spaces: each VKEY@ADDRESS, as `manage.py witness` prints its key
AUDIT_WITNESSES = env.str("AUDIT_WITNESSES", "").split()
#: SIEMs that get every entry, separated by spaces: syslog+tls://HOST:PORT, https://…
AUDIT_SHIP = env.str("AUDIT_SHIP", "").split()
#: for webhooks: a bearer token; certificates to trust when they are not the system's
AUDIT_SHIP_TOKEN = env.str("AUDIT_SHIP_TOKEN", "")
AUDIT_SHIP_CA = env.str("AUDIT_SHIP_CA", "")
AUDIT_PUBLISH_SECONDS = env.float("AUDIT_PUBLISH_SECONDS", 60.0)
AUDIT_S3_ENDPOINT = env.str("AUDIT_S3_ENDPOINT", "")
#: where its months go as files
AUDIT_ARCHIVE = env.str("AUDIT_ARCHIVE", str(DATA_DIR / "audit" / "archive"))
#: months that stay in the database once they are archived, 13 at least; 0: all of them
AUDIT_KEEP_MONTHS = env.int("AUDIT_KEEP_MONTHS", 0)
#: signs the audit log; only the process that seals it needs to read this
AUDIT_KEY_FILE = env.str("AUDIT_KEY_FILE", str(DATA_DIR / "keys" / "audit_key"))
VAULT_KEY_FILE = env.str("VAULT_KEY_FILE", str(DATA_DIR / "keys" / "kek.json"))
#: "file": the key file has the keys; "transit": has them encrypted by HashiCorp Vault or OpenBao; "kms": by AWS KMS
VAULT_KEY_CUSTODIAN = env.str("VAULT_KEY_CUSTODIAN", "file")
#: seconds between looks at the key file
VAULT_KEY_RECHECK_SECONDS = env.float("VAULT_KEY_RECHECK_SECONDS", 5.0)
#: seconds until transit or kms is asked again whether it still gives the current key
VAULT_KEY_CONFIRM_SECONDS = env.float("VAULT_KEY_CONFIRM_SECONDS", 60.0)
#: seconds that the keys in memory serve while transit or kms does not answer
VAULT_KEY_GRACE_SECONDS = env.float("VAULT_KEY_GRACE_SECONDS", 900.0)
VAULT_TRANSIT_URL = env.str("VAULT_TRANSIT_URL", "")
VAULT_TRANSIT_MOUNT = env.str("VAULT_TRANSIT_MOUNT", "transit")
VAULT_TRANSIT_KEY = env.str("VAULT_TRANSIT_KEY", "")
VAULT_TRANSIT_CA = env.str("VAULT_TRANSIT_CA", "")
#: their files are named here, not read, as `env` would: an agent may renew them while we run
VAULT_TRANSIT_TOKEN = os.environ.get("VAULT_TRANSIT_TOKEN", "")
VAULT_TRANSIT_TOKEN_FILE = env.str("VAULT_TRANSIT_TOKEN_FILE", "")
VAULT_TRANSIT_ROLE_ID = env.str("VAULT_TRANSIT_ROLE_ID", "")
VAULT_TRANSIT_SECRET_ID = os.environ.get("VAULT_TRANSIT_SECRET_ID", "")
VAULT_TRANSIT_SECRET_ID_FILE = env.str("VAULT_TRANSIT_SECRET_ID_FILE", "")
#: the key's id, its address (ARN) or an alias; access as the AWS tools find it
VAULT_KMS_KEY_ID = env.str("VAULT_KMS_KEY_ID", "")
VAULT_KMS_REGION = env.str("VAULT_KMS_REGION", "")
VAULT_KMS_ENDPOINT = env.str("VAULT_KMS_ENDPOINT", "")

ALLOWED_HOSTS = env.list("TELEHEALTH_ALLOWED_HOSTS", default=[HOST, "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN]
#: pages of these origins, exactly, may open sockets
SOCKET_ORIGINS = [PUBLIC_ORIGIN, *([f"https://127.0.0.1:{PORT}"] if DEMO else [])]

INSTALLED_APPS = [
    "telehealth.apps.TelehealthConfig",
    "signaling.apps.SignalingConfig",
    "consults.apps.ConsultsConfig",
    "accounts.apps.AccountsConfig",
    "vault.apps.VaultConfig",
    "telehealth.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "heroicons",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "telehealth.middleware.NoStoreMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.sessions.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "telehealth.middleware.DatabaseUnavailableMiddleware",
    "telehealth.middleware.VaultUnavailableMiddleware",
]

ROOT_URLCONF = "telehealth.urls"
ASGI_APPLICATION = "telehealth.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "telehealth.context.product",
            ],
            "builtins": [
                *("heroicons.templatetags.heroicons", "django.templatetags.static"),
                "telehealth.templatetags.modules",
            ],
        },
    }
]

DATABASE_URL = env.str("DATABASE_URL", "")
REDIS_URL = env.str("REDIS_URL", "")

if DATABASE_URL:
    DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL")}
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    # Django forbids prepared statements where nothing is said; what asks for them (vault/rows.py) names each.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("prepare_threshold", 1_000_000)
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "telehealth.sqlite3",
            # The last one to close the file writes the log back into it: the sockets' thread keeps it open.
            "CONN_MAX_AGE": 60,
            "OPTIONS": {
                # One writer at a time, asked for at the start of a transaction: none finds the database locked midway.
                "transaction_mode": "IMMEDIATE",
                "timeout": 10,
                # Pages of 8 KB, in a new file: four sealed records or the longest index block fit one. A cache of
                # 64 MB: the sealed index is read all over.
                "init_command": "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                "PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if REDIS_URL:
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [REDIS_URL],
                "prefix": "telehealth",
                "symmetric_encryption_keys": [CHANNEL_KEY],
            },
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}}

CELERY_BROKER_URL = REDIS_URL or "memory://localhost"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
#: a killed worker's task comes back after this long, not after Celery's hour
_TIMES = {"visibility_timeout": 120, "socket_connect_timeout": 2, "socket_timeout": 5}
CELERY_BROKER_TRANSPORT_OPTIONS = _TIMES if REDIS_URL else {}
#: a page does not wait for a broker that is away: the sweep takes its work up
CELERY_TASK_PUBLISH_RETRY = False
#: seconds between two rounds through the open visits
WATCH_EVERY = 10.0
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "consults.tasks.sweep", "schedule": 30.0},
    "sessions": {"task": "consults.tasks.clear_sessions", "schedule": 3600.0},
    "watch": {"task": "consults.tasks.watch_visits", "schedule": WATCH_EVERY},
    "calls": {"task": "consults.tasks.sum_up_calls", "schedule": 30.0},
    "activity": {"task": "consults.tasks.count_activity", "schedule": 60.0},
    "retention": {"task": "consults.tasks.erase_due", "schedule": 3600.0},
}

EMAIL_URL = env.str("EMAIL_URL", "")
#: a mail server that hangs must not hold a row and a thread for long
EMAIL_TIMEOUT = 10
#: Without a mail server the pages offer to copy the link instead; nothing pretends to send.
MAIL_WORKS = bool(EMAIL_URL)
if MAIL_WORKS:
    vars().update(env.email_url("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env.str("TELEHEALTH_MAIL_FROM", f"no-reply@{HOST}")

# Accounts and sessions
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "signin"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
]
SESSION_IDLE_SECONDS = env.int("TELEHEALTH_SESSION_IDLE", 15 * 60)
SESSION_ABSOLUTE_SECONDS = env.int("TELEHEALTH_SESSION_ABSOLUTE", 12 * 3600)
STEP_UP_SECONDS = 5 * 60
# How many protected values one person may open: far above a day's work, far below copying a clinic.
REVEALS_PER_QUARTER = env.int("TELEHEALTH_REVEALS_PER_QUARTER", 120)
REVEALS_PER_DAY = env.int("TELEHEALTH_REVEALS_PER_DAY", 600)
SESSION_COOKIE_AGE = SESSION_ABSOLUTE_SECONDS
SESSION_COOKIE_NAME = "__Host-session"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_FAILURE_VIEW = "telehealth.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Headers
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("TELEHEALTH_BEHIND_PROXY", False) else None
SECURE_HSTS_SECONDS = 0 if DEMO else 31_536_000 * 2
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEMO
# Nothing to other sites. Not "no-referrer": browsers then send "Origin: null" with forms, and the CSRF check needs it.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF, PUBLIC_ORIGIN.replace("https://", "wss://")],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}
PERMISSIONS_POLICY: dict[str, str | list[str]] = {
    "camera": "self",
    "microphone": "self",
    "display-capture": "self",
    "speaker-selection": "self",
    "autoplay": "self",
    "fullscreen": "self",
    "geolocation": [],
    "usb": [],
    "payment": [],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100

# Language, time, files
LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.str("TELEHEALTH_TIME_ZONE", "UTC")
USE_TZ = True
USE_I18N = True
#: how phone numbers without a country code are read
DEFAULT_REGION = env.str("TELEHEALTH_REGION", "GB")
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "telehealth.static_files.HashedStaticFiles"},
}

# Consults
INVITE_LIFETIME_HOURS = env.int("TELEHEALTH_INVITE_HOURS", 48)
CONSENT_LIFETIME_HOURS = 24
VOICE_SECONDS = 30
#: HOST:PORT where the worker answers /healthz and /metrics; empty: nowhere
WORKER_METRICS = env.str("WORKER_METRICS", "")
#: whether the worker asks addresses of private networks that a page names: for a clinic's own house only
WORKER_PRIVATE_ADDRESSES = env.bool("WORKER_PRIVATE_ADDRESSES", DEMO)
#: hours of the day (TELEHEALTH_TIME_ZONE) between which reading a record asks for no second look
CLINIC_OPENS = env.int("TELEHEALTH_OPENS", 7)
CLINIC_CLOSES = env.int("TELEHEALTH_CLOSES", 20)
#: and days of the week, Monday is 1
CLINIC_DAYS = frozenset(map(int, env.list("TELEHEALTH_DAYS", default=["1", "2", "3", "4", "5"])))

# Watching calls: seconds that something must last before it is said, and the MOS below which a call is poor
WATCH_SECONDS = {
    "heartbeat": env.float("WATCH_HEARTBEAT_SECONDS", 15),
    "one_way": env.float("WATCH_ONE_WAY_SECONDS", 12),
    "silent": env.float("WATCH_SILENT_SECONDS", 90),
    "frozen": env.float("WATCH_FROZEN_SECONDS", 12),
    "poor": env.float("WATCH_POOR_SECONDS", 20),
}
WATCH_POOR_MOS = env.float("WATCH_POOR_MOS", 3.1)
WATCH_NO_CONSENT = timedelta(seconds=env.float("WATCH_NO_CONSENT_SECONDS", 60))
#: nobody looked through the visits for so long: the pages and `healthz` say that background work stands still
WATCH_LATE = timedelta(seconds=env.float("WATCH_LATE_SECONDS", 60))
WATCH_LEFT_OPEN = timedelta(minutes=env.float("WATCH_LEFT_OPEN_MINUTES", 30))
WATCH_NEVER_STARTED = timedelta(hours=env.float("WATCH_NEVER_STARTED_HOURS", 72))
#: what operators are told of, and how: by e-mail where mail is set up, by a POST to an address of theirs
WATCH_TELL = env.list(
    "WATCH_TELL",
    default=[
        *("heartbeat_lost", "one_way_audio", "silent", "frozen_video", "poor_quality"),
        *("fingerprints_differ", "uninvited", "consent_missing", "left_open"),
    ],
)
WATCH_MAIL = env.bool("WATCH_MAIL", True)
WATCH_WEBHOOK = env.str("WATCH_WEBHOOK", "")
#: signs what is posted there, so that the other side knows that it comes from here
WATCH_WEBHOOK_SECRET = env.str("WATCH_WEBHOOK_SECRET", "")
WATCH_WEBHOOK_CA = env.str("WATCH_WEBHOOK_CA", "")
#: of what browsers measured, a clinic's operators are told so often an hour at most
WATCH_TELL_AN_HOUR = env.int("WATCH_TELL_AN_HOUR", 30)
#: days that samples of a call are kept; its summary stays
QUALITY_KEEP_DAYS = env.int("QUALITY_KEEP_DAYS", 30)

# Media. No server of a third party is ever asked for an address: the list is empty or the clinic's own coturn.
TURN_URLS: list[str] = env.list("TELEHEALTH_TURN_URLS", default=[])
TURN_SECRET = env.str("TELEHEALTH_TURN_SECRET", "")
TURN_SECONDS = 3600

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "telehealth.logs.PlainFormatter", "format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "telehealth": {"level": "INFO"},
        "signaling": {"level": "INFO"},
        "consults": {"level": "INFO"},
        # Its records carry the request, whose POST data may be a patient's; errors.py logs the path and the kind.
        "django.request": {"handlers": [], "propagate": False, "level": "CRITICAL"},
        # A stranger's wrong Host would write sixty lines a request; she gets her 400 without.
        "django.security.DisallowedHost": {"handlers": [], "propagate": False, "level": "CRITICAL"},
        "django.server": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
        # In place of its own handler, which would print an exception's message.
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "uvicorn.error": {"level": "WARNING"},
        # Paths with what staff searched for, beside their addresses.
        "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
        "aioice": {"level": "ERROR"},
        "aiortc": {"level": "ERROR"},
    },
}
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS is off in the demo only: telehealth.checks looks at it
    "security.W005",
    "security.W021",
    "fields.W342",
]
