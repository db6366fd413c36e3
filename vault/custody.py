"""Who keeps the key-encryption keys: what the entries of the key file are, and how a key comes out of one."""

import base64
from importlib import import_module
from typing import Protocol

from django.conf import settings


class VaultUnavailable(Exception):
    """The vault has no usable key. Views answer 503; nothing is read, nothing is written."""


class Refused(VaultUnavailable):
    """The custodian answered, and the answer is no."""


class Unreachable(VaultUnavailable):
    """The custodian did not answer, or is not able to for now."""


class Damaged(VaultUnavailable):
    def __init__(self) -> None:
        super().__init__("The vault's key file is damaged. Restore it from its backup.")


class Custodian(Protocol):
    """One who turns a key into an entry of the key file and back. An entry is good for its key's id only."""

    #: as VAULT_KEY_CUSTODIAN and the key file name it
    name: str
    #: whether recovering a key asks somebody who may refuse it later
    remote: bool

    def protect(self, key_id: bytes, key: bytes) -> str: ...

    def recover(self, key_id: bytes, entry: str) -> bytes: ...

    def renew(self) -> None:
        """Whatever keeps the next `recover` possible. Called at intervals."""


class InClear:
    """The key itself, in base64: the file's permissions are what keeps it."""

    name = "file"
    remote = False

    def protect(self, _key_id: bytes, key: bytes) -> str:
        return base64.b64encode(key).decode()

    def recover(self, _key_id: bytes, entry: str) -> bytes:
        try:
            return base64.b64decode(entry, validate=True)
        except ValueError:
            raise Damaged from None

    def renew(self) -> None:
        """Nothing runs out."""


#: module of each custodian that asks somebody, and the packages it needs
REMOTE = {"transit": ("vault.transit", ("hvac", "requests")), "kms": ("vault.kms", ("boto3", "botocore"))}
CUSTODIANS = (InClear.name, *REMOTE)


def configured() -> Custodian:
    """The custodian that VAULT_KEY_CUSTODIAN names. Its package is imported only when it is chosen."""
    name = settings.VAULT_KEY_CUSTODIAN
    if name == InClear.name:
        return InClear()
    if name not in REMOTE:
        raise VaultUnavailable("VAULT_KEY_CUSTODIAN must be file, transit or kms.")
    module, packages = REMOTE[name]
    try:
        made: Custodian = import_module(module).from_settings()
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        raise VaultUnavailable(
            f"The Python package {error.name} is missing. Install requirements-{name}.txt, then start again."
        ) from None
    return made
