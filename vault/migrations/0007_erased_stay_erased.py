from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vault", "0006_list_patients")]

    operations = [
        migrations.RemoveIndex("auditentry", "audit_change"),
        migrations.AddIndex(
            "auditentry",
            models.Index(
                condition=models.Q(("action__in", ["patient.change", "patient.shred"])),
                fields=["patient", "-id"],
                name="audit_version",
            ),
        ),
    ]
