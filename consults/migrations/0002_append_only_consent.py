from django.db import migrations

from vault.append_only import append_only


class Migration(migrations.Migration):
    dependencies = [("consults", "0001_initial")]
    operations = [append_only("consults_consent"), append_only("consults_consentstatement")]
