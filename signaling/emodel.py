"""How a talk sounds, from what the network did: R-factor and MOS after the E-model (ITU-T G.107, 06/2015). Pure.

All that is not the network keeps G.107's defaults: the people's rooms, their devices, what little echo comes back. So
R = Ro - Is - Id(delay) - Ie,eff(loss, codec), where the first two are one constant.
"""

from math import exp, log2, log10, sqrt

#: G.107, 7.7: the transmission rating with every parameter at its default, before delay and loss
RATED = 93.355
#: basic signal-to-noise ratio, the same without loudness rating (7.4), loss of the echo's way to the talker, and of
#: the listener's (dB)
RO, ROE, TELR, WEPL = 94.769, 94.769, 65, 110
#: milliseconds below which nobody notices a delay as such
UNNOTICED_MS = 100
#: milliseconds before the network: a frame of 20 ms, and the encoder's look ahead
SENDING_MS = 26.5
#: codec -> Ie and Bpl of G.113, appendix I. Opus stands in no table of the ITU: it is taken as G.711 with concealment,
#: which its own concealment is at least as good as. What is not known here is taken as G.711 without any.
CODECS = {"opus": (0.0, 25.1), "g722": (0.0, 25.1), "pcmu": (0.0, 25.1), "pcma": (0.0, 25.1)}
UNKNOWN_CODEC = (0.0, 4.3)


def r_factor(delay_ms: float, loss: float, codec: str = "opus") -> float:
    """0 to 93.2. `delay_ms`: from mouth to ear, one way; `loss`: of packets, in percent, at random."""
    ie, bpl = CODECS.get(codec.lower(), UNKNOWN_CODEC)
    impaired_by_loss = ie + (95 - ie) * loss / (loss + bpl)
    return max(0.0, RATED - delay_impairment(delay_ms) - impaired_by_loss)


def delay_impairment(ms: float) -> float:
    """Id (7.4): the echo that the talker and the listener hear, and a delay so long that people speak at once."""
    echo = TELR - 40 * log10((1 + ms / 10) / (1 + ms / 150)) + 6 * exp(-0.3 * ms * ms)
    talker = (_rounded(ROE - (80 + 2.5 * (echo - 14)), 100) - 1) * (1 - exp(-ms))
    listener = _rounded(RO - 10.5 * (WEPL + 7) / sqrt(sqrt(2 * ms + 1)), 169)
    return talker + listener + _too_long(ms)


def _rounded(falls_short: float, square: float) -> float:
    """How far a rating falls short, where that is more than nothing; bent instead of broken at nothing."""
    return falls_short / 2 + sqrt(falls_short**2 / 4 + square)


def _too_long(ms: float) -> float:
    if ms <= UNNOTICED_MS:
        return 0.0
    x = log2(ms / UNNOTICED_MS)
    impaired: float = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return impaired


def mos(r: float) -> float:
    """The mean opinion score, 1 to 4.5, of an R-factor (G.107, annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # Between 0 and 6.5 the formula falls below its own lowest mark.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def heard(
    rtt_ms: float | None, jitter_ms: float | None, buffer_ms: float | None, loss: float | None, codec: str | None
) -> float | None:
    """The MOS of what one side hears; None where nothing came that could be judged.

    `buffer_ms`: how long its jitter buffer held what it played; where a browser does not say, twice the jitter.
    """
    if loss is None or rtt_ms is None:
        return None
    held = buffer_ms if buffer_ms is not None else 2 * (jitter_ms or 0.0)
    return round(mos(r_factor(SENDING_MS + rtt_ms / 2 + held, loss, codec or "")), 2)
