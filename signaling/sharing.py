"""Which of several workers takes a new consult: each says how many it has, and all come to one answer. Pure.

The database decides in the end (leases.py); this only keeps them from all asking at once, and one from taking all.
"""

import hashlib

#: seconds after which a worker that says nothing is no longer counted on
SILENT = 3.5
#: consults by which workers may differ and still count as equal: what is said is up to a second old
ALIKE = 5


class Sharing:
    """What a worker knows of the others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._others: dict[str, tuple[int, float]] = {}

    def heard(self, name: str, consults: int | None, now: float) -> None:
        """Another worker has so many consults; None: it takes no more."""
        if name == self.name:
            return
        if consults is None:
            self._others.pop(name, None)
        else:
            self._others[name] = (consults, now)

    def mine(self, consult: str, consults: int, now: float) -> bool:
        """Whether this worker, which has so many, should be the first to ask for this consult."""
        self._others = {name: (n, at) for name, (n, at) in self._others.items() if now - at < SILENT}
        loads = {name: n for name, (n, _) in self._others.items()} | {self.name: consults}
        least = min(loads.values())
        # Of those with least to do one is drawn by the consult's id, so that a rush between two reports is spread too.
        able = [name for name, n in loads.items() if n <= least + ALIKE]
        return max(able, key=lambda name: hashlib.sha256(f"{consult} {name}".encode()).digest()) == self.name
