"""Keys are renewed while the clinic works: nothing is lost, nothing doubled, and the old key can go."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.cast import BY, MARIA, bring_to
from vault import bulk, patients, rotation, search
from vault.core.sealing import wrapped_under
from vault.keyfile import configured_file
from vault.keywatch import forget, keys
from vault.models import AuditEntry, DataKey, IndexBlock, IndexKey, Patient, SealedRecord, SealedValue


@pytest.fixture(autouse=True)
def _key_file_of_its_own(settings, tmp_path):
    """Rotating must not touch the key that other tests' rows are kept under."""
    before = configured_file().path
    kept = tmp_path / "kek.json"
    kept.write_bytes(before.read_bytes())
    kept.chmod(0o600)
    settings.VAULT_KEY_FILE = str(kept)
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
    said = [entry.detail["what"] for entry in AuditEntry.objects.filter(action="vault.keys").order_by("id")]
    assert said == ["kek added", "rewrapped", "kek retired"]


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
    rest = sum(count for count, _ in rotation.reseal_all(cast.clinic.id, before=started, batch=4))
    assert rest == Patient.objects.filter(clinic_id=cast.clinic.id).count() - 4
    assert not list(rotation.reseal_all(cast.clinic.id, before=started))
    assert DataKey.objects.filter(created_at__lt=started - timedelta(0), patient__clinic_id=cast.clinic.id).count() == 0
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


def test_while_an_index_is_built_writers_serve_both_and_readers_the_old_one(cast):
    _more(cast, 60)
    building = rotation.begin_index_rotation(cast.clinic.id)
    steps = rotation.build_index(building, batch=20)
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
    assert "in use" in said
    assert wrapped_under(before).hex() in said
    assert MARIA["name"] not in said
