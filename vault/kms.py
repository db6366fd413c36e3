"""Custodian `kms`: AWS KMS keeps one key, which encrypts ours and never leaves it."""

import base64
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError
from django.conf import settings

from vault.custody import Damaged, Refused, Unreachable

TIMEOUT_SECONDS = 2
#: one try: whoever asks asks again later, and meanwhile the keys in memory serve
_CONFIG = Config(
    connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1, "mode": "standard"}
)
#: answers of KMS that say nothing about whether we may; they come with status 400 all the same
_PASSING = frozenset(
    {"ThrottlingException", "Throttling", "RequestLimitExceeded", "LimitExceededException", "RequestTimeout"}
    | {"DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException", "ServiceUnavailable"}
)


class Kms:
    """Keys as ciphertexts of one KMS key, each bound to its id by the encryption context."""

    name = "kms"
    remote = True

    def __init__(self, key_id: str, region: str, *, endpoint: str = "") -> None:
        self._key_id = key_id
        self._client = boto3.session.Session().client(
            "kms", region_name=region, endpoint_url=endpoint or None, config=_CONFIG
        )

    def protect(self, key_id: bytes, key: bytes) -> str:
        found = self._asked(self._client.encrypt, "CiphertextBlob", key_id, Plaintext=key)
        return base64.b64encode(found).decode()

    def recover(self, key_id: bytes, entry: str) -> bytes:
        try:
            blob = base64.b64decode(entry, validate=True)
        except ValueError:
            raise Damaged from None
        return self._asked(self._client.decrypt, "Plaintext", key_id, CiphertextBlob=blob)

    def renew(self) -> None:
        """The client renews its own credentials."""

    def _asked(self, call: Callable[..., Any], member: str, key_id: bytes, **arguments: bytes) -> bytes:
        context = {"telehealth-kek": key_id.hex()}
        try:
            # Naming the key keeps a ciphertext of somebody else's key from being opened in its place.
            return bytes(call(KeyId=self._key_id, EncryptionContext=context, **arguments)[member])
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in _PASSING or status >= 500 or status == 429:
                raise Unreachable("AWS KMS does not answer.") from None
            raise Refused(_WORDS.get(code, f"AWS KMS does not recover the vault's key ({code}).")) from None
        except (NoCredentialsError, PartialCredentialsError):
            raise Refused("AWS KMS needs credentials, and none were found.") from None
        except HTTPClientError:
            raise Unreachable("AWS KMS does not answer.") from None
        except (BotoCoreError, KeyError):
            raise Unreachable("AWS KMS cannot be asked, or its answer is not one.") from None


_WORDS = {
    "DisabledException": "AWS KMS says that its key is disabled.",
    "KMSInvalidStateException": "AWS KMS says that its key cannot be used: it is about to be deleted, or not ready.",
    "AccessDeniedException": "AWS KMS does not let this account use its key.",
    "NotFoundException": "AWS KMS does not have the key that VAULT_KMS_KEY_ID names.",
    "IncorrectKeyException": "The vault's key was encrypted by another AWS KMS key than VAULT_KMS_KEY_ID names.",
    "InvalidCiphertextException": "AWS KMS does not open the vault's key: it is damaged or was moved to another id.",
}


def from_settings() -> Kms:
    return Kms(settings.VAULT_KMS_KEY_ID, settings.VAULT_KMS_REGION, endpoint=settings.VAULT_KMS_ENDPOINT)
