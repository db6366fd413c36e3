"""The certificate of an erasure as a document of one page."""

from consults.erasing import STAYS, Certificate
from consults.export import File, file_name
from consults.typesetting import pdf


def file(certificate: Certificate, clinic: str) -> File:
    number = certificate.patient.record_number
    document = {
        "title": "Certificate of erasure",
        "about": f"{clinic} destroyed record {number}",
        "lead": "The keys to this record were destroyed. What they sealed can no longer be read by anybody.",
        "clinic": clinic,
        "footer": f"Erasure of record {number}",
        "cover": False,
        "facts": [list(row) for row in certificate.facts],
        "notes": [],
        "sections": [
            {"title": "Backups", "blocks": [{"kind": "text", "text": certificate.backups}]},
            {"title": "What stays", "blocks": [{"kind": "text", "text": text} for text in STAYS]},
        ],
    }
    return File(file_name(f"erasure-{number}.pdf"), "application/pdf", pdf(document))
