import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('consults', '0006_audit_review'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditCheck',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('moved_at', models.DateTimeField()),
                ('total', models.PositiveBigIntegerField()),
                ('looked_at', models.PositiveBigIntegerField(default=0)),
                ('done_at', models.DateTimeField(null=True)),
                ('compared', models.PositiveIntegerField(default=0)),
                ('faults', models.JSONField(default=list)),
                ('officer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='audit_checks', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
    ]
