"""Frames that a page sends nearly always: whole, masked, shorter than 64 KiB (RFC 6455, section 5.2). Pure."""

try:
    from websockets.speedups import apply_mask
except ImportError:  # a machine that websockets has no compiled part for
    from websockets.utils import apply_mask

#: the last frame of a text; a mask follows; the length stands in two, or in eight more bytes
_WHOLE_TEXT, _LAST, _MASKED, _LONG, _LONGER = 0x81, 0x80, 0x80, 126, 127
#: what `size` says
MORE, NOT_SHORT = 0, -1


def size(data: bytes, at: int, most: int) -> int:
    """Octets of the frame that begins there, its head too. `MORE`: that is not known yet. `NOT_SHORT`: it is a
    fragment, has no mask, says more than `most` octets or counts them in too long a head; the library knows what to
    make of it.
    """
    have = len(data) - at
    if have < 2:
        return MORE
    length = data[at + 1] & ~_MASKED
    head = 6
    if not data[at] & _LAST or not data[at + 1] & _MASKED or length == _LONGER:
        return NOT_SHORT
    if length == _LONG:
        if have < 4:
            return MORE
        head, length = 8, int.from_bytes(data[at + 2 : at + 4], "big")
        if length < _LONG:
            return NOT_SHORT
    return head + length if length <= most else NOT_SHORT


def text(frame: bytes) -> str | None:
    """What a whole frame says. None: it is no text, or none that can be read."""
    if frame[0] != _WHOLE_TEXT:
        return None
    head = 8 if frame[1] & ~_MASKED == _LONG else 6
    try:
        return apply_mask(frame[head:], frame[head - 4 : head]).decode()
    except UnicodeDecodeError:
        return None


def head(length: int) -> bytes:
    """Of a text frame from a server, which masks nothing."""
    if length < _LONG:
        return bytes((_WHOLE_TEXT, length))
    if length < 2**16:
        return bytes((_WHOLE_TEXT, _LONG)) + length.to_bytes(2, "big")
    return bytes((_WHOLE_TEXT, _LONGER)) + length.to_bytes(8, "big")
