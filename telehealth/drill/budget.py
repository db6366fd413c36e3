"""What a thief of the database may learn, as vault/FORMAT.md states it. What is not here, she may not."""

#: column of a patient's row -> properties (attacks.PROPERTIES) that it shows or groups by, on purpose
SHOWN = {
    ("vault_patient", "masks"): {"birth year", "mail domain", "first letters"},
    ("vault_patient", "national_id_digest"): {"national_id"},
    ("vault_patient", "phone_digest"): {"phone"},
    ("vault_patient", "email_digest"): {"email", "mail domain"},
}
#: guesses right beyond what chance gives, in hundredths, that are no finding: the guesser's luck
LUCK = 3.0
#: a sealed record's length less its frame is a multiple of this
RECORD_BLOCK = 64
RECORD_FRAME = 61
