"""Every vector stands in the database as if the product had written it, and goes through whatever opens its kind.

So a good one must open at each entry point, and a hostile one is refused for what is wrong with it and nothing else.
"""

import base64
import json
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Clinic
from consults import export_facts
from tests.cast import BY, OTHER
from tests.vectors import make, make_index, make_records
from vault import bulk, keyring, keywatch, patients, postings, reindexing, rotation, search
from vault.core.blocks import BlockSealer, Directory, Entry, Leaf
from vault.core.records import CODES, Record, RecordSealer, associated_data
from vault.core.sealing import CannotOpen, owner_of, wrap
from vault.core.terms import digest_text
from vault.custody import VaultUnavailable
from vault.keywatch import keys
from vault.models import AuditEntry, ClinicIndex, DataKey, IndexBlock, IndexKey, Patient, SealedRecord, SealedValue
from vault.records import masks_of, read_by_id, read_record

pytestmark = pytest.mark.django_db

MESSAGE = "A protected value could not be opened."
SHARED = "+442079460999"


def _vectors(file):
    vectors = json.loads(file.read_text())
    assert {v["opens"] is None for v in vectors} == {True, False}
    return vectors


def _through(vectors, stand, opens, logged=False):
    """The vectors that should have opened and did not, and those that opened and should not have."""
    wrong = []
    for vector in vectors:
        with transaction.atomic():
            standing = stand(vector)
            before = AuditEntry.objects.filter(action="vault.tamper").count()
            try:
                with transaction.atomic():
                    opens(standing, vector)
                opened = True
            except CannotOpen as error:
                patients.note_again(error, BY)  # as the page does, whose transaction is rolled back
                opened = str(error) != MESSAGE
                if logged and vector["opens"] is None:
                    assert AuditEntry.objects.filter(action="vault.tamper").count() > before, vector["name"]
            if opened != (vector["opens"] is not None):
                wrong.append(vector["name"])
            transaction.set_rollback(True)
    return wrong


def _wrapped(vector, **more):
    where = {"purpose": "data", "generation": vector["generation"], **more}
    owner = owner_of(UUID(vector["clinic"]), UUID(vector["patient"]) if where["purpose"] == "data" else None)
    return wrap(bytes.fromhex(vector["key"]), keys().current, keys().current_id, owner=owner, **where)


# -- records ---------------------------------------------------------------------------------------------------


def _record_stands(vector):
    """Her row, key and record; and somebody else who has the same phone number, so that a search reads both."""
    clinic, values = UUID(vector["clinic"]), vector["opens"] or make_records.TWO
    Clinic.objects.create(id=clinic, name="Harbour Practice")
    patients.create(clinic, {**OTHER, "phone": SHARED}, BY)
    (index,) = keyring.indexes(clinic)
    patient = Patient.objects.create(
        id=UUID(vector["patient"]),
        clinic_id=clinic,
        record_number="V1",
        masks=masks_of(values),
        number=2,
        created_at=timezone.now(),
        phone_digest=index.digests.digest("phone", digest_text(SHARED)),
        **dict(zip(CODES, vector["tokens"], strict=True)),
    )
    ClinicIndex.objects.filter(pk=clinic).update(last_number=2)
    key = DataKey.objects.create(
        patient=patient, generation=vector["generation"], wrapped=_wrapped(vector), created_at=timezone.now()
    )
    SealedRecord.objects.create(
        patient=patient, key=key, version=vector["version"], sealed=bytes.fromhex(vector["sealed"])
    )
    AuditEntry.objects.create(
        at=timezone.now(), action="patient.change", role="system", patient=str(patient.id),
        detail={"version": vector["version"]},
    )  # fmt: skip
    return patient


def _says(found, vector):
    assert vector["opens"] is None or found == vector["opens"], vector["name"]


def _of_her(opened, patient):
    (one,) = [one for one in opened if one.patient == patient.id]
    if one.record is None:
        raise CannotOpen
    return one.record.values


def _revealed(patient, vector):
    _says(patients.reveal(patient, list(CODES), BY, purpose="treat").values, vector)


def _unsealed(patient, vector):
    for field in vector["opens"] or ["birth_date"]:
        value = patients.unseal(patient, field, getattr(patient, field)).decode()
        assert vector["opens"] is None or value == vector["opens"][field]


def _matched(patient, vector):
    values = vector["opens"] or make_records.TWO
    assert patients.matches_identity(patient, name=values["name"], birth_date=values["birth_date"])


def _changed(patient, vector):
    changed = patients.change(patient, {"email": "new@example.org"}, BY)
    _says(dict(read_record(changed).values), vector and {**vector, "opens": _with_email(vector["opens"])})


def _with_email(values):
    return values and {**values, "email": "new@example.org"}


def _resealed(patient, vector):
    assert rotation.reseal(patient)
    _says(dict(read_record(patient).values), vector)


def _resealed_with_all(patient, vector):
    later = timezone.now() + timezone.timedelta(days=1)
    for _, failed in rotation.reseal_all(patient.clinic_id, before=later):
        if patient.id in failed:
            raise CannotOpen
    _says(dict(read_record(patient).values), vector)


def _listed_anew(patient, vector):
    for _, failed in reindexing.build(reindexing.begin(patient.clinic_id)):
        if patient.id in failed:
            raise CannotOpen
    assert patient in search.look(patient.clinic_id, (vector["opens"] or make_records.TWO)["birth_date"])[0].patients


def _found(patient, vector):
    found = search.find(patient.clinic_id, SHARED, BY)
    assert len(found.patients) == 2  # who does not open is listed by her mask, and named
    if found.shut:
        assert found.shut == [patient.id]
        assert AuditEntry.objects.filter(action="vault.tamper", patient=str(patient.id)).exists()
        raise CannotOpen


def _exported(patient, vector):
    _says(export_facts.gather(patient, BY, reason="subject", at=timezone.now()).values, vector)


RECORDS = {
    "one record": lambda p, v: _says(dict(read_by_id(p.id).values), v),
    "reveal": _revealed,
    "unseal": _unsealed,
    "identity": _matched,
    "change": _changed,
    "every record": lambda p, v: _says(_of_her(bulk.read_many(p.clinic_id), p), v),
    "some records": lambda p, v: _says(_of_her(bulk.read_some(p.clinic_id, after=0, most=9), p), v),
    "reseal": _resealed,
    "reseal of all": _resealed_with_all,
    "reindex": _listed_anew,
    "search": _found,
    "export": _exported,
}
#: those that write the entry themselves; of the others the page or the command says what did not open
LOGGED = {"reveal", "unseal", "identity", "change"}


@pytest.mark.parametrize("entry", RECORDS)
def test_every_record_goes_through(entry):
    assert _through(_vectors(make_records.FILE), _record_stands, RECORDS[entry], entry in LOGGED) == []


# -- loose values ----------------------------------------------------------------------------------------------


def _value_stands(vector):
    """The value under a key of its own, beside a record that opens."""
    clinic, patient_id = UUID(vector["clinic"]), UUID(vector["patient"])
    bound = make_records.tokens_for(make_records.TWO)
    patient = Patient.objects.create(
        id=patient_id,
        clinic_id=clinic,
        record_number="V1",
        masks=masks_of(make_records.TWO),
        number=1,
        created_at=timezone.now(),
        **dict(zip(CODES, bound, strict=True)),
    )
    own = keyring.create_data_key(patient, 9)
    place = associated_data(owner_of(clinic, patient_id), 9, 1, bound)
    sealed = keyring.opener(own, clinic).records.seal(Record(make_records.TWO), place)
    SealedRecord.objects.create(patient=patient, key=own, version=1, sealed=sealed)
    key = DataKey.objects.create(
        patient=patient, generation=vector["generation"], wrapped=_wrapped(vector), created_at=timezone.now()
    )
    SealedValue.objects.create(
        token=vector["token"],
        patient=patient,
        field=vector["field"],
        key=key,
        sealed=bytes.fromhex(vector["sealed"]),
        created_at=timezone.now(),
    )
    return patient


def _value_says(patient, vector):
    value = patients.unseal(patient, vector["field"], vector["token"]).decode()
    assert vector["opens"] is None or value == vector["opens"]


def _value_resealed(patient, vector):
    assert rotation.reseal(patient)
    _value_says(patient, vector)


VALUES = {"unseal": _value_says, "reseal": _value_resealed}


@pytest.mark.parametrize("entry", VALUES)
def test_every_loose_value_goes_through(entry):
    loose = [v for v in _vectors(make.FILE) if v["field"] not in CODES]
    assert len(loose) > 15
    assert _through(loose, _value_stands, VALUES[entry], entry == "unseal") == []


# -- blocks ----------------------------------------------------------------------------------------------------


def _block_stands(vector):
    """The block under its label, below a directory where it is no root."""
    clinic, where = UUID(vector["clinic"]), (vector["index"], vector["term"])
    row = IndexKey.objects.create(
        clinic_id=clinic,
        generation=vector["generation"],
        wrapped=_wrapped({**vector, "patient": None}, purpose="index"),
        created_at=timezone.now(),
    )
    if vector["block"]:
        sealer = BlockSealer(bytes.fromhex(vector["key"]), clinic, vector["generation"])
        root = sealer.label(*where)
        sealed = sealer.seal(root, Directory([(0, 0)], [vector["block"]]))
        IndexBlock.objects.create(label=root, key=row, sealed=sealed)
    IndexBlock.objects.create(label=make_index.label_of(vector), key=row, sealed=bytes.fromhex(vector["sealed"]))
    (index,) = keyring.indexes(clinic)
    return index, postings.locked(clinic), where


def _block_read(standing, vector):
    index, _, where = standing
    lists = postings.Lists(postings.Reader(index), [where])
    said = vector["opens"] or {}
    if "directory" in said:
        ((_, directory),) = lists._long
        assert directory.blocks == said["directory"]["blocks"]
        return
    assert [list(entry) for entry in lists.between(0, 1 << 64, None)] == [
        entry for entry in said.get("leaf", []) if entry[0] < 1 << 64
    ]


def _block_searched(standing, vector):
    _, clinic, where = standing
    if where == ("name_sound", "ma"):
        _block_read(standing, vector)
    else:
        search.look(clinic.clinic_id, where[1])


def _block_written(standing, vector):
    index, clinic, where = standing
    writing = postings.Writing(clinic, index)
    entry = Entry(5, 5, 5)
    writing.add([where], entry)
    writing.save()
    assert entry in postings.Lists(postings.Reader(index), [where]).between(0, 10, None)


def _block_swept(standing, _vector):
    index, _, where = standing
    postings.remove_everywhere(index, lambda entry: True)
    for _, block in postings.Reader(index).roots([where]):
        assert not isinstance(block, Leaf) or not len(block)


BLOCKS = {"read": _block_read, "search": _block_searched, "write": _block_written, "sweep": _block_swept}


@pytest.mark.parametrize("entry", BLOCKS)
def test_every_block_goes_through(entry):
    vectors = _vectors(make_index.BLOCKS)
    if entry in ("search", "write"):  # a directory that opens leads on to leaves, which are no part of the vector
        vectors = [v for v in vectors if "directory" not in (v["opens"] or {})]
    if entry == "search":  # nobody types two indexes' names, or a letter alone
        vectors = [v for v in vectors if v["name"] != "letters from the term to the index"]
    assert _through(vectors, _block_stands, BLOCKS[entry]) == []


# -- wrapped keys ----------------------------------------------------------------------------------------------


@pytest.fixture
def key_file(settings, tmp_path):
    """Writes the key file that has a vector's key-encryption key, and no other."""
    settings.VAULT_KEY_FILE = str(tmp_path / "kek.json")

    def write(kek_id, kek):
        (tmp_path / "kek.json").touch(mode=0o600)
        _write_keys({kek_id: kek}, kek_id)
        forget()

    def forget():
        keywatch.forget()
        keyring._opener.cache_clear()
        keyring._index_tools.cache_clear()

    yield write
    forget()


def _key_stands(key_file):
    def stand(vector):
        key_file(vector["kek_id"], bytes.fromhex(vector["kek"]))
        clinic, wrapped = UUID(vector["clinic"]), bytes.fromhex(vector["wrapped"])
        if vector["purpose"] == "index":
            return IndexKey.objects.create(
                clinic_id=clinic, generation=vector["generation"], wrapped=wrapped, created_at=timezone.now()
            )
        patient_id = UUID(vector["patient"]) if vector["patient"] else UUID(int=0)
        bound = make_records.tokens_for(make_records.TWO)
        patient = Patient.objects.create(
            id=patient_id,
            clinic_id=clinic,
            record_number="V1",
            masks=masks_of(make_records.TWO),
            number=1,
            created_at=timezone.now(),
            **dict(zip(CODES, bound, strict=True)),
        )
        key = DataKey.objects.create(
            patient=patient, generation=vector["generation"], wrapped=wrapped, created_at=timezone.now()
        )
        place = associated_data(owner_of(clinic, patient_id), vector["generation"], 1, bound)
        # Under what the vector was made of, so that the record opens wherever its key does.
        sealed = RecordSealer(make_index.KEY).seal(Record(make_records.TWO), place)
        SealedRecord.objects.create(patient=patient, key=key, version=1, sealed=sealed)
        return patient

    return stand


def _rewrapped(patient, vector):
    """A key that does not open is left as it is and named."""
    kept, other = bytes(DataKey.objects.get().wrapped), uuid4().bytes[:8]
    path_keys = {vector["kek_id"]: bytes.fromhex(vector["kek"]), other.hex(): make_index.KEY}
    _write_keys(path_keys, other.hex())
    try:
        assert sum(rotation.rewrap()) == (vector["opens"] is not None)
    except CannotOpen:
        pytest.fail("one key stopped all others")
    moved = bytes(DataKey.objects.get().wrapped) != kept
    assert rotation.damaged() == ([] if moved else [patient.id])
    if not moved:
        raise CannotOpen
    _says(dict(read_record(patient).values), {**vector, "opens": make_records.TWO})


def _write_keys(known, current):
    document = {
        "custodian": "file",
        "current": current,
        "keys": {k: base64.b64encode(v).decode() for k, v in known.items()},
    }
    with open(settings.VAULT_KEY_FILE, "w") as file:
        json.dump(document, file)
    keywatch.forget()


def _index_used(row, _vector):
    try:
        (index,) = keyring.indexes(row.clinic_id)
    except VaultUnavailable:  # of a whole clinic: what is wrong is the vault, not one record
        raise CannotOpen from None
    assert index.digests.digest("phone", "+442079460142") == _digest_known()


def _digest_known():
    return next(v for v in json.loads(make_index.DIGESTS.read_text()))["digest"]


KEYS = {
    "one record": lambda p, v: read_by_id(p.id),
    "every record": lambda p, v: _of_her(bulk.read_many(p.clinic_id), p),
    "reseal": lambda p, v: rotation.reseal(p),
    "rewrap": _rewrapped,
}


@pytest.mark.parametrize("entry", KEYS)
def test_every_wrapped_data_key_goes_through(entry, key_file):
    vectors = [v for v in _vectors(make_index.WRAPPED) if v["purpose"] == "data"]
    assert _through(vectors, _key_stands(key_file), KEYS[entry]) == []


def test_every_wrapped_index_key_goes_through(key_file):
    vectors = [v for v in _vectors(make_index.WRAPPED) if v["purpose"] == "index"]
    assert _through(vectors, _key_stands(key_file), _index_used) == []
