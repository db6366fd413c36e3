from django.db import migrations, models

from vault.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('vault', '0007_erased_stay_erased'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditBatch',
            fields=[
                ('first', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('size', models.PositiveBigIntegerField(unique=True)),
                ('ids', models.BinaryField()),
                ('seen_to', models.PositiveBigIntegerField(db_index=True)),
                ('awaited', models.BinaryField()),
                ('hashes', models.BinaryField()),
                ('root', models.BinaryField()),
                ('signature', models.BinaryField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ['first'],
            },
        ),
        migrations.CreateModel(
            name='AuditNode',
            fields=[
                ('place', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('hash', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='AuditWitnessing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('size', models.PositiveBigIntegerField()),
                ('witness', models.CharField(max_length=200)),
                ('line', models.CharField(max_length=400)),
                ('at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('size', 'witness'), name='one_line_a_witness')],
            },
        ),
        append_only('vault_auditbatch'),
        append_only('vault_auditnode'),
        append_only('vault_auditwitnessing'),
    ]
