from django.db import migrations, models


def keep_as_they_are(_apps, schema_editor):
    """Hashes do not compress, and one piece of them is often wanted."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE vault_auditbatch ALTER COLUMN hashes SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    dependencies = [("vault", "0008_audit_tree")]

    operations = [
        migrations.RunPython(keep_as_they_are, migrations.RunPython.noop),
        migrations.RemoveIndex("auditentry", "audit_consult"),
        migrations.AddIndex(
            "auditentry",
            models.Index(
                condition=models.Q(("consult", ""), _negated=True), fields=["consult", "-id"], name="audit_of_consult"
            ),
        ),
    ]
