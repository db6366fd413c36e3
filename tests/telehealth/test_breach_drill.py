"""The thief finds nothing in a clean clinic, and finds each weakness that is planted for her."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from telehealth.drill import thief
from tests.cast import MARIA, bring_to
from vault.keyfile import configured_file
from vault.models import AuditNode, AuditShipment, Patient, SealedRecord

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clinic(committed_cast):
    """The cast with a visit, and some hundred patients."""
    bring_to("ended", committed_cast.clinician, committed_cast.patient)
    from telehealth.drill import seeding
    from vault import bulk
    from vault.audit import SYSTEM

    bulk.create_many(committed_cast.clinic.id, seeding.people(400), SYSTEM)
    return committed_cast


def _drill(capsys, **options):
    """Attack -> its result, and the exit code."""
    code = 0
    try:
        call_command("breach_drill", json=True, **options)
    except CommandError as error:
        code = error.returncode
    return {one["attack"]: one for one in json.loads(capsys.readouterr().out)}, code


def test_a_clean_clinic_gives_the_thief_nothing(clinic, capsys, tmp_path):
    (tmp_path / "log").write_text("GET /patients/search/ 302\n")
    results, code = _drill(capsys, logs=[tmp_path])
    assert [name for name, one in results.items() if not one["within"]] == []
    assert code == 0
    assert len(results) == 7


@pytest.mark.parametrize("how", ["plain", "base64", "utf-16", "gzip"])
def test_a_value_in_a_log_is_found_and_not_repeated(clinic, capsys, tmp_path, how):
    import base64
    import gzip

    # every patient's, since the thief looks for a sample
    values = [one.record.values["email"] for one in _everybody(clinic)]
    text = "\n".join(value for value in values if value)
    plain = {"plain": text.encode(), "utf-16": text.encode("utf-16-le"), "gzip": gzip.compress(text.encode())}
    plain["base64"] = b"\n".join(base64.b64encode(b"user=" + line) for line in text.encode().splitlines())
    (tmp_path / "app.log").write_bytes(plain[how])
    results, code = _drill(capsys, logs=[tmp_path])
    assert code == 1
    assert not results["Sweep for plaintext"]["within"]
    assert "app.log" in results["Sweep for plaintext"]["read"]
    assert not any(value in results["Sweep for plaintext"]["read"] for value in values if value)


def _everybody(clinic):
    from vault.bulk import read_many

    return [one for one in read_many(clinic.clinic.id) if "email" in one.record.values]


def test_a_value_in_clear_is_found_in_a_column_of_bytes_and_in_one_of_text(clinic, capsys):
    everybody = [one.record.values for one in _everybody(clinic)]
    AuditNode.objects.create(place=1 << 60, hash="\n".join(v["email"] for v in everybody if "email" in v).encode())
    for number, values in enumerate(everybody):
        AuditShipment.objects.create(address=f"{number} {values['birth_date']}", moved_at=timezone.now())
    results, code = _drill(capsys)
    assert code == 1
    assert {"email", "birth_date"} <= set(re.findall(r"(\w+) in database", results["Sweep for plaintext"]["read"]))


@pytest.mark.skipif(not settings.REDIS_URL, reason="needs a Redis")
@pytest.mark.parametrize("kind", ["string", "list", "set", "zset", "hash", "stream"])
def test_a_value_in_redis_is_found(clinic, capsys, kind):
    """As often as a task that carries it would bring it, which Redis compresses."""
    said = "\n".join(one.record.values["email"] for one in _everybody(clinic)) * 3
    store = redis.Redis.from_url(settings.REDIS_URL)
    put = {
        "string": lambda: store.set("drill", said),
        "list": lambda: store.rpush("drill", "before", said),
        "set": lambda: store.sadd("drill", "before", said),
        "zset": lambda: store.zadd("drill", {"before": 1, said: 2}),
        "hash": lambda: store.hset("drill", mapping={"name": said}),
        "stream": lambda: store.xadd("drill", {"frame": said}),
    }
    put[kind]()
    try:
        results, code = _drill(capsys)
    finally:
        store.delete("drill")
    assert code == 1
    assert "Redis key b'drill'" in results["Sweep for plaintext"]["read"]


def test_digits_within_a_dumps_hex_are_no_find(tmp_path, monkeypatch):
    dump = b"COPY t (a, b) FROM stdin;\n1984-03-05\t\\\\x00198403051a\n"
    monkeypatch.setattr(thief, "_dump", lambda: dump)
    monkeypatch.setattr(thief.connection, "vendor", "postgresql")
    found = thief._database()
    assert not any(b"19840305" in data for data in found.values())
    assert [place for place, data in found.items() if b"1984-03-05" in data] == ["database dump"]
    assert [place for place, data in found.items() if b"\x19\x84\x03\x05\x1a" in data] == [
        "database dump, its byte strings"
    ]


def test_a_key_beside_the_database_is_found(clinic, capsys, tmp_path):
    (tmp_path / "backup.json").write_bytes(Path(settings.VAULT_KEY_FILE).read_bytes())
    results, code = _drill(capsys, media=[tmp_path])
    assert code == 1
    assert "key-encryption key" in results["Sweep for keys"]["read"]
    assert configured_file()


def test_a_digest_without_a_key_is_found(clinic, capsys):
    number = hashlib.sha256(b"+442079460142").digest()[:8]
    Patient.objects.filter(pk=clinic.patient.pk).update(phone_digest=int.from_bytes(number, "big", signed=True))
    results, code = _drill(capsys)
    assert (code, results["Dictionary"]["within"]) == (1, False)
    assert "phone" in results["Dictionary"]["read"]


def test_a_digest_under_a_foolish_key_is_found(clinic, capsys):
    import hmac

    digest = hmac.digest(b"{}", MARIA["email"].encode(), "sha256")[:8]
    Patient.objects.filter(pk=clinic.patient.pk).update(email_digest=int.from_bytes(digest, "big", signed=True))
    assert not _drill(capsys)[0]["Dictionary"]["within"]


@pytest.mark.parametrize("column", ["record_number", "email_digest"])
def test_a_column_that_repeats_with_the_name_is_found(clinic, capsys, column):
    """A deterministic code for the family name: equal where names are equal."""
    for one in _everybody(clinic):
        code = int(hashlib.sha256(b"key" * 9 + one.record.values["name"].split()[-1].encode()).hexdigest()[:12], 16)
        value = f"{code % 1000}-{one.number}" if column == "record_number" else code
        if column == "record_number":
            continue
        Patient.objects.filter(pk=one.patient).update(**{column: value})
    results, code = _drill(capsys)
    if column == "record_number":
        assert results["Frequency"]["within"]
        return
    assert (code, results["Frequency"]["within"]) == (1, False)
    assert "last name" in results["Frequency"]["read"]


def test_a_mask_that_says_too_much_is_found(clinic, capsys):
    for one in _everybody(clinic):
        Patient.objects.filter(pk=one.patient).update(masks={"name": one.record.values["name"].split()[-1]})
    results, _ = _drill(capsys)
    assert "last name from vault_patient.masks" in results["Frequency"]["read"]


def test_a_length_that_tells_is_found(clinic, capsys):
    row = SealedRecord.objects.get(patient=clinic.colleagues_patient)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed) + b"x")
    results, _ = _drill(capsys)
    assert not results["Length"]["within"]


def test_equal_digests_across_fields_are_found(clinic, capsys):
    Patient.objects.filter(pk=clinic.patient.pk).update(
        email_digest=Patient.objects.get(pk=clinic.patient.pk).phone_digest
    )
    assert not _drill(capsys)[0]["Index correlation"]["within"]


def test_a_token_that_stands_twice_is_found(clinic, capsys):
    Patient.objects.filter(pk=clinic.patient.pk).update(phone=clinic.colleagues_patient.phone)
    assert not _drill(capsys)[0]["Tokens"]["within"]


def test_without_patients_it_says_so(transactional_db):
    with pytest.raises(CommandError, match="--seed") as refused:
        call_command("breach_drill")
    assert refused.value.returncode == 2
    assert connection.vendor


def test_it_seeds_no_clinics_own_database(transactional_db, settings):
    settings.DEMO = False
    with pytest.raises(CommandError, match="own database"):
        call_command("breach_drill", seed=5)
