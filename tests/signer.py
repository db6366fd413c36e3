"""What the patient's browser does at the consent step: a P-256 key of its own, and acts signed with it."""

import base64
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from consults import consent, statements
from consults.models import Consent
from vault.core.canonical import canonical

LIFETIME = timedelta(hours=settings.CONSENT_LIFETIME_HOURS)
FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)


class Signer:
    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key = base64.b64encode(spki).decode()

    def sign(self, data):
        """r | s, as WebCrypto writes it."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def choice(self, seat, name, *, recording=None, agreed=(), locale="en", by=None, witness=None):
        shown = statements.shown(seat.consult.clinic, locale)
        return consent.Choice(
            locales={one.scope: one.statement.locale for one in shown},
            agreed=frozenset({"video_visit", *(["voice"] if recording else []), *agreed}),
            name=name,
            by=by or consent.PATIENT,
            witness=witness,
            recording=recording,
            worker=(FINGERPRINT,) if recording else (),
            key=self.key,
        )

    def giving(self, seat, name, **choice):
        """The act of giving consent as evidence, before it is signed; a test may change it."""
        return consent.draw_up(seat, self.choice(seat, name, **choice), self._later(seat))

    def _later(self, seat):
        """Nobody reads and agrees twice within a second; a test does."""
        expires = Consent.objects.filter(participant=seat).aggregate(last=Max("expires_at"))["last"]
        now = timezone.now()
        return max(now, expires - LIFETIME + timedelta(seconds=1)) if expires else now

    def signed(self, evidence):
        """As `consent.give` takes it; written by hand, so that a test may sign what is no evidence."""
        data = canonical(evidence)
        return {"data": data, "signature": self.sign(data)}

    def withdrawal(self, given):
        return self.signed(consent.draw_up_withdrawal(given, self.key, timezone.now()))


def as_form(signed):
    """As the page posts it."""
    signature = base64.b64encode(signed["signature"]).decode()
    return {"evidence": signed["data"].decode(), "signature": signature}
