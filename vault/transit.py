"""Custodian `transit`: HashiCorp Vault or OpenBao keeps one key, which encrypts ours and never leaves it."""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import hvac
from django.conf import settings
from hvac import exceptions
from requests.exceptions import RequestException

from vault.custody import Refused, Unreachable

logger = logging.getLogger("vault")

TIMEOUT_SECONDS = 2
_CANNOT_NOW = (
    exceptions.InternalServerError,
    exceptions.VaultNotInitialized,
    exceptions.VaultDown,
    exceptions.BadGateway,
    exceptions.RateLimitExceeded,
    exceptions.UnexpectedError,  # what hvac has no name for: nodes that stand by or are behind
    RequestException,
)
_STRANGER = (exceptions.Unauthorized, exceptions.Forbidden)


@dataclass(frozen=True)
class Credentials:
    """How we sign in: with a token, or as a role. What a file holds is read anew each time: an agent may renew it."""

    token: str = field(default="", repr=False)
    token_file: str = ""
    role_id: str = ""
    secret_id: str = field(default="", repr=False)
    secret_id_file: str = ""

    @property
    def by_role(self) -> bool:
        return bool(self.role_id)

    def read_token(self) -> str:
        return self.token or _content(self.token_file, "VAULT_TRANSIT_TOKEN_FILE")

    def read_secret(self) -> str:
        return self.secret_id or _content(self.secret_id_file, "VAULT_TRANSIT_SECRET_ID_FILE")


def _content(path: str, setting: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise Refused(f"The file that {setting} names cannot be read.") from None


class Transit:
    """Keys as ciphertexts of one Transit key, each bound to its id."""

    name = "transit"
    remote = True

    def __init__(self, url: str, mount: str, key: str, credentials: Credentials, *, ca: str = "") -> None:
        # Without a token it would take one from the environment, or from the home folder of whoever runs us.
        # A redirect would take ours elsewhere.
        self._client = hvac.Client(url=url, token="", timeout=TIMEOUT_SECONDS, verify=ca or True, allow_redirects=False)
        self._mount, self._key = mount, key
        self._credentials = credentials
        self._renew_at: float | None = None

    def protect(self, key_id: bytes, key: bytes) -> str:
        encrypt = self._client.secrets.transit.encrypt_data
        return self._answer("ciphertext", encrypt, plaintext=_text(key_id + key), **self._at(key_id))

    def recover(self, key_id: bytes, entry: str) -> bytes:
        found = self._answer(
            "plaintext", self._client.secrets.transit.decrypt_data, ciphertext=entry, **self._at(key_id)
        )
        try:
            plain = base64.b64decode(found, validate=True)
        except ValueError:
            raise Refused(_NOT_OURS) from None
        # The id is inside as well: a server before 1.13 takes associated data and leaves it out.
        if plain[: len(key_id)] != key_id:
            raise Refused(_NOT_OURS)
        return plain[len(key_id) :]

    def renew(self) -> None:
        """Prolong a token that can be prolonged, once half its time is over."""
        if self._renew_at is None or monotonic() < self._renew_at:
            return
        try:
            self._note_lease(self._asked(self._client.auth.token.renew_self)["auth"])
        except Refused:
            # Not ours to prolong. It serves until it ends, and then the next recovery says so.
            self._renew_at = None
            logger.warning("The Transit token was not renewed; it serves until it ends.")

    def _at(self, key_id: bytes) -> dict[str, str]:
        return {"name": self._key, "mount_point": self._mount, "associated_data": _text(b"telehealth-kek:" + key_id)}

    def _answer(self, member: str, call: Callable[..., Any], **arguments: str) -> str:
        try:
            return str(self._asked(call, **arguments)["data"][member])
        except (KeyError, TypeError):
            raise Unreachable("The Transit server's answer is not one.") from None

    def _asked(self, call: Callable[..., Any], **arguments: str) -> Any:
        """The answer to a call, signed in; signed in anew where the token has ended."""
        fresh = not self._client.token
        try:
            if fresh:
                self._sign_in()
            try:
                return call(**arguments)
            except _STRANGER:
                if fresh or not self._sign_in_anew():
                    raise
                return call(**arguments)
        except _STRANGER:
            self._client.token = ""
            raise Refused("The Transit server refuses the vault's token or role.") from None
        except _CANNOT_NOW:
            raise Unreachable("The Transit server does not answer.") from None
        except exceptions.VaultError:
            raise Refused(_NOT_OURS) from None

    def _sign_in_anew(self) -> bool:
        """False where there is nothing to sign in with but the token that was refused."""
        if not self._credentials.by_role and self._credentials.read_token() == self._client.token:
            return False
        self._sign_in()
        return True

    def _sign_in(self) -> None:
        if self._credentials.by_role:
            self._sign_in_by_role()
            return
        self._client.token = self._credentials.read_token()
        try:
            found = self._client.auth.token.lookup_self()["data"]
        except _STRANGER:  # a policy may forbid the question; whether the token is good, the next call says
            self._renew_at = None
            return
        self._note_lease({"lease_duration": found["ttl"], "renewable": found.get("renewable", False)})

    def _sign_in_by_role(self) -> None:
        self._client.token = ""
        try:
            self._client.auth.approle.login(self._credentials.role_id, self._credentials.read_secret())
        except exceptions.InvalidRequest:
            raise Refused("The Transit server refuses the vault's role or its secret.") from None

    def _note_lease(self, lease: dict[str, Any]) -> None:
        seconds = lease["lease_duration"]
        self._renew_at = monotonic() + seconds / 2 if lease["renewable"] and seconds else None


_NOT_OURS = (
    "The Transit server does not recover the vault's key: it, its version or its key is another, or is disabled."
)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_settings() -> Transit:
    credentials = Credentials(
        token=settings.VAULT_TRANSIT_TOKEN,
        token_file=settings.VAULT_TRANSIT_TOKEN_FILE,
        role_id=settings.VAULT_TRANSIT_ROLE_ID,
        secret_id=settings.VAULT_TRANSIT_SECRET_ID,
        secret_id_file=settings.VAULT_TRANSIT_SECRET_ID_FILE,
    )
    where = settings.VAULT_TRANSIT_MOUNT, settings.VAULT_TRANSIT_KEY
    return Transit(settings.VAULT_TRANSIT_URL, *where, credentials, ca=settings.VAULT_TRANSIT_CA)
