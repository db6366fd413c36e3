from django.db import migrations, models

from vault.append_only import append_only


class Migration(migrations.Migration):
    dependencies = [("vault", "0010_audit_shipment")]

    operations = [
        migrations.CreateModel(
            name="AuditArchive",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.CharField(max_length=7)),
                ("first", models.PositiveBigIntegerField()),
                ("size", models.PositiveBigIntegerField()),
                ("digest", models.CharField(max_length=64)),
                ("dropped", models.BooleanField(default=False)),
                ("at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("month", "dropped"), name="a_month_is_archived_once_and_dropped_once")
                ]
            },
        ),
        migrations.CreateModel(
            name="AuditCarried",
            fields=[
                ("entry", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("patient", models.CharField(max_length=64)),
                ("detail", models.JSONField(default=dict)),
            ],
            options={"indexes": [models.Index(fields=["patient", "-entry"], name="carried_version")]},
        ),
        append_only("vault_auditarchive"),
        append_only("vault_auditcarried"),
    ]
