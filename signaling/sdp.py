"""What a session description and a candidate may say to be passed on (PROTOCOL.md, RFC 8827, RFC 8866). Pure."""

import ipaddress
import re
import socket

from signaling.protocol import MAX_CANDIDATES

MAX_MEDIA_LINES = 6
_PROFILES = {"audio": "UDP/TLS/RTP/SAVPF", "video": "UDP/TLS/RTP/SAVPF", "application": "UDP/DTLS/SCTP"}
#: printable ASCII; other parsers end a line, or a blank, at other characters too
_PRINTABLE = bytes(range(0x20, 0x7F))
#: no browser of a call writes these: keys in the clear, somebody to ask who this is, addresses beside the candidates
_REFUSED = ("crypto", "identity", "remote-candidates")
#: lines to look at one by one: all but those that browsers write and no rule names. Firefox's parser reads an
#: attribute's name in any case and passes over blanks and colons before it, Chromium's does not: what is not in
#: this one form means one thing here and another there. A single search, for speed: a frame is read in less time
#: than a loop over its lines takes
_CLOSER_LOOK = re.compile(
    rf"\r\n(?!a=(?!fingerprint|{'|'.join(_REFUSED)})[a-z][a-z0-9-]*+[:\r]|s=|b=[^\r]"
    r"|v=0\r|o=\S+ \d+ \d+ IN IP[46] \S+\r|t=\d+ \d+\r|c=IN IP[46] \S+\r)([^\r]*)",
    re.A,
)
_MEDIA_LINE = re.compile(r"m=([a-z]+) \d{1,5} ([A-Z/]+)(?: [\w-]+)+", re.A)
_FINGERPRINT = re.compile(r"a=fingerprint:sha-(?:256|384|512) [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31,63}")
_MEDIA_OF_LEG = {"call": {"audio", "video"}, "monitor": {"application"}, "voice": {"audio"}}
_CANDIDATE = re.compile(
    r"candidate:[!-~]{1,32} [12] (?:udp|tcp|UDP|TCP) \d{1,10} ([!-~]{1,255}) (\d{1,5})"
    r" typ (host|srflx|prflx|relay)(?: [ -~]*)?",
    re.A,
)
_RELATED = re.compile(r" raddr \S+ rport \S+", re.I)
#: lines that name an address outside the candidates -> the same, naming none (RFC 8839, 4.2: ICE does not need them)
_ADDRESSES = (
    (re.compile(r"c=IN IP[46] \S+"), "c=IN IP4 0.0.0.0"),
    (re.compile(r"(o=\S+ \S+ \S+ IN) IP[46] \S+"), r"\1 IP4 0.0.0.0"),
    (re.compile(r"a=rtcp:.*"), "a=rtcp:9 IN IP4 0.0.0.0"),
)

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
#: where clouds tell a machine its own secrets, besides link-local: Azure, Alibaba, Oracle, AWS and Google by IPv6
_METADATA = {
    ipaddress.ip_address(text)
    for text in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
}
#: IPv6 that only writes an IPv4 in another way (RFC 4291, 2.5.5; RFC 2765): some systems send to that IPv4
_WRITTEN_AS_IPV6 = [ipaddress.ip_network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96")]
#: IPv6 that stands for any IPv4, private ones too (RFC 6052, RFC 8215, RFC 3056)
_TRANSLATED = [ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")]


_HOST_NAME = re.compile(r"[0-9a-f-]{36}\.local")
#: all IPv4 addresses that are refused begin with one of these, but for the single ones above
_CLOSER = {0, 127, 169, *range(224, 256)}
_METADATA_PACKED = {address.packed for address in _METADATA}


class BadDescription(Exception):
    """The description asks for something the protocol does not allow."""


def check_description(sdp: str, leg: str) -> None:
    """Refuse lines that no browser writes, profiles without DTLS, weak or missing fingerprints, foreign media."""
    lines = "\r\n" + sdp.removesuffix("\r\n")
    if not lines.isascii() or lines.encode().replace(b"\r\n", b"").translate(None, _PRINTABLE):
        raise BadDescription("form of a line")
    media = fingerprints = 0
    for line in _CLOSER_LOOK.findall(lines + "\r"):
        if line.startswith("a=fingerprint"):
            fingerprints += 1
            if not _FINGERPRINT.fullmatch(line):
                raise BadDescription("fingerprint")
        elif line.startswith(_REFUSED, 2):
            raise BadDescription("an attribute that is not passed on")
        elif match := _MEDIA_LINE.fullmatch(line):
            media += 1
            if match[1] not in _MEDIA_OF_LEG[leg] or match[2] != _PROFILES[match[1]]:
                raise BadDescription("media line")
        else:
            raise BadDescription("form of a line")
    # The worker's legs have one line: a second track would be decoded for nobody, and kept.
    if not 1 <= media <= (MAX_MEDIA_LINES if leg == "call" else 1):
        raise BadDescription("number of media lines")
    if not fingerprints:
        raise BadDescription("fingerprint")


def without_bad_candidates(sdp: str, leg: str, *, relay_only: bool = False) -> str:
    """The description without the candidates that may not be passed on: bad ones, and those beyond the limit.

    With `relay_only` no other line tells an address of the side that wrote it either.
    """
    if not relay_only and "a=candidate:" not in sdp:
        return sdp
    kept, left = [], MAX_CANDIDATES
    for line in sdp.split("\r\n"):
        if line.startswith("a=candidate:"):
            if left == 0 or not candidate_allowed(line[2:], leg, relay_only=relay_only):
                continue
            left -= 1
        if relay_only:
            line = _without_address(line)
        kept.append(line)
    return "\r\n".join(kept)


def asked_by_worker(sdp: str, *, private: bool) -> str:
    """The description without the candidates that the worker does not ask, and then without the word that they are all.

    A browser behind an address that is passed over gets through by its own checks; ICE would have given up before.
    """
    lines = sdp.split("\r\n")
    kept = [
        line
        for line in lines
        if not line.startswith("a=candidate:") or candidate_allowed(line[2:], "monitor", private=private)
    ]
    return "\r\n".join(line for line in kept if len(kept) == len(lines) or line != "a=end-of-candidates")


def _without_address(line: str) -> str:
    if line.startswith("a=candidate:"):
        return without_related(line)
    for pattern, instead in _ADDRESSES:
        if pattern.fullmatch(line):
            return pattern.sub(instead, line)
    return line


def without_related(candidate: str) -> str:
    """A relayed candidate without the address it was asked for from (RFC 8839, 5.1: such agents write 0.0.0.0, 9)."""
    return _RELATED.sub(" raddr 0.0.0.0 rport 9", candidate)


def candidate_allowed(candidate: str, leg: str, *, relay_only: bool = False, private: bool = True) -> bool:
    """Whether a candidate names an address that a peer may be sent to. Empty means "no more candidates"."""
    if not candidate:
        return True
    match = _CANDIDATE.fullmatch(candidate)
    if not match or not 0 < int(match.group(2)) < 2**16:
        return False
    if relay_only and match.group(3) != "relay":
        return False
    return address_allowed(match.group(1), host_names=leg == "call", private=private)


def address_allowed(text: str, *, host_names: bool, private: bool = True) -> bool:
    """Whether a peer may be sent to it. Not `private`: and whether it is an address of the Internet at large."""
    # Browsers hide local addresses behind random .local names (RFC 8828 mode 3); nothing else is resolved.
    if _HOST_NAME.fullmatch(text):
        return host_names
    if private and _is_plain(text):
        return True
    if "%" in text:  # an address with a scope equals none without
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = any(address in network for network in _WRITTEN_AS_IPV6)
    broadcast = isinstance(address, ipaddress.IPv4Address) and address.is_reserved
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if mapped or broadcast or nowhere or address in _THIS_NETWORK or address in _METADATA:
        return False
    return private or (address.is_global and not any(address in network for network in _TRANSLATED))


def _is_plain(text: str) -> bool:
    """Whether it is an IPv4 address that nothing here names: nearly all are, and looking closely takes longer."""
    try:
        packed = socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return packed[0] not in _CLOSER and packed not in _METADATA_PACKED
