from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('vault', '0009_audit_sizes'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditShipment',
            fields=[
                ('address', models.CharField(max_length=200, primary_key=True, serialize=False)),
                ('sent_to', models.PositiveBigIntegerField(default=0)),
                ('moved_at', models.DateTimeField()),
            ],
        ),
    ]
