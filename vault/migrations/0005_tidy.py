import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vault", "0004_seal_records")]

    operations = [
        migrations.RemoveField("sealedvalue", "generation"),
        migrations.AlterField(
            "sealedvalue",
            "key",
            models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="vault.datakey"),
        ),
        migrations.DeleteModel("SearchDigest"),
    ]
