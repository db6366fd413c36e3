"""Builds the sealed index and the digests for patients who were there before them."""

from django.db import migrations

from vault.reindexing import list_all


def list_patients(apps, _schema_editor):
    for clinic in apps.get_model("vault", "IndexKey").objects.values_list("clinic_id", flat=True):
        list_all(clinic)


class Migration(migrations.Migration):
    dependencies = [("vault", "0005_tidy")]
    operations = [migrations.RunPython(list_patients, migrations.RunPython.noop)]
