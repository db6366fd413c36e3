"""Visits whose two sides may be monitored, and visits at the step where consent is spoken: prints their ids as JSON."""

import json
import sys

from tests.benchmarks.vault_ours import ready


def main(monitored: int, speaking: int) -> dict[str, list[tuple[str, str]]]:
    ready()
    from consults.models import Participant
    from tests.cast import assemble, bring_to

    found: dict[str, list[tuple[str, str]]] = {"monitor": [], "voice": []}
    if not monitored and not speaking:  # whoever asks for nobody makes people of her own
        return found
    cast = assemble()
    for name, count, stage in (("monitor", (monitored + 1) // 2, "admitted"), ("voice", speaking, "tested")):
        for _ in range(count):
            consult = bring_to(stage, cast.clinician, cast.patient).consult
            seats = Participant.objects.filter(consult=consult)
            if name == "voice":
                seats = seats.filter(role=Participant.Role.PATIENT)
            found[name] += [(str(consult.pk), str(pk)) for pk in seats.values_list("pk", flat=True)]
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
