"""What a session description and a candidate may say to be passed on (PROTOCOL.md, RFC 8827, RFC 8866). Pure."""

import ipaddress
import re
import socket

from signaling.protocol import MAX_CANDIDATES

MAX_MEDIA_LINES = 6
_PROFILES = {"UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP"}
_HASHES = {"sha-256", "sha-384", "sha-512"}
_MEDIA_OF_LEG = {"call": {"audio", "video"}, "monitor": {"application"}, "voice": {"audio"}}
_CANDIDATE = re.compile(
    r"candidate:\S{1,32} [12] (?:udp|tcp) \d{1,10} (\S{1,255}) (\d{1,5}) typ (host|srflx|prflx|relay)(?: .*)?",
    re.I,
)
_RELATED = re.compile(r" raddr \S+ rport \S+", re.I)
#: lines that name an address outside the candidates -> the same, naming none (RFC 8839, 4.2: ICE does not need them)
_ADDRESSES = (
    (re.compile(r"c=IN IP[46] \S+"), "c=IN IP4 0.0.0.0"),
    (re.compile(r"(o=\S+ \S+ \S+ IN) IP[46] \S+"), r"\1 IP4 0.0.0.0"),
    (re.compile(r"a=rtcp:\d+.*", re.I), "a=rtcp:9 IN IP4 0.0.0.0"),
)

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
#: where clouds tell a machine its own secrets, besides link-local: Azure, Alibaba, AWS and Google by IPv6
_METADATA = {
    ipaddress.ip_address(text) for text in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
}
#: IPv6 that stands for any IPv4, private ones too (RFC 6052, RFC 8215, RFC 3056)
_TRANSLATED = [ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")]


_HOST_NAME = re.compile(r"[0-9a-f-]{36}\.local")
#: all IPv4 addresses that are refused begin with one of these
_CLOSER = {0, 100, 127, 168, 169, *range(224, 256)}


class BadDescription(Exception):
    """The description asks for something the protocol does not allow."""


def check_description(sdp: str, leg: str) -> None:
    """Refuse profiles without DTLS, weak or missing fingerprints, SDES keys, foreign media."""
    if len(sdp.splitlines()) != sdp.count("\r\n") + (not sdp.endswith("\r\n")):
        # Other parsers end a line elsewhere too, and would find lines in it that nobody here has looked at.
        raise BadDescription("line ends")
    lines = "\r\n" + sdp
    media = [rest.partition("\r\n")[0].split() for rest in lines.split("\r\nm=")[1:]]
    # The worker's legs have one line: a second track would be decoded for nobody, and kept.
    if not 1 <= len(media) <= (MAX_MEDIA_LINES if leg == "call" else 1):
        raise BadDescription("number of media lines")
    for words in media:
        if len(words) < 4 or words[2] not in _PROFILES or words[0] not in _MEDIA_OF_LEG[leg]:
            raise BadDescription("media line")
    if "\r\na=crypto:" in lines:
        raise BadDescription("SDES")
    hashes = [rest.partition("\r\n")[0].split(" ")[0].lower() for rest in lines.split("\r\na=fingerprint:")[1:]]
    if not hashes or not set(hashes) <= _HASHES:
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
            if line.lower().startswith("a=remote-candidates"):
                continue
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
    if relay_only and match.group(3).lower() != "relay":
        return False
    return address_allowed(match.group(1), host_names=leg == "call", private=private)


def address_allowed(text: str, *, host_names: bool, private: bool = True) -> bool:
    """Whether a peer may be sent to it. Not `private`: and whether it is an address of the Internet at large."""
    # Browsers hide local addresses behind random .local names (RFC 8828 mode 3); nothing else is resolved.
    if _HOST_NAME.fullmatch(text):
        return host_names
    if private and _is_plain(text):
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    broadcast = isinstance(address, ipaddress.IPv4Address) and address.is_reserved
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if mapped or broadcast or nowhere or address in _THIS_NETWORK or address in _METADATA:
        return False
    return private or (address.is_global and not any(address in network for network in _TRANSLATED))


def _is_plain(text: str) -> bool:
    """Whether it is an IPv4 address that nothing here names: nearly all are, and looking closely takes longer."""
    try:
        return socket.inet_pton(socket.AF_INET, text)[0] not in _CLOSER
    except (OSError, ValueError):
        return False
