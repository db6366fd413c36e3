"""The E-model of ITU-T G.107 (06/2015) whole, every parameter free, written down from the Recommendation's chapter 7.

Only a yardstick: the product needs no more than delay and loss (`signaling/emodel.py`), and must come to the same.
"""

from math import exp, log2, log10, sqrt

#: table 2: parameters and their defaults; `T` (ms) stands for Ta, and for Tr / 2
DEFAULTS = {
    **{"SLR": 8, "RLR": 2, "STMR": 15, "LSTR": 18, "Ds": 3, "Dr": 3, "TELR": 65, "WEPL": 110, "T": 0, "qdu": 1},
    **{
        "Ie": 0,
        "Bpl": 4.3,
        "Ppl": 0,
        "BurstR": 1,
        "Nc": -70,
        "Nfor": -64,
        "Ps": 35,
        "Pr": 35,
        "A": 0,
        "sT": 1,
        "mT": 100,
    },
}


def rating(**given: float) -> float:
    """R."""
    p = {**DEFAULTS, **given}
    noise = _noise(p)
    ro = 15 - 1.5 * (p["SLR"] + noise)
    return ro - _simultaneous(p, ro, noise) - _delay(p, ro, noise) - _equipment(p) + p["A"]


def _noise(p: dict[str, float]) -> float:
    olr = p["SLR"] + p["RLR"]
    sender = p["Ps"] - p["SLR"] - p["Ds"] - 100 + 0.004 * (p["Ps"] - olr - p["Ds"] - 14) ** 2
    room = p["Pr"] + 10 * log10(1 + 10 ** ((10 - p["LSTR"]) / 10))
    receiver = p["RLR"] - 121 + room + 0.008 * (room - 35) ** 2
    return 10 * log10(sum(10 ** (n / 10) for n in (p["Nc"], sender, receiver, p["Nfor"] + p["RLR"])))


def _simultaneous(p: dict[str, float], ro: float, noise: float) -> float:
    x = p["SLR"] + p["RLR"] + 0.2 * (64 + noise - p["RLR"])
    too_loud = 20 * ((1 + (x / 8) ** 8) ** (1 / 8) - x / 8)
    q = 37 - 15 * log10(p["qdu"])
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y, z = (ro - 100) / 15 + 46 / 8.4 - g / 9, 46 / 30 - g / 40
    return too_loud + _sidetone(p) + 15 * log10(1 + 10**y + 10**z)


def _sidetone(p: dict[str, float]) -> float:
    s = -10 * log10(10 ** (-p["STMR"] / 10) + exp(-p["T"] / 4) * 10 ** (-p["TELR"] / 10))
    return (
        12 * (1 + ((s - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((s + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((s - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )


def _delay(p: dict[str, float], ro: float, noise: float) -> float:
    ms = p["T"]
    echo = p["TELR"] - 40 * log10((1 + ms / 10) / (1 + ms / 150)) + 6 * exp(-0.3 * ms**2)
    gap = -1.5 * (noise - p["RLR"]) - (80 + 2.5 * (echo - 14))
    talker = (gap / 2 + sqrt(gap**2 / 4 + 100) - 1) * (1 - exp(-ms))
    gap = ro - 10.5 * (p["WEPL"] + 7) * (2 * ms + 1) ** -0.25
    listener = gap / 2 + sqrt(gap**2 / 4 + 169)
    if ms <= p["mT"]:
        return talker + listener
    x, n = log2(ms / p["mT"]), 6 * p["sT"]
    return talker + listener + 25 * ((1 + x**n) ** (1 / n) - 3 * (1 + (x / 3) ** n) ** (1 / n) + 2)


def _equipment(p: dict[str, float]) -> float:
    return p["Ie"] + (95 - p["Ie"]) * p["Ppl"] / (p["Ppl"] / p["BurstR"] + p["Bpl"])
