import django.db.models.deletion
from django.db import migrations, models


def inline(table):
    """Keep rows of up to 8 KB whole on Postgres: sealed bytes do not compress, and a second table costs a second look."""

    def apply(_apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN sealed SET STORAGE EXTERNAL")
            schema_editor.execute(f"ALTER TABLE {table} SET (toast_tuple_target = 8160)")

    return migrations.RunPython(apply, migrations.RunPython.noop)


class Migration(migrations.Migration):
    dependencies = [("vault", "0002_append_only_audit")]

    operations = [
        migrations.CreateModel(
            name="ClinicIndex",
            fields=[
                ("clinic_id", models.UUIDField(primary_key=True, serialize=False)),
                ("last_number", models.PositiveBigIntegerField(default=0)),
                ("layout", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.AddField("indexkey", "built_to", models.PositiveBigIntegerField(default=0)),
        migrations.AddField("indexkey", "generation", models.PositiveIntegerField(default=1)),
        migrations.AddField("indexkey", "in_use", models.BooleanField(default=True)),
        migrations.AlterField("indexkey", "clinic_id", models.UUIDField()),
        migrations.AddConstraint(
            "indexkey",
            models.UniqueConstraint(fields=("clinic_id", "generation"), name="one_index_key_per_generation"),
        ),
        migrations.CreateModel(
            name="IndexBlock",
            fields=[
                ("label", models.BinaryField(max_length=16, primary_key=True, serialize=False)),
                (
                    "key",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="vault.indexkey"
                    ),
                ),
                ("sealed", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="SealedRecord",
            fields=[
                (
                    "patient",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="record",
                        serialize=False,
                        to="vault.patient",
                    ),
                ),
                ("key", models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to="vault.datakey")),
                ("version", models.PositiveIntegerField(default=1)),
                ("sealed", models.BinaryField()),
            ],
        ),
        inline("vault_indexblock"),
        inline("vault_sealedrecord"),
        migrations.AddField("patient", "email_digest", models.BigIntegerField(null=True)),
        migrations.AddField("patient", "national_id_digest", models.BigIntegerField(null=True)),
        migrations.AddField("patient", "phone_digest", models.BigIntegerField(null=True)),
        migrations.AddField("patient", "number", models.PositiveBigIntegerField(null=True)),
        migrations.AddField("patient", "shredded_at", models.DateTimeField(null=True)),
        migrations.AlterField(
            "datakey",
            "patient",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="data_keys",
                to="vault.patient",
            ),
        ),
        migrations.AlterField("patient", "clinic_id", models.UUIDField()),
        migrations.AddConstraint(
            "patient", models.UniqueConstraint(fields=("clinic_id", "number"), name="number_once_per_clinic")
        ),
        *[
            migrations.AddIndex(
                "patient",
                models.Index(
                    condition=models.Q((f"{field}_digest__isnull", False)),
                    fields=[f"{field}_digest"],
                    name=f"by_{field}",
                ),
            )
            for field in ("national_id", "phone", "email")
        ],
        migrations.AddIndex(
            "auditentry",
            models.Index(
                condition=models.Q(("action", "patient.change")), fields=["patient", "-id"], name="audit_change"
            ),
        ),
        migrations.AlterField("sealedvalue", "field", models.CharField(max_length=24)),
        migrations.AddField(
            "sealedvalue",
            "key",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="vault.datakey"),
        ),
    ]
