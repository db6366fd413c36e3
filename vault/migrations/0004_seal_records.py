"""Values sealed one by one become one sealed record a patient. Needs the key file; safe to run again."""

from django.db import migrations

from vault.core.fields import BLANK_MASK
from vault.core.records import CODES, Record, RecordSealer, associated_data
from vault.core.sealing import Place, Sealer, owner_of, unwrap, wrapped_under
from vault.keywatch import keys


def seal_records(apps, _schema_editor):
    model = {name: apps.get_model("vault", name) for name in ("Patient", "DataKey", "SealedValue", "SealedRecord", "ClinicIndex")}
    last = {}
    for patient in model["Patient"].objects.order_by("created_at").iterator():
        last[patient.clinic_id] = number = last.get(patient.clinic_id, 0) + 1
        seal_one(model, patient, number)
    for clinic, number in last.items():
        model["ClinicIndex"].objects.create(clinic_id=clinic, last_number=number)


def seal_one(model, patient, number):
    row = model["DataKey"].objects.get(patient=patient, generation=1)  # there was no rotation yet
    owner = owner_of(patient.clinic_id, patient.pk)
    where = {"purpose": "data", "owner": owner, "generation": 1}
    key = unwrap(bytes(row.wrapped), keys().cipher(wrapped_under(bytes(row.wrapped))), **where)
    tokens = {field: getattr(patient, field) for field in CODES if getattr(patient, field)}
    values = {}
    for field, token in tokens.items():
        sealed = model["SealedValue"].objects.get(token=token)
        place = Place(patient.clinic_id, patient.pk, 1, field, token)
        values[field] = Sealer(key).open(bytes(sealed.sealed), place).decode()
        sealed.delete()
    model["SealedValue"].objects.filter(patient=patient).update(key=row)
    place = associated_data(owner, 1, 1, [tokens.get(field, "") for field in CODES])
    sealed = RecordSealer(key).seal(Record(values), place)
    model["SealedRecord"].objects.create(patient=patient, key=row, version=1, sealed=sealed)
    patient.number = number
    patient.masks = {field: mask for field, mask in patient.masks.items() if mask != BLANK_MASK}
    patient.save()


class Migration(migrations.Migration):
    dependencies = [("vault", "0003_records_and_index")]
    operations = [migrations.RunPython(seal_records)]
