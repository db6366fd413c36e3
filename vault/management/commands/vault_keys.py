"""`manage.py vault_keys`: look at the vault's keys, and renew them while the clinic goes on working."""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from vault import audit, rotation
from vault.keyfile import NotRetired, configured_file
from vault.keywatch import forget, keys
from vault.models import DataKey, IndexKey, Patient

#: seconds between two lines of progress
EVERY = 1.0


class Progress:
    """How far, how fast, how long still: one line that is written over on a terminal, single lines elsewhere."""

    def __init__(self, out: Any, total: int) -> None:
        self._out, self._total, self._done = out, total, 0
        self._started = self._said = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= EVERY:
            self.say()

    def say(self) -> None:
        self._said = time.monotonic()
        rate = self._done / max(self._said - self._started, 0.001)
        left = max(self._total - self._done, 0) / rate if rate else 0
        line = f"{self._done:,} of {self._total:,}, {rate:,.0f} a second, {left:,.0f} s left"
        self._out.write(line, ending="\r" if self._out.isatty() else "\n")
        self._out.flush()


class Command(BaseCommand):
    help = (
        "Every step may be stopped and run again. To make erasures final for older backups too: rotate, retire the old"
        " key (its id is in `status`), then destroy every copy of the old key file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True)
        steps.add_parser("status", help="which keys there are, how old, and what is left to do")
        steps.add_parser("rotate", help="a new key-encryption key, and every key wrapped under it")
        steps.add_parser("rewrap", help="go on with a rotation that was stopped")
        retire = steps.add_parser("retire", help="take a key-encryption key that opens nothing out of the file")
        retire.add_argument("key_id", help="16 hex digits, from `status`")
        steps.add_parser("reseal", help="a new data key for every patient, and everything of hers sealed under it")
        steps.add_parser("reindex", help="a new index key for every clinic, and every patient listed under it")

    def handle(self, *_args: Any, **options: Any) -> None:
        step: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['step']}")
        step(options)

    def _status(self, _options: dict[str, Any]) -> None:
        known = keys()
        for key_id in sorted(known.ids):
            current = ", current" if key_id == known.current_id else ""
            self.stdout.write(f"key-encryption key {key_id.hex()}{current}: wraps {rotation.left_under(key_id):,} keys")
        oldest = DataKey.objects.order_by("created_at").first()
        if oldest:
            self.stdout.write(f"data keys: {DataKey.objects.count():,}, the oldest of {oldest.created_at:%d %B %Y}")
        for row in IndexKey.objects.order_by("clinic_id", "generation"):
            state = "in use" if row.in_use else f"being built, {row.built_to:,} patients done"
            self.stdout.write(
                f"index key {row.generation} of clinic {row.clinic_id}: of {row.created_at:%d %B %Y}, {state}"
            )

    def _rotate(self, options: dict[str, Any]) -> None:
        key_id = configured_file().add()
        forget()
        audit.record("vault.keys", audit.SYSTEM, what="kek added", kek=key_id.hex())
        self.stdout.write(f"Key-encryption key {key_id.hex()} is current. Back the key file up now.")
        self._rewrap(options)

    def _rewrap(self, _options: dict[str, Any]) -> None:
        left = rotation.left_to_rewrap()
        progress, done = Progress(self.stdout, left), 0
        for count in rotation.rewrap():
            done += count
            progress.add(count)
        current = keys().current_id.hex()
        audit.record("vault.keys", audit.SYSTEM, what="rewrapped", kek=current, count=done)
        self.stdout.write(f"{done:,} keys were wrapped anew under {current}.")

    def _retire(self, options: dict[str, Any]) -> None:
        try:
            key_id = bytes.fromhex(options["key_id"])
        except ValueError:
            raise CommandError("A key's id has 16 hex digits; `vault_keys status` shows them.") from None
        if left := rotation.left_under(key_id):
            raise CommandError(f"{left:,} keys still open with it only. Run `vault_keys rewrap` first.")
        try:
            configured_file().retire(key_id)
        except NotRetired as error:
            raise CommandError(str(error)) from None
        forget()
        audit.record("vault.keys", audit.SYSTEM, what="kek retired", kek=key_id.hex())
        self.stdout.write(f"{key_id.hex()} is out of the key file. Destroy every older copy of that file.")

    def _reseal(self, _options: dict[str, Any]) -> None:
        started = timezone.now()
        progress = Progress(self.stdout, Patient.objects.filter(shredded_at=None).count())
        done, failed = 0, []
        for clinic in rotation.clinics():
            for count, bad in rotation.reseal_all(clinic, before=started):
                done += count
                failed += bad
                progress.add(count + len(bad))
        audit.record("vault.keys", audit.SYSTEM, what="resealed", count=done, failed=len(failed))
        self.stdout.write(f"{done:,} patients have a new data key.")
        if failed:
            listed = ", ".join(str(patient) for patient in failed[:10])
            raise CommandError(f"{len(failed):,} records do not open and were left as they are: {listed}")

    def _reindex(self, _options: dict[str, Any]) -> None:
        progress, done = Progress(self.stdout, Patient.objects.filter(shredded_at=None).count()), 0
        for clinic in rotation.clinics():
            building = rotation.begin_index_rotation(clinic)
            for count in rotation.build_index(building):
                done += count
                progress.add(count)
            audit.record("vault.keys", audit.SYSTEM, what="index rebuilt", generation=building.generation)
        self.stdout.write(f"{done:,} patients are listed under new index keys.")
