"""Plain words for every scope in five languages. A clinic puts its own in force in the admin; these never change.

The last paragraph of the scope "voice" is the sentence that is said aloud.
"""

from datetime import datetime, timezone

from django.db import migrations

WORDS = {
    ("video_visit", "es"): (
        "Aceptar una visita por video",
        """Va a hablar con su profesional de salud por video, en lugar de verse en persona.

Qué ocurre: su cámara y su micrófono se envían directamente de su dispositivo al de su profesional, cifrados por el camino. La visita no se graba.

Qué se guarda: que usted aceptó, cuándo y con qué palabras; las notas de su profesional; y datos técnicos sobre la calidad de la conexión. Cuando alguien del consultorio mira su expediente, queda anotado en un registro.

Qué conviene saber: el video no sirve para todos los problemas. Su profesional puede pedirle que vaya en persona. Si la conexión falla, el consultorio le llamará. En una emergencia, cuelgue y llame al número de emergencias.

Usted decide: no tiene que aceptar, y puede retirar su consentimiento en cualquier momento pulsando un botón. Decir que no no afecta a la atención que puede recibir en persona.

Su consentimiento vale solo para esta visita y termina a las 24 horas.""",
    ),
    ("video_visit", "fr"): (
        "Accepter une consultation vidéo",
        """Vous allez parler avec votre soignant par vidéo au lieu de le voir sur place.

Ce qui se passe : l'image et le son vont directement de votre appareil à celui de votre soignant, chiffrés en chemin. La consultation n'est pas enregistrée.

Ce qui est conservé : le fait que vous avez accepté, à quel moment et quels mots ; les notes de votre soignant ; et des chiffres techniques sur la qualité de la connexion. Toute personne du cabinet qui regarde votre dossier laisse une trace dans un journal.

À savoir : la vidéo ne convient pas à tous les problèmes. Votre soignant peut vous demander de venir. Si la connexion est coupée, le cabinet vous appellera. En cas d'urgence, raccrochez et appelez les secours.

Votre choix : vous n'êtes pas obligé d'accepter, et vous pouvez retirer votre accord à tout moment en appuyant sur un bouton. Un refus ne change rien aux soins que vous pouvez recevoir sur place.

Votre accord vaut pour cette consultation seulement et prend fin après 24 heures.""",
    ),
    ("video_visit", "de"): (
        "Zustimmung zur Videosprechstunde",
        """Sie sprechen gleich per Video mit Ihrer Ärztin oder Ihrem Arzt, statt in die Praxis zu kommen.

Was geschieht: Bild und Ton gehen direkt von Ihrem Gerät zum Gerät in der Praxis und sind unterwegs verschlüsselt. Das Gespräch wird nicht aufgezeichnet.

Was aufbewahrt wird: dass Sie zugestimmt haben, wann und welchem Text; die Notizen der Praxis; und technische Angaben zur Qualität der Verbindung. Wer in der Praxis Ihre Akte ansieht, hinterlässt einen Eintrag in einem Protokoll.

Was Sie wissen sollten: Nicht alles lässt sich per Video klären. Vielleicht werden Sie gebeten, in die Praxis zu kommen. Bricht die Verbindung ab, ruft die Praxis Sie an. Im Notfall legen Sie auf und wählen den Notruf.

Ihre Wahl: Sie müssen nicht zustimmen, und Sie können Ihre Zustimmung jederzeit mit einem Knopfdruck zurücknehmen. Ein Nein ändert nichts an der Behandlung vor Ort.

Ihre Zustimmung gilt nur für diesen Besuch und endet nach 24 Stunden.""",
    ),
    ("video_visit", "ar"): (
        "الموافقة على زيارة بالفيديو",
        """ستتحدث مع الطبيب أو المعالج بالفيديو بدلاً من الحضور إلى العيادة.

ما الذي يحدث: تنتقل الصورة والصوت مباشرة من جهازك إلى جهاز المعالج، وهما مشفّران في الطريق. لا تُسجَّل الزيارة.

ما الذي يُحفظ: أنك وافقت، ومتى، وعلى أي كلمات؛ وملاحظات المعالج؛ وأرقام تقنية عن جودة الاتصال. كل من يطّلع على ملفك في العيادة يُكتب اسمه في سجل.

ما يجب أن تعرفه: الفيديو لا يناسب كل مشكلة. قد يطلب منك المعالج الحضور. إذا انقطع الاتصال ستتصل بك العيادة. في حالة الطوارئ أنهِ المكالمة واتصل برقم الطوارئ.

الخيار لك: لست ملزماً بالموافقة، ويمكنك سحب موافقتك في أي وقت بضغطة زر واحدة. الرفض لا يؤثر على الرعاية التي يمكنك تلقيها في العيادة.

موافقتك لهذه الزيارة فقط، وتنتهي بعد 24 ساعة.""",
    ),
    ("voice", "en"): (
        "Saying it aloud",
        """You can say your agreement aloud as well. Only your own voice is recorded, only while you say the one sentence below, for half a minute at most. Neither your picture nor the visit is recorded.

You hear the recording before you send it, and you can record it again. It is kept locked with your agreement. Staff of your clinic may listen to it, and each time is written in a log.

You can go on without a recording just as well. Nothing in your visit changes.

I agree to this video visit.""",
    ),
    ("voice", "es"): (
        "Decirlo en voz alta",
        """También puede decir en voz alta que acepta. Solo se graba su voz, solo mientras dice la frase de abajo, medio minuto como máximo. No se graban ni su imagen ni la visita.

Usted escucha la grabación antes de enviarla y puede repetirla. Se guarda bajo llave junto con su consentimiento. El personal del consultorio puede escucharla, y cada vez queda anotada en un registro.

También puede continuar sin grabación. Nada cambia en su visita.

Acepto esta visita por video.""",
    ),
    ("voice", "fr"): (
        "Le dire à voix haute",
        """Vous pouvez aussi dire votre accord à voix haute. Seule votre voix est enregistrée, seulement pendant que vous dites la phrase ci-dessous, une demi-minute au plus. Ni votre image ni la consultation ne sont enregistrées.

Vous écoutez l'enregistrement avant de l'envoyer et vous pouvez le refaire. Il est conservé sous clé avec votre accord. Le personnel du cabinet peut l'écouter, et chaque écoute est notée dans un journal.

Vous pouvez tout aussi bien continuer sans enregistrement. Rien ne change pour votre consultation.

J'accepte cette consultation vidéo.""",
    ),
    ("voice", "de"): (
        "Laut aussprechen",
        """Sie können Ihre Zustimmung auch laut aussprechen. Aufgenommen wird nur Ihre Stimme, nur während Sie den Satz unten sagen, höchstens eine halbe Minute. Weder Ihr Bild noch das Gespräch wird aufgezeichnet.

Sie hören die Aufnahme, bevor Sie sie abschicken, und können sie wiederholen. Sie wird verschlossen bei Ihrer Zustimmung aufbewahrt. Die Praxis kann sie anhören; jedes Mal steht in einem Protokoll.

Sie können genauso gut ohne Aufnahme weitermachen. An Ihrem Besuch ändert das nichts.

Ich stimme dieser Videosprechstunde zu.""",
    ),
    ("voice", "ar"): (
        "قولها بصوتك",
        """يمكنك أيضاً أن تقول موافقتك بصوتك. يُسجَّل صوتك وحده، وفقط أثناء قولك الجملة أدناه، نصف دقيقة على الأكثر. لا تُسجَّل صورتك ولا الزيارة.

ستسمع التسجيل قبل إرساله، ويمكنك إعادته. يُحفظ مغلقاً مع موافقتك. يمكن لموظفي العيادة سماعه، وكل مرة تُكتب في سجل.

يمكنك المتابعة بدون تسجيل على السواء. لا يتغير شيء في زيارتك.

أوافق على هذه الزيارة بالفيديو.""",
    ),
    ("records", "en"): (
        "Sharing your records",
        """If another doctor, hospital or clinic takes over your care, your clinic may send them what it keeps about you: your details, the notes of your visits and this agreement.

Your clinic writes down each time it does so, and you can ask to whom. You can take this back at any time; what was sent before stays sent.

If you leave this out, your clinic sends nothing to another provider. Your visit goes on all the same.""",
    ),
    ("records", "es"): (
        "Compartir su expediente",
        """Si otro médico, hospital o consultorio se hace cargo de su atención, su consultorio puede enviarle lo que guarda sobre usted: sus datos, las notas de sus visitas y este consentimiento.

Cada envío queda anotado, y usted puede preguntar a quién se hizo. Puede retirar esto en cualquier momento; lo que ya se envió no se puede recoger.

Si no lo acepta, su consultorio no envía nada a otros. Su visita sigue igual.""",
    ),
    ("records", "fr"): (
        "Partager votre dossier",
        """Si un autre médecin, un hôpital ou un autre cabinet prend la suite, votre cabinet peut lui envoyer ce qu'il conserve sur vous : vos coordonnées, les notes de vos consultations et cet accord.

Chaque envoi est noté, et vous pouvez demander à qui il a été fait. Vous pouvez revenir sur ce choix à tout moment ; ce qui est déjà parti le reste.

Si vous ne cochez pas cette case, votre cabinet n'envoie rien à d'autres. Votre consultation a lieu quand même.""",
    ),
    ("records", "de"): (
        "Ihre Akte weitergeben",
        """Wenn eine andere Ärztin, ein anderer Arzt oder ein Krankenhaus Ihre Behandlung übernimmt, darf Ihre Praxis dorthin schicken, was sie über Sie aufbewahrt: Ihre Angaben, die Notizen Ihrer Besuche und diese Zustimmung.

Jede Weitergabe wird aufgeschrieben, und Sie können fragen, an wen. Sie können das jederzeit zurücknehmen; was schon verschickt ist, bleibt verschickt.

Lassen Sie das weg, schickt Ihre Praxis nichts an andere. Ihr Besuch findet genauso statt.""",
    ),
    ("records", "ar"): (
        "مشاركة ملفك",
        """إذا تولّى رعايتك طبيب آخر أو مستشفى أو عيادة أخرى، يجوز لعيادتك أن ترسل إليهم ما تحفظه عنك: بياناتك وملاحظات زياراتك وهذه الموافقة.

تكتب العيادة كل مرة تفعل فيها ذلك، ويمكنك أن تسأل إلى من أُرسل. يمكنك التراجع في أي وقت؛ وما أُرسل من قبل يبقى مُرسلاً.

إذا تركت هذا الخيار فلن ترسل عيادتك شيئاً إلى جهة أخرى. وتتم زيارتك كما هي.""",
    ),
    ("others", "en"): (
        "Other people in the visit",
        """Your clinician may ask a colleague, a student or an interpreter of the clinic to be in the room and to hear and see you during the visit. Everybody is introduced to you first, and you can ask anyone to leave at any time.

If you leave this out, only your own clinician sees and hears you. Your visit goes on all the same.""",
    ),
    ("others", "es"): (
        "Otras personas en la visita",
        """Su profesional puede pedir a un colega, un estudiante o un intérprete del consultorio que esté presente y le vea y le oiga durante la visita. Primero se le presenta a cada persona, y usted puede pedir que salga en cualquier momento.

Si no lo acepta, solo su profesional le ve y le oye. Su visita sigue igual.""",
    ),
    ("others", "fr"): (
        "D'autres personnes pendant la consultation",
        """Votre soignant peut demander à un collègue, un étudiant ou un interprète du cabinet d'être présent, de vous voir et de vous entendre. Chaque personne vous est d'abord présentée, et vous pouvez demander à tout moment qu'elle sorte.

Si vous ne cochez pas cette case, seul votre soignant vous voit et vous entend. Votre consultation a lieu quand même.""",
    ),
    ("others", "de"): (
        "Andere Menschen beim Gespräch",
        """Ihre Ärztin oder Ihr Arzt darf jemanden aus der Praxis dazubitten, der Sie während des Gesprächs sieht und hört: aus dem Team, in Ausbildung oder zum Dolmetschen. Jeder Mensch wird Ihnen zuerst vorgestellt, und Sie können jederzeit bitten, dass er geht.

Lassen Sie das weg, sieht und hört Sie nur Ihre Ärztin oder Ihr Arzt. Ihr Besuch findet genauso statt.""",
    ),
    ("others", "ar"): (
        "أشخاص آخرون في الزيارة",
        """قد يطلب المعالج من زميل أو طالب أو مترجم في العيادة أن يكون حاضراً وأن يسمعك ويراك أثناء الزيارة. يُعرَّف كل شخص إليك أولاً، ويمكنك أن تطلب خروج أي شخص في أي وقت.

إذا تركت هذا الخيار فلن يراك ويسمعك إلا المعالج نفسه. وتتم زيارتك كما هي.""",
    ),
}


def add(apps, schema_editor):
    statement = apps.get_model("consults", "ConsentStatement")
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for (scope, locale), (title, text) in WORDS.items():
        statement.objects.create(
            clinic=None, scope=scope, locale=locale, version=1, title=title, text=text, published_at=at
        )


class Migration(migrations.Migration):
    dependencies = [("consults", "0013_consent_evidence")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
