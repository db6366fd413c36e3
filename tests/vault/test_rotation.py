"""Keys are renewed while the clinic works: nothing is lost, nothing doubled, and the old key can go."""

import re
import time
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.cast import BY, MARIA, bring_to
from vault import bulk, patients, reindexing, rotation, search, shredding
from vault.core.records import RecordSealer
from vault.core.sealing import owner_of, wrapped_under
from vault.custody import VaultUnavailable
from vault.keyfile import configured_file
from vault.keyring import unwrap_data_key
from vault.keywatch import forget, keys
from vault.management.commands import vault_keys
from vault.models import AuditEntry, DataKey, IndexBlock, IndexKey, Patient, SealedRecord, SealedValue
from vault.records import place_of


@pytest.fixture(autouse=True)
def _key_file_of_its_own(settings, tmp_path):
    """Rotating must not touch the key that other tests' rows are kept under."""
    before = configured_file().path
    kept = tmp_path / "kek.json"
    kept.write_bytes(before.read_bytes())
    kept.chmod(0o600)
    settings.VAULT_KEY_FILE = str(kept)
    settings.VAULT_KEY_RECHECK_SECONDS = 0
    forget()
    yield
    settings.VAULT_KEY_FILE = str(before)
    forget()


def _whole(cast):
    """Everybody opens and is found once."""
    for patient in Patient.objects.filter(shredded_at=None):
        values = patients.opened(patient).values
        found = search.find(patient.clinic_id, values["name"], BY, limit=500).patients
        assert found.count(patient) == 1
        if values.get("phone"):
            assert patient in search.find(patient.clinic_id, values["phone"], BY).patients
    assert DataKey.objects.count() == SealedRecord.objects.count() == Patient.objects.filter(shredded_at=None).count()


def _noted():
    entries = AuditEntry.objects.filter(action="vault.keys").order_by("id")
    return [(entry.detail["what"], entry.detail["state"]) for entry in entries]


def _word(number):
    return "".join(chr(97 + number // 26**place % 26) for place in range(4)).title()


def _more(cast, count):
    rows = [
        bulk.NewRecord({"name": f"Person {_word(n)}", "birth_date": "1980-02-03", "phone": f"+4420794{n:05}"}, f"B{n}")
        for n in range(count)
    ]
    return bulk.create_many(cast.clinic.id, rows, BY)


def test_rewrapping_leaves_nothing_under_the_old_key_which_can_go(cast, capsys):
    _more(cast, 30)
    old = keys().current_id
    call_command("vault_keys", "rotate")
    assert keys().current_id != old
    assert rotation.left_to_rewrap() == rotation.left_under(old) == 0
    call_command("vault_keys", "retire", old.hex())
    assert old not in keys().ids
    _whole(cast)
    assert _noted() == [("rotate", "begun"), ("rotate", "done"), ("retire", "done")]


class Backup:
    """A patient's rows as they were, and who has the key file of today."""

    def __init__(self, patient):
        self.row = SealedRecord.objects.select_related("key", "patient").get(patient=patient)

    def opens(self):
        key, patient = self.row.key, self.row.patient
        try:
            data_key = unwrap_data_key(
                keys(), bytes(key.wrapped), owner_of(patient.clinic_id, patient.pk), key.generation
            )
        except VaultUnavailable:
            return False
        place = place_of(patient, key.generation, self.row.version)
        return RecordSealer(data_key).open(bytes(self.row.sealed), place).values["name"] == MARIA["name"]


def test_an_erasure_is_final_for_older_backups_once_every_key_of_their_time_is_retired(cast):
    first, before_the_rotation = keys().current_id.hex(), Backup(cast.patient)
    call_command("vault_keys", "rotate")
    second, after_it = keys().current_id.hex(), Backup(cast.patient)
    certificate = shredding.shred(cast.patient, BY, reason="request")
    call_command("vault_keys", "rotate")
    assert (certificate.detail["keks"], certificate.detail["backups"]) == ([second], sorted([first, second]))
    assert [before_the_rotation.opens(), after_it.opens()] == [True, True]

    both = " and ".join(sorted([first, second]))
    assert f"until key-encryption keys {both} are retired" in shredding.backup_readable_until(certificate)
    # The key that wrapped hers at the end goes first: a backup from before the rotation still opens.
    call_command("vault_keys", "retire", second)
    assert [before_the_rotation.opens(), after_it.opens()] == [True, False]
    assert f"until key-encryption key {first} is retired" in shredding.backup_readable_until(certificate)

    call_command("vault_keys", "retire", first)
    assert [before_the_rotation.opens(), after_it.opens()] == [False, False]
    since = timezone.localtime(AuditEntry.objects.filter(detail__what="retire").latest("id").at)
    assert f"since {since:%-d %B %Y, %H:%M}" in shredding.backup_readable_until(certificate)
    _whole(cast)


def test_a_key_that_still_opens_something_is_not_retired(cast):
    old = keys().current_id
    configured_file().add()
    forget()
    with pytest.raises(CommandError, match="rewrap"):
        call_command("vault_keys", "retire", old.hex())
    assert old in keys().ids


def test_a_rewrap_goes_on_where_it_was_stopped(cast):
    _more(cast, 30)
    configured_file().add()
    forget()
    total = rotation.left_to_rewrap()
    steps = rotation.rewrap(batch=7)
    done = sum(next(steps) for _ in range(4))
    steps.close()
    assert 0 < done < total
    assert rotation.left_to_rewrap() == total - done
    assert sum(rotation.rewrap(batch=7)) == total - done
    _whole(cast)


def test_a_rotation_that_was_stopped_is_finished_and_not_begun_anew(cast, monkeypatch):
    _more(cast, 30)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "rewrap", _stopped)
        with pytest.raises(KeyboardInterrupt):
            call_command("vault_keys", "rotate")
    current = keys().current_id
    call_command("vault_keys", "rotate")
    assert keys().current_id == current
    assert rotation.left_to_rewrap() == 0
    assert _noted() == [("rotate", "begun"), ("rotate", "done")]
    call_command("vault_keys", "rotate")
    assert keys().current_id != current


def _stopped():
    raise KeyboardInterrupt


def test_a_damaged_key_does_not_stop_a_rewrap_and_is_named(cast, capsys):
    _more(cast, 30)
    row = DataKey.objects.get(patient=cast.colleagues_patient)
    for at in (3, 30):  # the id of its key, and the key
        wrapped = bytearray(row.wrapped)
        wrapped[at] ^= 1
        DataKey.objects.filter(pk=row.pk).update(wrapped=bytes(wrapped))
        with pytest.raises(CommandError, match=str(cast.colleagues_patient.id)):
            call_command("vault_keys", "rotate")
        assert rotation.left_to_rewrap() == 1
    old = bytes(row.wrapped)[1:9]
    with pytest.raises(CommandError, match=str(cast.colleagues_patient.id)):
        call_command("vault_keys", "retire", old.hex())
    shredding.shred(cast.colleagues_patient, BY, reason="request")
    call_command("vault_keys", "retire", old.hex())
    _whole(cast)


def test_a_key_file_of_another_vault_stops_a_rewrap_at_once(cast):
    path = configured_file().path
    path.unlink()
    configured_file().create()
    forget()
    with pytest.raises(VaultUnavailable):
        call_command("vault_keys", "rewrap")
    assert _noted() == []


def test_a_key_is_not_retired_before_every_process_has_looked_at_the_file(cast, settings, monkeypatch):
    """Somebody who still takes the old key for the current one may wrap a patient's key under it."""
    settings.VAULT_KEY_RECHECK_SECONDS = 7
    old, waited = keys().current_id, []
    call_command("vault_keys", "rotate")
    monkeypatch.setattr(time, "sleep", waited.append)
    rotation.retire(old)
    assert len(waited) == 1
    assert 5 < waited[0] <= 7


def test_a_key_that_changed_meanwhile_is_left_alone(cast, monkeypatch):
    configured_file().add()
    forget()
    moved = rotation._moved

    def meanwhile(wrapped, purpose, clinic, patient, generation):
        if patient == cast.patient.id:
            rotation.reseal(cast.patient)
        return moved(wrapped, purpose, clinic, patient, generation)

    monkeypatch.setattr(rotation, "_moved", meanwhile)
    sum(rotation.rewrap())
    monkeypatch.undo()
    _whole(cast)
    assert rotation.left_to_rewrap() == 0


def test_resealing_gives_everything_a_new_key_and_destroys_the_old(cast):
    visit = bring_to("consented", cast.clinician, cast.patient)
    note = patients.seal(cast.patient, "consult_note", b"seen and well")
    before = DataKey.objects.get(patient=cast.patient)
    sealed = {row.token: bytes(row.sealed) for row in SealedValue.objects.filter(patient=cast.patient)}
    call_command("vault_keys", "reseal")
    after = DataKey.objects.get(patient=cast.patient)
    assert (after.generation, after.pk != before.pk) == (before.generation + 1, True)
    for row in SealedValue.objects.filter(patient=cast.patient):
        assert bytes(row.sealed) != sealed[row.token]
        assert row.key == after
    assert patients.unseal(cast.patient, "consult_note", note) == b"seen and well"
    assert visit.consult
    _whole(cast)


def test_resealing_again_does_only_what_is_left(cast):
    _more(cast, 10)
    started = timezone.now()
    first = rotation.reseal_all(cast.clinic.id, before=started, batch=4)
    next(first)
    first.close()
    assert Patient.objects.filter(data_keys__generation=2).count() == 4
    rest = sum(count for count, _ in rotation.reseal_all(cast.clinic.id, before=started, batch=4))
    assert rest == Patient.objects.filter(clinic_id=cast.clinic.id).count() - 4
    assert not list(rotation.reseal_all(cast.clinic.id, before=started))
    assert DataKey.objects.filter(created_at__lt=started - timedelta(0), patient__clinic_id=cast.clinic.id).count() == 0
    _whole(cast)


def test_a_reseal_that_was_stopped_goes_on_where_it_was(cast, monkeypatch):
    _more(cast, 10)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "reseal", _until(4, rotation.reseal))
        with pytest.raises(KeyboardInterrupt):
            call_command("vault_keys", "reseal")
    done = set(DataKey.objects.filter(generation=2).values_list("pk", flat=True))
    assert len(done) == 4
    call_command("vault_keys", "reseal")
    assert set(DataKey.objects.values_list("generation", flat=True)) == {2}
    assert done < set(DataKey.objects.values_list("pk", flat=True))
    assert _noted() == [("reseal", "begun"), ("reseal", "done")]
    call_command("vault_keys", "reseal")
    assert set(DataKey.objects.values_list("generation", flat=True)) == {3}
    _whole(cast)


def _until(count, verb):
    """The verb, and a stop after so many calls."""
    calls = iter(range(count))

    def run(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return verb(*args)

    return run


@pytest.mark.parametrize("step", ["reseal", "reindex"])
def test_one_clinic_alone_can_have_new_keys(cast, step):
    call_command("vault_keys", step, "--clinic", str(cast.clinic.id))
    model, of = (DataKey, "patient__clinic_id") if step == "reseal" else (IndexKey, "clinic_id")
    assert set(model.objects.filter(**{of: cast.clinic.id}).values_list("generation", flat=True)) == {2}
    assert set(model.objects.exclude(**{of: cast.clinic.id}).values_list("generation", flat=True)) == {1}
    with pytest.raises(CommandError, match="no patients of this clinic"):
        call_command("vault_keys", step, "--clinic", str(cast.patient.id))
    _whole(cast)


def test_one_record_that_does_not_open_does_not_stop_the_others(cast):
    row = SealedRecord.objects.get(patient=cast.colleagues_patient)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed)[:-1])
    with pytest.raises(CommandError, match=str(cast.colleagues_patient.id)):
        call_command("vault_keys", "reseal")
    assert DataKey.objects.get(patient=cast.patient).generation == 2
    assert DataKey.objects.get(patient=cast.colleagues_patient).generation == 1


def test_an_older_data_key_put_back_opens_nothing(cast):
    old = DataKey.objects.get(patient=cast.patient)
    rotation.reseal(cast.patient)
    new = DataKey.objects.get(patient=cast.patient)
    DataKey.objects.filter(pk=new.pk).update(wrapped=bytes(old.wrapped), generation=old.generation)
    with pytest.raises(patients.CannotOpen):
        patients.opened(cast.patient)


def test_a_new_index_key_lists_everybody_and_the_old_blocks_go(cast):
    _more(cast, 400)
    old = set(IndexKey.objects.values_list("pk", flat=True))
    blocks = {bytes(label) for label in IndexBlock.objects.values_list("label", flat=True)}
    digest = Patient.objects.get(pk=cast.patient.pk).phone_digest
    call_command("vault_keys", "reindex")
    assert not old & set(IndexKey.objects.values_list("pk", flat=True))
    assert not blocks & {bytes(label) for label in IndexBlock.objects.values_list("label", flat=True)}
    assert Patient.objects.get(pk=cast.patient.pk).phone_digest != digest
    assert IndexKey.objects.filter(in_use=False).count() == 0
    _whole(cast)


def test_a_reindex_that_was_stopped_goes_on_where_it_was(cast, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(reindexing, "build", _until(1, reindexing.build))
        with pytest.raises(KeyboardInterrupt):
            call_command("vault_keys", "reindex")
    first = IndexKey.objects.get(generation=2, in_use=True)
    call_command("vault_keys", "reindex")
    assert set(IndexKey.objects.values_list("generation", "in_use")) == {(2, True)}
    assert IndexKey.objects.filter(pk=first.pk).exists()
    assert _noted() == [("reindex", "begun"), ("reindex", "done")]
    _whole(cast)


def test_a_record_that_does_not_open_is_named_by_a_reindex_and_listed_by_the_next(cast):
    row = SealedRecord.objects.get(patient=cast.colleagues_patient)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed)[:-1])
    with pytest.raises(CommandError, match=str(cast.colleagues_patient.id)):
        call_command("vault_keys", "reindex")
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed))
    call_command("vault_keys", "reindex")
    _whole(cast)


def test_a_search_that_an_index_key_is_replaced_under_looks_again(cast, monkeypatch):
    by_name, late = search._by_name, reindexing.build(reindexing.begin(cast.clinic.id))

    def meanwhile(*args):
        list(late)
        return by_name(*args)

    monkeypatch.setattr(search, "_by_name", meanwhile)
    assert search.find(cast.clinic.id, "quixplotz", BY).patients == [cast.patient]


def test_whoever_finishes_an_index_second_leaves_the_next_one_alone(cast):
    building = reindexing.begin(cast.clinic.id)
    mine = reindexing.build(building)
    next(mine)
    list(reindexing.build(IndexKey.objects.get(pk=building.pk)))
    following = reindexing.begin(cast.clinic.id)
    assert list(mine) == []
    assert IndexKey.objects.filter(pk=following.pk, in_use=False).exists()


def test_listing_everybody_while_an_index_is_built_loses_nobody(cast):
    _more(cast, 40)
    building = reindexing.begin(cast.clinic.id)
    steps = reindexing.build(building, batch=20)
    next(steps)
    reindexing.list_all(cast.clinic.id)
    list(steps)
    _whole(cast)


def test_while_an_index_is_built_writers_serve_both_and_readers_the_old_one(cast):
    _more(cast, 60)
    building = reindexing.begin(cast.clinic.id)
    steps = reindexing.build(building, batch=20)
    next(steps)  # the cast's own patients and some more are passed, the rest is ahead
    patients.change(cast.patient, {"name": "Maria Zwickau", "phone": "020 7946 0777"}, BY)
    typed = {"name": "Late Comer", "birth_date": "1990-01-01", "phone": "020 7946 0555"}
    late = patients.create(cast.clinic.id, typed, BY)
    ahead = Patient.objects.get(clinic_id=cast.clinic.id, record_number="B55")
    patients.change(ahead, {"phone": "020 7946 0333"}, BY)
    asked = {"zwick": cast.patient, "020 7946 0777": cast.patient, "late": late, "020 7946 0333": ahead}
    for query, who in asked.items():
        assert search.find(cast.clinic.id, query, BY).patients == [who]
    list(steps)
    for query, who in asked.items():
        assert search.find(cast.clinic.id, query, BY).patients == [who], query
    assert search.find(cast.clinic.id, "quixplotz", BY).patients == []
    assert search.find(cast.clinic.id, "020 7946 0555", BY).patients == [late]
    _whole(cast)


def test_status_tells_and_changes_nothing(cast, capsys):
    before = bytes(DataKey.objects.get(patient=cast.patient).wrapped)
    call_command("vault_keys", "status")
    said = capsys.readouterr().out
    assert f"{keys().current_id.hex()}, current" in said
    assert "(100.0%)" in said
    assert "in use" in said
    assert wrapped_under(before).hex() in said
    assert MARIA["name"] not in said


def test_a_rotation_says_how_far_it_is_and_how_long_still(cast, capsys, monkeypatch):
    """A line at each batch that comes later than the interval; none of them is about anybody."""
    monkeypatch.setattr(vault_keys, "EVERY", 0)
    for n in range(3):
        patients.create(cast.clinic.id, {"name": f"Person {n}", "birth_date": "1990-01-01"}, BY)
    for step, total in (("reseal", 6), ("reindex", 6), ("rotate", 8)):  # two clinics' index keys are wrapped too
        call_command("vault_keys", step)
        said = re.findall(r"(\d+) of (\d+), [\d,]+ a second, \d+ s left", capsys.readouterr().out)
        done = [int(one) for one, _ in said]
        assert done == sorted(done), step
        assert done[-1] == total, step
        assert {int(of) for _, of in said} == {total}, step
        assert len(said) > 1, step
