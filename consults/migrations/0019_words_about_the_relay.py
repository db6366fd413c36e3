"""A second version of the words for the visit itself: what is seen and said may pass through the clinic's relay.

The first says that it goes directly from device to device. With a relay it does not; it is encrypted all the same.
"""

from datetime import datetime, timezone

from django.db import migrations

#: language -> what the first version says of the way, and what this one says
SAID = {
    "en": (
        "your camera and microphone are sent directly from your device to your clinician's device, encrypted on the way.",
        "your camera and microphone are sent from your device to your clinician's device, encrypted from one to the other. "
        "If there is no direct way, or your clinic prefers it, they pass through your clinic's relay, "
        "which carries them without being able to see or hear them.",
    ),
    "es": (
        "su cámara y su micrófono se envían directamente de su dispositivo al de su profesional, cifrados por el camino.",
        "su cámara y su micrófono se envían de su dispositivo al de su profesional, cifrados de uno al otro. "
        "Si no hay un camino directo, o si su consultorio lo prefiere, pasan por un equipo intermedio del consultorio, "
        "que los transmite sin poder verlos ni oírlos.",
    ),
    "fr": (
        "l'image et le son vont directement de votre appareil à celui de votre soignant, chiffrés en chemin.",
        "l'image et le son vont de votre appareil à celui de votre soignant, chiffrés d'un bout à l'autre. "
        "S'il n'y a pas de chemin direct, ou si le cabinet le préfère, ils passent par un relais du cabinet, "
        "qui les transmet sans pouvoir les voir ni les entendre.",
    ),
    "de": (
        "Bild und Ton gehen direkt von Ihrem Gerät zum Gerät in der Praxis und sind unterwegs verschlüsselt.",
        "Bild und Ton gehen von Ihrem Gerät zum Gerät in der Praxis und sind vom einen zum anderen verschlüsselt. "
        "Gibt es keinen direkten Weg oder möchte die Praxis es so, laufen sie über eine Zwischenstation der Praxis, "
        "die sie weiterreicht, ohne sie sehen oder hören zu können.",
    ),
    "ar": (
        "تنتقل الصورة والصوت مباشرة من جهازك إلى جهاز المعالج، وهما مشفّران في الطريق.",
        "تنتقل الصورة والصوت من جهازك إلى جهاز المعالج، وهما مشفّران من أحدهما إلى الآخر. "
        "إذا لم يوجد طريق مباشر، أو إذا فضّلت العيادة ذلك، يمرّان عبر جهاز وسيط للعيادة "
        "ينقلهما دون أن يستطيع رؤيتهما أو سماعهما.",
    ),
}


def add(apps, schema_editor):
    statement = apps.get_model("consults", "ConsentStatement")
    for locale, (before, after) in SAID.items():
        first = statement.objects.get(clinic=None, scope="video_visit", locale=locale, version=1)
        if first.text.count(before) != 1:
            raise RuntimeError(f"the first words in {locale} are not those that were shipped")
        statement.objects.create(
            clinic=None,
            scope="video_visit",
            locale=locale,
            version=2,
            title=first.title,
            text=first.text.replace(before, after),
            published_at=datetime(2026, 11, 29, tzinfo=timezone.utc),
        )


class Migration(migrations.Migration):
    dependencies = [("consults", "0018_watch_round")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
