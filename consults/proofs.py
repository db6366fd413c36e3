"""What each side's page found out about the other end of the call: kept beside its seat, and in the log."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from consults.models import Participant
from vault import audit
from vault.audit import Actor
from vault.models import AuditEntry

FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Found:
    """`pair`: the connection, by negotiation and both pages' tabs. `state`: none, link, comparison or failed.

    `digest`: over both certificates' fingerprints, as this page sees them.
    """

    pair: str
    state: str
    digest: str
    why: str = ""


@transaction.atomic
def note(participant: Participant, found: Found, by: Actor) -> None:
    """Write down what a page reports; the same report twice is written once."""
    consult = participant.consult
    people = {p.pk: p for p in Participant.objects.select_for_update().filter(consult=consult, left_at=None)}
    own = people.pop(participant.pk, None)
    if own is None or (own.proof_pair, own.proof_state, own.proof_digest) == (
        found.pair,
        found.state,
        found.digest,
    ):
        return
    own.proof_pair, own.proof_state, own.proof_digest = found.pair, found.state, found.digest
    own.proof_at = timezone.now()
    own.save(update_fields=["proof_pair", "proof_state", "proof_digest", "proof_at"])
    audit.record(
        "consult.proof",
        by,
        patient=consult.patient_id,
        consult=consult.id,
        outcome=AuditEntry.Outcome.FAILED if found.state == FAILED else AuditEntry.Outcome.DONE,
        state=found.state,
        digest=found.digest,
        **({"why": found.why} if found.why else {}),
    )
    for other in people.values():
        if differ(own, other):
            audit.record(
                "consult.proof.differ",
                by,
                patient=consult.patient_id,
                consult=consult.id,
                outcome=AuditEntry.Outcome.FAILED,
                digest=own.proof_digest,
                other=other.proof_digest,
            )


def differ(one: Participant | None, other: Participant | None) -> bool:
    """Whether the two ends of one connection reported different certificates: somebody may be in between."""
    if one is None or other is None or one.proof_pair != other.proof_pair:
        return False
    return bool(one.proof_digest and other.proof_digest and one.proof_digest != other.proof_digest)
