"""Patients are found by any form of what is known of them, in their own clinic, sorted by name."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import BY, MARIA, OTHER
from vault import bulk, patients, search
from vault.core.blocks import LEAF_MOST, Directory, Leaf
from vault.core.fields import fold
from vault.core.sealing import CannotOpen
from vault.core.terms import near, sort_key
from vault.keyring import indexes
from vault.models import AuditEntry, IndexBlock, Patient, SealedRecord


def _find(cast, query, **options):
    return search.find(cast.clinic.id, query, BY, **options).patients


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
        "19840317",
        "1984/3/17",
        "17.3.1984",
        "17.03.1984",
        "17/03/1984",
        "3/17/1984",
        " 17-3-1984 ",
        "Maria José Quixplotz",
        "quixplotz maria",
        "quix",
        "Qu",
        "mar qui",
        "qui mar 1984",
        "1984 quix",
        "jose",
        "JOSÉ",
        "josé",
        "quixplotz's",
        "maria-jose",
        "maria 1984-03-17",
        "maria 17.3.1984",
        "1984-03-17 quixplotz",
        "Maria Quixplotz 1984-03-17",
        "quixplotz QX836197Z",
        "maria 02079460142",
        "maria 02079460142 1984",
    ],
)
def test_she_is_found(cast, query):
    assert _find(cast, query) == [cast.patient]


def test_she_is_found_by_her_record_number(cast):
    number = cast.patient.record_number
    assert _find(cast, number) == [cast.patient]
    assert _find(cast, f" {number.lower()} ") == [cast.patient]
    assert _find(cast, f"quixplotz {number}") == [cast.patient]


@pytest.mark.parametrize("number", ["7", "R2", "12-B", "1984", "A 1984"])
def test_a_short_record_number_is_one_too(cast, number):
    values = {"name": "Otto Berg", "birth_date": "1990-01-01"}
    patient = patients.create(cast.clinic.id, values, BY, record_number=number)
    assert _find(cast, number) == [patient]
    assert _find(cast, f"otto {number}") == ([] if number in ("1984", "A 1984") else [patient])


@pytest.mark.parametrize("query", ["ann 2nd", "2nd", "ann lee 2nd", "r2d2 ann", "lee r2"])
def test_a_name_with_digits_is_found(cast, query):
    patient = patients.create(cast.clinic.id, {"name": "Ann R2D2 Lee 2nd", "birth_date": "1990-01-01"}, BY)
    assert _find(cast, query) == [patient]


@pytest.mark.parametrize(
    "query",
    [
        "020 7946 0143",
        "0142",
        "maria-otherwise",
        "quixplotz@canary.example",
        "1984-03-18",
        "18.3.1984",
        "17.13.1984",
        "3.1984",
        "1984",
        "maria 1985",
        "maria otherwise",
        "maria 1971-12-05",
        "maria 02079460999",
        "wendel 02079460142",
        "m",
        "",
        "%",
        "'; --",
        "maria " * 40 + "wendel",
    ],
)
def test_what_does_not_fit_finds_nobody(cast, query):
    assert _find(cast, query) == ([cast.patient] if query.startswith("maria maria") else [])


@pytest.mark.parametrize(
    "query",
    [
        "quixplats",
        "quixpltz",
        "quixxplotz",
        "quixlpotz",
        "qiuxplotz",
        "marya quixplotz",
        "quixplits maria",
        "quixpolt",
        "qixpl",
    ],
)
def test_one_typo_is_similar(cast, query):
    found = search.find(cast.clinic.id, query, BY)
    assert found.patients == []
    assert found.similar == [cast.patient]


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("Catherine Holmboe", "kathryn holmboe"),
        ("Alun Smith", "smyth"),
        ("Alun Meier", "maier alun"),
        ("Mohammed Khan", "muhammad"),
        ("Pilar Gonzalez", "gonsales pilar"),
        ("Sean Byrne", "shawn byrne"),
    ],
)
def test_the_same_sound_is_similar(cast, name, typed):
    made = patients.create(cast.clinic.id, {"name": name, "birth_date": "1970-01-02"}, BY)
    found = search.find(cast.clinic.id, typed, BY)
    assert (found.patients, found.similar) == ([], [made])


@pytest.mark.parametrize("query", ["quaxbrits", "quixplotz zzzz", "mxrxa", "qui 1990"])
def test_what_is_further_off_is_not_similar(cast, query):
    found = search.find(cast.clinic.id, query, BY)
    assert (found.patients, found.similar) == ([], [])


def test_scripts_meet(cast):
    made = {
        name: patients.create(cast.clinic.id, {"name": name, "birth_date": "1990-01-02"}, BY)
        for name in ("Μαρία Παπαδοπούλου", "Юлия Иванова", "山田 花子", "Łukasz Żółć", "Zoë O’Neil")
    }
    for name, patient in made.items():
        assert _find(cast, name) == [patient]
        assert patient in _find(cast, fold(name))
    assert _find(cast, "oneil zoe") == [made["Zoë O’Neil"]]
    assert _find(cast, "lukasz zolc") == [made["Łukasz Żółć"]]


def test_a_date_that_can_be_read_two_ways_finds_both(cast):
    april, march = (
        patients.create(cast.clinic.id, {"name": name, "birth_date": date}, BY)
        for name, date in (("Ann Aprilborn", "1990-04-03"), ("Ben Marchborn", "1990-03-04"))
    )
    assert _find(cast, "03/04/1990") == [april, march]
    assert _find(cast, "ben 03/04/1990") == [march]


@pytest.mark.parametrize("number", ["19840317", "17-03-1984"])
def test_an_id_that_looks_like_a_date_is_found_too(cast, number):
    values = {"name": "Otto Berg", "birth_date": "1990-01-01", "national_id": number}
    patient = patients.create(cast.outsider.clinic_id, values, BY)
    assert search.find(cast.outsider.clinic_id, number, BY).patients == [patient]


def test_another_clinic_finds_nothing_of_her(cast):
    for query in ("quixplotz", "020 7946 0142", "1984-03-17", cast.patient.record_number, "quixplots"):
        found = search.find(cast.other_clinic.id, query, BY)
        assert (found.patients, found.similar) == ([], [])
    assert search.find(cast.other_clinic.id, "wendel", BY).patients == [cast.outsiders_patient]


WORDS = ["Anna", "Ben", "Carla", "Dora", "Emil", "Maria", "Marek", "Mario", "Marta", "Nils", "Olga", "Paul"]
FAMILIES = ["Adler", "Brand", "Conti", "Diaz", "Ek", "Ferro", "Garcia", "Garnier", "Hahn", "Marx", "Nagy", "Okoye"]


def _many(clinic, count, seed=1):
    pick = random.Random(seed)
    rows = [
        bulk.NewRecord(
            {
                "name": f"{pick.choice(WORDS)} {pick.choice(FAMILIES)}",
                "birth_date": f"{pick.randrange(1930, 2020)}-0{pick.randrange(1, 10)}-11",
                "phone": f"+4420794{n:05d}",
            },
            f"B{seed}-{n}",
        )
        for n in range(count)
    ]
    numbers = bulk.create_many(clinic, rows, BY)
    ids = dict(Patient.objects.filter(clinic_id=clinic).values_list("number", "pk"))
    return [(ids[number], row) for number, row in zip(numbers, rows, strict=True)]


def _expected(rows, *prefixes, year=""):
    """What a scan over the plain values says: the ids, in the order of names."""
    fits = [
        (sort_key(row.values["name"]), at, pk)
        for at, (pk, row) in enumerate(rows)
        if all(any(w.startswith(p) for w in fold(row.values["name"]).split()) for p in prefixes)
        and row.values["birth_date"].startswith(year)
    ]
    return [pk for _, _, pk in sorted(fits)]


def test_long_lists_answer_as_a_scan_would_and_in_the_order_of_names(cast):
    rows = _many(cast.other_clinic.id, 3000)
    (index,) = indexes(cast.other_clinic.id)
    assert _block(index, "name_prefix", "mar").__class__ is Directory  # or the test is about short lists
    for query, prefixes, year in [
        ("ma", ["ma"], ""),
        ("mar gar", ["mar", "gar"], ""),
        ("gar ma 1984", ["gar", "ma"], "1984"),
        ("maria garcia", ["maria", "garcia"], ""),
        ("mar marx", ["mar", "marx"], ""),
        ("mari 1950", ["mari"], "1950"),
        ("ek", ["ek"], ""),
        ("olga nagy", ["olga", "nagy"], ""),
    ]:
        want = _expected(rows, *prefixes, year=year)
        assert want
        for limit in (20, 5000):
            found = search.find(cast.other_clinic.id, query, BY, limit=limit)
            assert [p.pk for p in found.patients] == want[:limit], query
            assert found.more == (len(want) > limit)


def test_one_by_one_or_together_the_lists_are_the_same(cast):
    rows = _many(cast.other_clinic.id, 700)
    for n in range(60):
        name = f"Maria Zz{chr(97 + n % 26)}{chr(97 + n // 26)}k"
        made = patients.create(cast.other_clinic.id, {"name": name, "birth_date": "1999-09-09"}, BY)
        rows.append((made.pk, bulk.NewRecord({"name": name, "birth_date": "1999-09-09"}, "")))
    found = search.find(cast.other_clinic.id, "ma", BY, limit=5000).patients
    assert [p.pk for p in found] == _expected(rows, "ma")


def test_lists_that_are_written_in_pieces_are_whole(cast, monkeypatch):
    monkeypatch.setattr("vault.rows.PUT_AT_ONCE", 7)
    rows = _many(cast.other_clinic.id, 40) + _many(cast.other_clinic.id, 41, seed=2)
    words = {word for _, row in rows for word in fold(row.values["name"]).split()}
    for query in {word[:letters] for word in words for letters in range(2, 9) if len(word) >= letters}:
        found = search.find(cast.other_clinic.id, query, BY, limit=5000).patients
        assert [p.pk for p in found] == _expected(rows, query)


def test_who_changes_her_name_is_found_by_the_new_one_alone(cast):
    rows = _many(cast.clinic.id, 1200)
    assert cast.patient in _find(cast, "quix")
    patients.change(cast.patient, {"name": "Maria Zwickau", "phone": "020 7946 0777"}, BY)
    assert _find(cast, "quix") == []
    assert _find(cast, "020 7946 0142") == []
    assert _find(cast, "020 7946 0777") == [cast.patient]
    assert _find(cast, "zwick") == [cast.patient]
    assert _find(cast, "1984-03-17 maria zwickau") == [cast.patient]
    assert len(_find(cast, "mar", limit=5000)) == len(_expected(rows, "mar")) + 1


def test_a_damaged_block_is_one_error_and_in_the_log(cast):
    (index,) = indexes(cast.clinic.id)
    label = index.blocks.label("name_prefix", "quix")
    row = IndexBlock.objects.get(label=label)
    row.sealed = bytes(row.sealed[:-1]) + bytes([bytes(row.sealed)[-1] ^ 1])
    row.save()
    with pytest.raises(CannotOpen):
        _find(cast, "quix")
    assert AuditEntry.objects.filter(action="vault.tamper", outcome="failed").exists()
    assert _find(cast, "mari") == [cast.patient]


def test_a_record_that_was_tampered_with_hides_nobody_who_shares_her_phone(cast):
    sister = patients.create(cast.clinic.id, {**OTHER, "phone": MARIA["phone"]}, BY)
    row = SealedRecord.objects.get(patient=sister)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed[:-1]) + bytes([row.sealed[-1] ^ 1]))
    assert [found.id for found in _find(cast, MARIA["phone"])] == [cast.patient.id, sister.id]
    tampered = AuditEntry.objects.filter(action="vault.tamper", outcome="failed")
    assert [entry.patient for entry in tampered] == [str(sister.id)]


def test_a_block_moved_to_another_label_does_not_open(cast):
    (index,) = indexes(cast.clinic.id)
    here = IndexBlock.objects.get(label=index.blocks.label("name_prefix", "quix"))
    IndexBlock.objects.filter(label=index.blocks.label("name_prefix", "wend")).update(sealed=here.sealed)
    with pytest.raises(CannotOpen):
        _find(cast, "wend")


def test_the_log_has_counts_and_no_query(cast):
    _find(cast, "quixplotz 1984-03-17")
    entry = AuditEntry.objects.filter(action="patient.search").first()
    assert entry.detail == {"words": 2, "found": 1, "similar": 0}
    assert "quix" not in str(entry.__dict__).lower()


def test_a_limit_holds(cast):
    for n in range(5):
        patients.create(cast.clinic.id, {**MARIA, "national_id": f"QX 83 61 9{n} Z"}, BY)
    found = search.find(cast.clinic.id, "quixplotz", BY, limit=3)
    assert (len(found.patients), found.more) == (3, True)
    found = search.find(cast.clinic.id, MARIA["phone"], BY, limit=3)
    assert (len(found.patients), found.more) == (3, True)


# -- what the index tells a thief ---------------------------------------------------------------------------


def test_equal_values_look_alike_in_one_clinic_and_field_only(cast):
    here, there = cast.colleagues_patient, cast.outsiders_patient
    assert OTHER["phone"]
    assert here.phone_digest != there.phone_digest
    same = patients.create(cast.clinic.id, {**OTHER, "national_id": "+442079460999"[1:]}, BY)
    assert same.phone_digest == here.phone_digest
    assert same.national_id_digest not in (same.phone_digest, None)


def test_equal_names_and_dates_do_not_look_alike_anywhere(cast):
    """Two who share name and birthday share no bytes at rest but the masks."""
    twin = patients.create(cast.clinic.id, {f: MARIA[f] for f in ("name", "birth_date")}, BY)
    ours = {bytes(row.label) + bytes(row.sealed) for row in IndexBlock.objects.all()}
    assert len(ours) == IndexBlock.objects.count()
    one, other = Patient.objects.get(pk=cast.patient.pk), Patient.objects.get(pk=twin.pk)
    shared = {
        field.attname
        for field in Patient._meta.concrete_fields
        if getattr(one, field.attname) == getattr(other, field.attname) not in ("", None)
    }
    assert shared == {"clinic_id"}


def test_labels_are_not_plain_digests_of_the_terms(cast):
    import hashlib

    kept = {bytes(row.label) for row in IndexBlock.objects.all()}
    for word in ("ma", "mar", "maria", "qu", "quix", "quixplot", "1984-03-17"):
        for make in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            assert make(word.encode()).digest()[:16] not in kept


def test_a_blocks_length_tells_its_size_class_and_no_more(cast):
    _many(cast.clinic.id, 900)
    classes = {29 + 4 + 13 * n for n in (2, 4, 8, 16, 32, 64, 128, 192, 256, LEAF_MOST)} | {29 + 4 + 16 * 64}
    assert {len(row.sealed) for row in IndexBlock.objects.all()} <= classes


def test_no_list_is_kept_over_a_field_with_few_values(cast):
    (index,) = indexes(cast.clinic.id)
    for term in [("birth_year", "1984"), ("name_prefix", "1984"), ("birth_date", "1984"), ("name_prefix", "m")]:
        assert _block(index, *term) is None


def _block(index, name, text):
    row = IndexBlock.objects.filter(label=index.blocks.label(name, text)).first()
    return row and index.blocks.open(bytes(row.label), bytes(row.sealed))


# -- properties ------------------------------------------------------------------------------------------


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=8), st.data())
def test_every_word_one_typo_away_is_near(word, data):
    at = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    for typed in {word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :], word[:at] + letter + word[at:]}:
        if len(typed) >= 4 and typed[:8] != word[:8]:
            assert word[:8] in near(typed)


@given(st.text(max_size=40), st.text(max_size=40))
def test_sort_keys_fit_and_follow_the_last_word(one, other):
    assert 0 <= sort_key(one) < 1 << 60
    first, second = fold(one).split()[-1:], fold(other).split()[-1:]
    if first and second and first[0].isalpha() and second[0].isalpha() and first[0][:12] < second[0][:12]:
        assert sort_key(one) <= sort_key(other)


def test_a_leaf_keeps_its_columns_together():
    from vault.core.blocks import Entry, decode, encode

    leaf = Leaf([Entry(5, 1, 84), Entry(7, 2, 255)])
    assert decode(encode(leaf)).entries() == leaf.entries()
