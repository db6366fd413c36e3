"""Patients are found by any form of what is known of them, in their own clinic, and the index tells little."""

import pytest

from tests.cast import BY, MARIA
from vault import patients
from vault.keyring import indexer
from vault.models import AuditEntry, SearchDigest


def _find(cast, query):
    return patients.search(cast.clinic.id, query, BY)


@pytest.mark.parametrize(
    "query",
    [
        "020 7946 0142",
        "02079460142",
        "+442079460142",
        "+44 (0)20 7946-0142",
        "0044 20 7946 0142",
        "maria.quixplotz@canary.example",
        "Maria.Quixplotz@CANARY.example",
        "QX 83 61 97 Z",
        "qx836197z",
        "QX-83-61-97-Z",
        "1984-03-17",
        "Maria José Quixplotz",
        "quixplotz maria",
        "quix",
        "Qu",
        "mar qui",
        "jose",
        "JOSÉ",
        "josé",
        "quixplotz's",
        "maria-jose",
        "maria 1984-03-17",
        "1984-03-17 quixplotz",
        "Maria Quixplotz 1984-03-17",
        "quixplotz QX836197Z",
        "maria 02079460142",
    ],
)
def test_she_is_found(cast, query):
    assert _find(cast, query) == [cast.patient]


@pytest.mark.parametrize(
    "query",
    [
        "020 7946 0143",
        "0142",
        "maria-otherwise",
        "quixplotz@canary.example",
        "1984-03-18",
        "1984",
        "maria otherwise",
        "maria 1971-12-05",
        "uixplotz",
        "Zanzibarlane",
        "Glorbthroat",
        "m",
        "",
        "   ",
        "%",
        "' OR 1=1 --",
        "\u0000",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_she_is_not_found(cast, query):
    assert cast.patient not in _find(cast, query)


@pytest.mark.parametrize("query", ["020 7946 0142", "quixplotz", "1984-03-17", "maria.quixplotz@canary.example"])
def test_another_clinic_finds_nothing(cast, query):
    assert patients.search(cast.other_clinic.id, query, BY) == []


def test_a_clinic_finds_its_own_of_two_alike(cast):
    found = patients.search(cast.other_clinic.id, "wendel", BY)
    assert found == [cast.outsiders_patient]


def test_the_limit_holds(cast):
    for number in range(4):
        patients.create(cast.clinic.id, {**MARIA, "national_id": f"AA11223{number}"}, BY)
    assert len(patients.search(cast.clinic.id, "quixplotz", BY, limit=3)) == 3


def test_a_search_is_logged_without_what_was_searched(cast):
    _find(cast, "maria quixplotz")
    entry = AuditEntry.objects.filter(action="patient.search").get()
    assert entry.detail == {"words": 2, "found": 1}
    assert "quix" not in str(AuditEntry.objects.filter(pk=entry.pk).values().get()).lower()


def test_equal_values_at_two_clinics_have_unrelated_digests(cast):
    here = set(SearchDigest.objects.filter(patient=cast.colleagues_patient).values_list("digest", flat=True))
    there = set(SearchDigest.objects.filter(patient=cast.outsiders_patient).values_list("digest", flat=True))
    assert len(here) == len(there) > 10
    assert not {bytes(d) for d in here} & {bytes(d) for d in there}


def test_equal_values_in_two_fields_have_unrelated_digests(cast):
    index = indexer(cast.clinic.id)
    assert index.digest("phone", "+442079460142") != index.digest("national_id", "+442079460142")
    assert index.digest("phone", "+442079460142") == index.digest("phone", "+442079460142")


def test_a_digest_is_16_bytes_and_only_the_written_down_indexes_exist(cast):
    rows = SearchDigest.objects.filter(patient=cast.patient)
    assert {len(bytes(r.digest)) for r in rows} == {16}
    assert {r.field for r in rows} == {"name_prefix", "birth_date", "phone", "email", "national_id"}


def test_a_dictionary_without_the_key_finds_nothing(cast):
    """What a thief of the database could try: plain hashes of likely values."""
    import hashlib

    kept = {bytes(d) for d in SearchDigest.objects.values_list("digest", flat=True)}
    for text in ("+442079460142", "1984-03-17", "maria", "ma", "quixplotz", "qx836197z"):
        for name in ("md5", "sha1", "sha256", "blake2s"):
            assert hashlib.new(name, text.encode()).digest()[:16] not in kept


def test_two_first_searches_at_once_agree_on_one_index_key(cast):
    from accounts.models import Clinic
    from vault import keyring

    clinic = Clinic.objects.create(name="New Practice").id
    first = keyring._create_index_key(clinic)
    assert keyring._create_index_key(clinic).pk == first.pk
