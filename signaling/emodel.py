"""How a talk sounds, from what the network did: R-factor and MOS after the E-model (ITU-T G.107). Pure.

Simplified as by Cole and Rosenbluth ("Voice over IP performance monitoring", 2001): all that is not the network keeps
G.107's defaults, so R = 93.2 - Id(delay) - Ie,eff(loss, codec). Echo, noise and the people's rooms are not in it.
"""

#: G.107, table 3: the transmission rating with every parameter at its default
R_DEFAULT = 93.2
#: milliseconds before the network: a frame of 20 ms, and the encoder's look ahead
SENDING_MS = 26.5
#: codec -> Ie and Bpl of G.113, appendix I. Opus stands in no table of the ITU: it is taken as G.711 with concealment,
#: which its own concealment is at least as good as. What is not known here is taken as G.711 without any.
CODECS = {"opus": (0.0, 25.1), "g722": (0.0, 25.1), "pcmu": (0.0, 25.1), "pcma": (0.0, 25.1)}
UNKNOWN_CODEC = (0.0, 4.3)


def r_factor(delay_ms: float, loss: float, codec: str = "opus") -> float:
    """0 to 93.2. `delay_ms`: from mouth to ear, one way; `loss`: of packets, in percent, at random."""
    ie, bpl = CODECS.get(codec.lower(), UNKNOWN_CODEC)
    impaired_by_delay = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    impaired_by_loss = ie + (95 - ie) * loss / (loss + bpl)
    return max(0.0, R_DEFAULT - impaired_by_delay - impaired_by_loss)


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
