"""`manage.py vault_keys`: look at the vault's keys, and renew them while the clinic goes on working."""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from vault import audit, reindexing, rotation
from vault.keyfile import NotRetired, configured_file
from vault.keywatch import forget, keys
from vault.models import AuditEntry, DataKey, IndexKey, Patient

#: seconds between two lines of progress
EVERY = 1.0
#: of a line on a terminal, so that a shorter one hides the longer one before it
WIDTH = 72


class Progress:
    """How far, how fast, how long still: one line that is written over on a terminal, single lines elsewhere."""

    def __init__(self, out: Any, total: int) -> None:
        self._out, self._total, self.done = out, total, 0
        self._started = self._said = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self._said >= EVERY:
            self.say()

    def say(self) -> None:
        self._said = time.monotonic()
        rate = self.done / max(self._said - self._started, 0.001)
        left = max(self._total - self.done, 0) / rate if rate else 0
        self._write(f"{self.done:,} of {self._total:,}, {rate:,.0f} a second, {left:,.0f} s left")

    def end(self, text: str) -> None:
        self._write(text)
        if self._out.isatty():
            self._out.write("")

    def _write(self, line: str) -> None:
        if self._out.isatty():
            self._out.write("\r" + line.ljust(WIDTH), ending="")
        else:
            self._out.write(line)
        self._out.flush()


class Command(BaseCommand):
    help = (
        "Every step may be stopped and run again: it goes on where it was. To make erasures final for older backups"
        " too: rotate, retire the old key (its id is in `status`), then destroy every copy of the old key file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True)
        steps.add_parser("status", help="which keys there are, how old, and what is left to do")
        steps.add_parser("rotate", help="a new key-encryption key, and every key wrapped under it")
        steps.add_parser("rewrap", help="wrap what is still under an older key-encryption key under the current one")
        retire = steps.add_parser("retire", help="take a key-encryption key that opens nothing out of the file")
        retire.add_argument("key_id", help="16 hex digits, from `status`")
        reseal = steps.add_parser("reseal", help="a new data key for every patient, and what is hers sealed under it")
        reindex = steps.add_parser("reindex", help="a new index key for a clinic, and every patient listed under it")
        for step in (reseal, reindex):
            step.add_argument("--clinic", type=UUID, help="only this clinic; its id is in `status`")

    def handle(self, *_args: Any, **options: Any) -> None:
        step: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['step']}")
        step(options)

    def _status(self, _options: dict[str, Any]) -> None:
        known = keys()
        under = {key_id: rotation.left_under(key_id) for key_id in sorted(known.ids)}
        for key_id, count in under.items():
            current = ", current" if key_id == known.current_id else ""
            share = count / max(sum(under.values()), 1)
            self.stdout.write(f"key-encryption key {key_id.hex()}{current}: wraps {count:,} keys ({share:.1%})")
        oldest = DataKey.objects.order_by("created_at").first()
        if oldest:
            self.stdout.write(f"data keys: {DataKey.objects.count():,}, the oldest of {oldest.created_at:%d %B %Y}")
        for row in IndexKey.objects.order_by("clinic_id", "generation"):
            state = "in use" if row.in_use else f"being built, up to patient {row.built_to:,}"
            self.stdout.write(
                f"index key {row.generation} of clinic {row.clinic_id}: of {row.created_at:%d %B %Y}, {state}"
            )
        for what in ("rotate", "reseal", "reindex"):
            if begun := _unfinished(what):
                when = timezone.localtime(begun.at)
                self.stdout.write(f"{what} begun {when:%d %B %Y %H:%M} is not finished; run it again to go on.")

    def _rotate(self, _options: dict[str, Any]) -> None:
        if _unfinished("rotate"):
            self.stdout.write("An earlier rotation was stopped; this one finishes it.")
        else:
            key_id = configured_file().add()
            forget()
            _note("rotate", begun=True, kek=key_id.hex())
            self.stdout.write(f"Key-encryption key {key_id.hex()} is current. Back the key file up now.")
        self._wrap_anew("rotate")

    def _rewrap(self, _options: dict[str, Any]) -> None:
        # What stays behind a rotation was written by a process that did not know of the new key yet.
        self._wrap_anew("rotate" if _unfinished("rotate") else "rewrap")

    def _wrap_anew(self, what: str) -> None:
        progress = Progress(self.stdout, rotation.left_to_rewrap())
        for count in rotation.rewrap():
            progress.add(count)
        current = keys().current_id.hex()
        failed = rotation.damaged() if rotation.left_to_rewrap() else []
        _note(what, kek=current, count=progress.done, failed=len(failed))
        progress.end(f"{progress.done:,} keys were wrapped anew under {current}.")
        _tell_failed(failed)

    def _retire(self, options: dict[str, Any]) -> None:
        try:
            key_id = bytes.fromhex(options["key_id"])
        except ValueError:
            raise CommandError("A key's id has 16 hex digits; `vault_keys status` shows them.") from None
        try:
            rotation.retire(key_id)
        except rotation.NotRotated as error:
            _tell_failed(rotation.damaged())
            raise CommandError(f"{error} Run `vault_keys rewrap` first.") from None
        except NotRetired as error:
            raise CommandError(str(error)) from None
        forget()
        _note("retire", kek=key_id.hex())
        self.stdout.write(f"{key_id.hex()} is out of the key file. Destroy every older copy of that file.")

    def _reseal(self, options: dict[str, Any]) -> None:
        begun = _begun("reseal", options["clinic"])
        of = _clinics(options["clinic"])
        left = Patient.objects.filter(clinic_id__in=of, shredded_at=None, data_keys__created_at__lt=begun.at).count()
        progress, failed = Progress(self.stdout, left), list[UUID]()
        for clinic in of:
            for count, bad in rotation.reseal_all(clinic, before=begun.at):
                progress.add(count)
                failed += bad
        _note("reseal", options["clinic"], count=progress.done, failed=len(failed))
        progress.end(f"{progress.done:,} patients have a new data key.")
        _tell_failed(failed)

    def _reindex(self, options: dict[str, Any]) -> None:
        begun = _begun("reindex", options["clinic"])
        new = IndexKey.objects.filter(in_use=True, created_at__gte=begun.at).values_list("clinic_id", flat=True)
        of = [clinic for clinic in _clinics(options["clinic"]) if clinic not in new]
        progress = Progress(self.stdout, Patient.objects.filter(clinic_id__in=of, shredded_at=None).count())
        failed: list[UUID] = []
        for clinic in of:
            for count, bad in reindexing.build(reindexing.begin(clinic)):
                progress.add(count)
                failed += bad
        _note("reindex", options["clinic"], count=progress.done, failed=len(failed))
        progress.end(f"{progress.done:,} patients are listed under new index keys.")
        _tell_failed(failed)


def _clinics(only: UUID | None) -> list[UUID]:
    known = rotation.clinics()
    if only and only not in known:
        raise CommandError("The vault has no patients of this clinic; `vault_keys status` shows the ids.")
    return [only] if only else known


def _note(what: str, clinic: UUID | None = None, *, begun: bool = False, **detail: Any) -> AuditEntry:
    state = "begun" if begun else "done"
    return audit.record("vault.keys", audit.SYSTEM, what=what, state=state, of=str(clinic or "all"), **detail)


def _unfinished(what: str, clinic: UUID | None = None) -> AuditEntry | None:
    """The entry of this step's beginning, if it was stopped before its end."""
    entries = AuditEntry.objects.filter(action="vault.keys", detail__what=what, detail__of=str(clinic or "all"))
    last = entries.order_by("-id").first()
    return last if last and last.detail["state"] == "begun" else None


def _begun(what: str, clinic: UUID | None) -> AuditEntry:
    return _unfinished(what, clinic) or _note(what, clinic, begun=True)


def _tell_failed(failed: list[UUID]) -> None:
    if failed:
        listed = ", ".join(str(patient) for patient in failed[:10])
        raise CommandError(
            f"{len(failed):,} records do not open and were left as they are: {listed}. Restore them from a backup or"
            " erase them, then run this again."
        )
