"""Consults in which both sides may talk, for the relay: prints the cookies of each as JSON."""

import json
import sys

from tests.benchmarks.vault_ours import ready


def main(rooms: int) -> list[dict[str, str]]:
    ready()
    from django.conf import settings

    from tests.cast import assemble, bring_to, session_key

    cast = assemble()
    made = []
    for _ in range(rooms):
        now = bring_to("admitted", cast.clinician, cast.patient)
        name, secret = now.patients_cookie
        made.append(
            {
                "consult": str(now.consult.id),
                "clinician": f"{settings.SESSION_COOKIE_NAME}={session_key(cast.clinician)}",
                "patient": f"{name}={secret}",
            }
        )
    return made


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
