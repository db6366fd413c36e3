"""What and when: consults, the invites to them, the people in them, consent, notes, quality samples.

State is kept as the moments at which things happened; verbs live in the siblings named for them.
"""

import uuid

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from accounts.models import Clinic, User
from consults.audit_models import AuditCheck, AuditExport, AuditHour, AuditReview, AuditView  # noqa: F401
from consults.import_models import ImportRemark, ImportRun  # noqa: F401
from consults.quality_models import Alert, CallSummary, QualitySample, WatchRound  # noqa: F401
from consults.retention_models import ConsentErasure, HoldLift, LegalHold, RetentionPeriod  # noqa: F401
from vault.models import Patient
from vault.token_field import TokenField


class Consult(models.Model):
    """One visit of one patient with one clinician."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    clinician = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="consults")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="consults")
    created_at = models.DateTimeField()
    admitted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    #: bumped at admission and at every withdrawal, so frames of an older negotiation are told apart
    negotiation = models.PositiveIntegerField(default=0)
    #: no address of one side reaches the other: also where the clinic does not ask for it
    relay_only = models.BooleanField(default=False)
    #: when a page first told its person to go on by telephone
    phoned_at = models.DateTimeField(null=True)
    #: which worker process monitors this consult, and until when that holds unless renewed
    worker = models.CharField(max_length=64, blank=True)
    worker_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["clinician", "ended_at", "-created_at"], name="clinicians_consults"),
            # Every worker looks every second whether another has stopped renewing.
            models.Index(
                fields=["worker_until"],
                condition=models.Q(ended_at=None, worker_until__isnull=False),
                name="leased_consults",
            ),
        ]

    def __str__(self) -> str:
        return f"consult of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    @property
    def is_relayed(self) -> bool:
        return self.relay_only or self.clinic.relay_only

    @property
    def is_live(self) -> bool:
        return self.admitted_at is not None and self.ended_at is None


class Invitation(models.Model):
    """A link that lets one browser take the patient's seat, once. The token itself is not kept."""

    consult = models.ForeignKey(Consult, on_delete=models.CASCADE, related_name="invitations")
    token_digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"invite of {self.created_at:%Y-%m-%d %H:%M}"


class InvitationMail(models.Model):
    """An invite on its way by e-mail. The text waits sealed under the patient's key and is erased once sent."""

    invitation = models.OneToOneField(Invitation, on_delete=models.CASCADE, related_name="mail")
    letter = TokenField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"letter for {self.invitation}"


class Participant(models.Model):
    """Somebody's place in a consult. The clinician's is hers by account, the patient's by the browser's seat cookie."""

    class Role(models.TextChoices):
        CLINICIAN = "clinician", "Clinician"
        PATIENT = "patient", "Patient"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consult = models.ForeignKey(Consult, on_delete=models.CASCADE, related_name="participants")
    role = models.CharField(max_length=10, choices=Role.choices)
    seat_digest = models.CharField(max_length=64, blank=True)
    #: of the token in the link to her own page (`consults.receipts`); empty once she closed it
    receipt_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)
    identity_failures = models.PositiveSmallIntegerField(default=0)
    identity_confirmed_at = models.DateTimeField(null=True)
    #: result of the device test: {"camera": bool, "microphone": bool, "speaker": bool}
    devices = models.JSONField(null=True)
    #: when the patient agreed to be recorded saying her consent; before that there is no voice leg
    voice_agreed_at = models.DateTimeField(null=True)
    waiting_since = models.DateTimeField(null=True)
    #: the open socket, so that a newer tab takes over from an older one
    connection = models.CharField(max_length=32, blank=True)
    seen_at = models.DateTimeField(null=True)
    #: what this side's page last found out about the other end (signaling/PROTOCOL.md): its words, and a digest over
    #: both certificates as it sees them
    proof_state = models.CharField(max_length=10, blank=True)
    proof_digest = models.CharField(max_length=64, blank=True)
    #: of which connection: its negotiation and both pages' tabs
    proof_pair = models.CharField(max_length=48, blank=True)
    proof_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["consult", "role"], condition=models.Q(left_at=None), name="one_seat_per_role"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} of {self.consult}"


#: what a patient may agree to, in the admin's words. `consults.statements` says what each of them is
SCOPES = {
    "video_visit": "Video visit",
    "voice": "Saying it aloud, recorded",
    "records": "Sharing records",
    "others": "Other people in the visit",
}


class ConsentStatement(models.Model):
    """The exact words a patient agrees to. A published one never changes; a better one is a new version."""

    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, null=True, blank=True, help_text="Empty: every clinic."
    )
    scope = models.CharField(max_length=24, choices=list(SCOPES.items()))
    locale = models.CharField(max_length=12, default="en")
    version = models.PositiveIntegerField()
    title = models.CharField(max_length=120)
    text = models.TextField(max_length=6000)
    published_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic", "scope", "locale", "version"], name="clinic_statement_once"),
            models.UniqueConstraint(
                fields=["scope", "locale", "version"],
                condition=models.Q(clinic=None),
                name="common_statement_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title}, version {self.version} ({self.locale})"


class StatementDraft(models.Model):
    """Words that a clinic prepares. Publishing makes a statement of them, and the draft goes."""

    clinic = models.ForeignKey(Clinic, on_delete=models.CASCADE)
    scope = models.CharField(max_length=24, choices=list(SCOPES.items()))
    locale = models.CharField(
        "language",
        max_length=12,
        default="en",
        validators=[RegexValidator("\\A[a-z]{2,3}(-[A-Za-z0-9]{2,8})?\\Z", "Use a short code: en, es, pt-br.")],
        help_text="A short code: en, es, fr, de, ar, pt-br.",
    )
    title = models.CharField(max_length=120)
    text = models.TextField(
        max_length=6000,
        help_text="An empty line begins a new paragraph. What patients say aloud is the last paragraph of its words.",
    )
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name = "consent statement draft"

    def __str__(self) -> str:
        return f"{self.title}, draft ({self.locale})"


class VoiceRecording(models.Model):
    """The patient's voice speaking the consent, Ogg/Opus, sealed. `sha256` is of the plain file, for the evidence."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="voice_recordings")
    sound = TokenField()
    seconds = models.FloatField()
    sha256 = models.CharField(max_length=64)
    #: of the certificate that the worker's end of the leg showed; empty for recordings from before it was kept
    fingerprints = models.JSONField(default=list)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s of speech"


class Consent(models.Model):
    """Consent given or withdrawn: one row an act, appended, never changed (triggers refuse it)."""

    class Act(models.TextChoices):
        GIVEN = "given", "given"
        WITHDRAWN = "withdrawn", "withdrawn"

    class Method(models.TextChoices):
        WRITTEN = "written", "in writing"
        SPOKEN = "spoken", "in writing and aloud"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consult = models.ForeignKey(Consult, on_delete=models.PROTECT, related_name="consents")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    act = models.CharField(max_length=10, choices=Act.choices)
    method = models.CharField(max_length=8, choices=Method.choices)
    statement = models.ForeignKey(ConsentStatement, on_delete=models.PROTECT)
    #: SHA-256 of the statement's canonical form, as shown
    statement_digest = models.CharField(max_length=64)
    #: everything that was shown, as in the evidence; empty for acts from before there was any
    statements = models.JSONField(default=list)
    #: what was agreed to, or taken back
    scopes = models.JSONField()
    purpose = models.CharField(max_length=120)
    by_role = models.CharField(max_length=12, default="patient")
    signed_name = TokenField()
    #: signature and signed bytes, sealed (vault/FORMAT.md); empty where nothing was signed
    evidence = TokenField()
    evidence_digest = models.CharField(max_length=64, blank=True, default="")
    #: SHA-256 of the browser's key as the evidence names it
    key_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    recording = models.ForeignKey(VoiceRecording, on_delete=models.PROTECT, null=True)
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    withdraws = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="withdrawal")

    class Meta:
        verbose_name = "consent"
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(
                fields=["evidence_digest"], condition=~models.Q(evidence_digest=""), name="evidence_once"
            )
        ]

    def __str__(self) -> str:
        return f"consent {self.act} {self.at:%Y-%m-%d %H:%M}"


class Note(models.Model):
    """What the clinician wrote about the visit. A correction is a further note."""

    consult = models.ForeignKey(Consult, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey(User, on_delete=models.PROTECT)
    text = TokenField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"note of {self.created_at:%Y-%m-%d %H:%M}"


class Concern(models.Model):
    """Something a privacy officer must look at: access taken in an emergency, or a decoy that was read.

    It says whom it is about like any log entry does; that she is a decoy it says only after somebody read her.
    """

    class Kind(models.TextChoices):
        BREAK_GLASS = "break_glass", "Emergency access"
        DECOY = "decoy", "A decoy was read"

    class Finding(models.TextChoices):
        JUSTIFIED = "justified", "Justified"
        NOT_JUSTIFIED = "not_justified", "Not justified"
        FOLLOW_UP = "follow_up", "Needs a follow-up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="concerns")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="concerns")
    #: why the glass was broken, sealed
    reason = TokenField()
    at = models.DateTimeField()
    #: how long emergency access stands
    until = models.DateTimeField(null=True)
    #: when the officers were told by e-mail
    told_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    reviewed_at = models.DateTimeField(null=True)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="reviewed_concerns"
    )
    finding = models.CharField(max_length=14, choices=Finding.choices, blank=True)
    note = TokenField()

    class Meta:
        indexes = [
            models.Index(fields=["clinic", "reviewed_at", "-at"], name="concerns_to_review"),
            models.Index(fields=["person", "patient", "-until"], name="standing_emergencies"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.at:%Y-%m-%d %H:%M}"
