"""The words every clinic starts with. A clinic adds its own in the admin; these never change."""

from datetime import datetime, timezone

from django.db import migrations

TITLE = "Agreeing to a video visit"
TEXT = """You are about to talk with your clinician by video instead of meeting in person.

What happens: your camera and microphone are sent directly from your device to your clinician's device, encrypted on the way. The visit itself is not recorded.

What is kept: that you agreed, when, and to which words; your clinician's notes; and technical figures about the quality of the connection. Staff of your clinic who look at your record leave an entry in a log.

What to know: a video visit is not right for every problem. Your clinician may ask you to come in. If the connection fails, your clinic will call you. In an emergency, hang up and call the emergency number.

Your choice: you need not agree, and you can withdraw at any time during the visit with one press of a button. Saying no does not affect the care you can get in person.

By typing your name you agree to this video visit. Your agreement holds for this visit only and ends after 24 hours."""


def add(apps, schema_editor):
    apps.get_model("consults", "ConsentStatement").objects.create(
        clinic=None,
        scope="video_visit",
        locale="en",
        version=1,
        title=TITLE,
        text=TEXT,
        published_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )


class Migration(migrations.Migration):
    dependencies = [("consults", "0002_append_only_consent")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
