"""Keyed digests under which values that hardly two patients share are found without being opened (FORMAT.md)."""

import hmac


class Indexer:
    """Makes the digests of one clinic. Field keys are derived once, since each digest is then one HMAC."""

    __slots__ = ("_field_keys", "_index_key")

    def __init__(self, index_key: bytes) -> None:
        self._index_key = index_key
        self._field_keys: dict[str, bytes] = {}

    def digest(self, index: str, text: str) -> int:
        """64 bits, signed: what a database's integer column holds."""
        key = self._field_keys.get(index)
        if key is None:
            key = hmac.digest(self._index_key, b"telehealth/1/index/" + index.encode(), "sha256")
            self._field_keys[index] = key
        return int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:8], "big", signed=True)
