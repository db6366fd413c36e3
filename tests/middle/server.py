"""`manage.py up`, cheating: what passes between two people goes through a man in the middle (tests/middle/man.py).

Which attack a consult gets is read from the file middle.json of the data folder; what was done is added to middle.log.
"""

import json
import os
import sys
from functools import partial
from typing import Any
from uuid import UUID

import django

from telehealth import firstrun

#: how tests.browser.product starts it
CHEATING = ("-m", "tests.middle.server")


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        firstrun.prepare()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from signaling.consumers import VisitConsumer
    from signaling.short_way import Rest
    from tests.middle.man import Man

    men: dict[UUID, Man] = {}
    honest_arrive, honest_to_peer = VisitConsumer.arrive, VisitConsumer.to_peer
    honest_disconnect = VisitConsumer.disconnect

    def man_of(consult: UUID) -> Man:
        if consult not in men:
            plan = settings.DATA_DIR / "middle.json"
            attacks = json.loads(plan.read_text()) if plan.exists() else {}
            men[consult] = Man(str(consult), attacks.get(str(consult), "honest"), settings.DATA_DIR / "middle.log")
        return men[consult]

    async def arrive(self: VisitConsumer, hello: Any) -> None:
        man_of(self.consult_id).sockets[self.role] = self
        await honest_arrive(self, hello)

    def to_peer(self: VisitConsumer, frame: Any) -> Rest:
        return partial(man_of(self.consult_id).heard, self, frame, pass_on)

    async def pass_on(self: VisitConsumer, frame: Any) -> None:
        if (rest := honest_to_peer(self, frame)) is not None:
            await rest()

    async def disconnect(self: VisitConsumer, code: int) -> None:
        await honest_disconnect(self, code)
        await man_of(self.consult_id).left(self)

    VisitConsumer.arrive, VisitConsumer.to_peer = arrive, to_peer  # type: ignore[method-assign]
    VisitConsumer.disconnect = disconnect  # type: ignore[method-assign]
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
