"""What a session description and a candidate may say before they are passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.protocol import MAX_CANDIDATES
from signaling.sdp import (
    BadDescription,
    address_allowed,
    candidate_allowed,
    check_description,
    without_bad_candidates,
)
from tests.middle.odd import ODD
from tests.signaling.sockets import FINGERPRINT, description

#: lines as browsers write them: a value may begin with a blank, or be none
CHROMIUM = description(
    more="a=group:BUNDLE 0|a=extmap-allow-mixed|a=msid-semantic: WMS *|m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9"
    "|c=IN IP4 0.0.0.0|b=AS:300|a=rtcp:9 IN IP4 0.0.0.0|a=ice-ufrag:a+/1|a=ice-options:trickle|a=setup:actpass|a=mid:0"
    "|a=sendrecv|a=rtcp-mux|a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level|a=rtcp-fb:96 goog-remb"
    "|a=fmtp:111 minptime=10;useinbandfec=1|a=ssrc:1 msid:- x"
    "|a=candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host generation 0 network-id 1"
)
FIREFOX = description(
    more="a=ice-options:trickle|a=msid-semantic:WMS *|m=audio 0 UDP/TLS/RTP/SAVPF 120|c=IN IP6 ::|a=inactive"
    "|a=bundle-only|a=candidate:0 1 UDP 2122252543 10.0.0.7 50000 typ host"
    "|a=candidate:1 1 TCP 2105524479 10.0.0.7 9 typ host tcptype active"
).replace("o=- 1", "o=mozilla...THIS_IS_SDPARTA-128.0 1")

GOOD = [
    ("call", description("audio", "video")),
    ("call", description("audio")),
    ("call", description(*["audio", "video"] * 3)),
    ("call", description("audio", fingerprint="a=fingerprint:sha-512 " + ":".join(["AB"] * 64))),
    ("call", description("audio").removesuffix("\r\n")),
    ("monitor", description("application")),
    ("voice", description("audio")),
    ("call", CHROMIUM),
    ("call", FIREFOX),
]


@pytest.mark.parametrize(("leg", "sdp"), GOOD)
def test_an_ordinary_description_is_passed(leg, sdp):
    check_description(sdp, leg)
    assert without_bad_candidates(sdp, leg) == sdp


_ODD_CANDIDATE = "candidate:1 1 udp 1 169.254.169.254 80 typ host"
#: what one parser of a browser reads as a line that is looked at here, and another does not
OTHER_FORMS = [
    f"a=CANDIDATE{_ODD_CANDIDATE.removeprefix('candidate')}",
    f"a= {_ODD_CANDIDATE}",
    f"a=\t{_ODD_CANDIDATE}",
    f"a=:{_ODD_CANDIDATE}",
    f"a={_ODD_CANDIDATE.replace(':', ' ', 1)}",
    f"a={_ODD_CANDIDATE.replace(':', ' :', 1)}",
    f"a=\xa0{_ODD_CANDIDATE}",
    f"a=\u2003{_ODD_CANDIDATE}",
    f" a={_ODD_CANDIDATE}",
    f"a ={_ODD_CANDIDATE}",
    f"A={_ODD_CANDIDATE}",
    f"a=x:y\0a={_ODD_CANDIDATE}",
    "a=x:\x7f",
    "a=x:\u00e9",
    "a=Ice-Ufrag:x",
    "a= setup:active",
    "a=MID:0",
    "a=remote-candidates:1 169.254.169.254 80",
    "a=identity:eyJ9",
    "k=clear:x",
    "c= IN IP4 198.51.100.9",
    "c=in ip4 198.51.100.9",
    "c=IN IP4 198.51.100.9 198.51.100.10",
    "o=- 1 1 IN IP4 198.51.100.9 198.51.100.10",
    "t=0 0 0",
    "v=1",
    "b=",
    "m= audio 9 UDP/TLS/RTP/SAVPF 111",
    "m=AUDIO 9 UDP/TLS/RTP/SAVPF 111",
    "m=audio 9 udp/tls/rtp/savpf 111",
    "m=audio  9 UDP/TLS/RTP/SAVPF 111",
    "a=fingerprint:SHA-256 " + ":".join(["AB"] * 32),
    "a=fingerprint:sha-256 AB:CD",
]

BAD = {
    "empty": ("call", ""),
    "no media": ("call", "v=0\r\n" + FINGERPRINT + "\r\n"),
    "seven media lines": ("call", description(*["audio"] * 7)),
    "no fingerprint": ("call", description(fingerprint="")),
    "sha-1": ("call", description(fingerprint="a=fingerprint:sha-1 AB:CD")),
    "md5 beside a good one": ("call", description(more="a=fingerprint:md5 AB:CD")),
    "an SDES key": ("call", description(more="a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x")),
    "plain RTP": ("call", description().replace("UDP/TLS/RTP/SAVPF", "RTP/AVP", 1)),
    "SRTP without DTLS": ("call", description().replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", 1)),
    "plain SCTP": ("monitor", description("application").replace("UDP/DTLS/SCTP", "SCTP")),
    "a data channel in the call": ("call", description("audio", "application")),
    "video to the monitor": ("monitor", description("application", "video")),
    "audio to the monitor": ("monitor", description("audio")),
    "video to the voice leg": ("voice", description("audio", "video")),
    "half a media line": ("call", description("audio", more="m=audio 9")),
    "line feeds only": ("monitor", description("application").replace("\r\n", "\n")),
    "carriage returns only": ("call", description().replace("\r\n", "\r")),
    "one lone line feed": ("call", description(more="a=x:y\na=candidate:1 1 udp 1 127.0.0.1 9 typ host")),
    "a line separator": ("call", description(more="a=x:y\u2028a=candidate:1 1 udp 1 127.0.0.1 9 typ host")),
    **{f"fingerprint {odd!r}": ("call", description(more=odd.format("CD" + ":CD" * 31))) for odd in ODD},
    **{f"other than one form {line!r}": ("call", description(more=line)) for line in OTHER_FORMS},
    "an SDES key in other letters": ("call", description(more="a=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:x")),
    "a data channel's profile for sound": ("call", description().replace("UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP", 1)),
    "a profile of sound for a data channel": (
        "monitor",
        description("application").replace("UDP/DTLS/SCTP", "UDP/TLS/RTP/SAVPF"),
    ),
    "an empty line": ("call", description() + "\r\n"),
    "a form feed": ("call", description(more="a=x:y\x0cm=video 9 RTP/AVP 96")),
}


@pytest.mark.parametrize(("leg", "sdp"), BAD.values(), ids=BAD.keys())
def test_a_bad_description_is_refused(leg, sdp):
    with pytest.raises(BadDescription):
        check_description(sdp, leg)


@given(sdp=st.text(st.sampled_from("v=0m audio9/UDPTLSRSCF\r\n\x0b\u2028a:"), max_size=120))
@pytest.mark.parametrize("leg", ["call", "monitor", "voice"])
def test_any_text_is_good_or_bad(leg, sdp):
    try:
        check_description(sdp, leg)
    except BadDescription:
        return


def _candidate(address, port=50000, rest="typ host", transport="udp", component=1):
    return f"candidate:1 {component} {transport} 2122260223 {address} {port} {rest}".rstrip()


EVERYWHERE = ["10.0.0.7", "192.168.1.7", "100.64.0.1", "203.0.113.9", "2001:db8::7", "fd00::7"]
NOWHERE = [
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.251",
    "239.1.2.3",
    "ff02::fb",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::FFFF:8.8.8.8",
    "0:0:0:0:0:ffff:7f00:1",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
    "FD00:0EC2:0::0254",
    "fd20:ce::254",
    "fd00:ec2::254%1",
    "fd20:ce::254%eth0",
    "2001:db8::7%1",
    "192.0.0.192",
    "::127.0.0.1",
    "::10.0.0.7",
    "::7f00:1",
    "::ffff:0:127.0.0.1",
    "::ffff:0:a00:7",
    "localhost",
    "evil.example",
    "metadata.google.internal",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "１２７.0.0.1",
    "[::1]",
    "local",
    "x.local",
    "5f2c-.local.evil.example",
    "..",
]
HIDDEN = "1f2c3d4e-5f60-4a1b-8c2d-3e4f5a6b7c8d.local"


@pytest.mark.parametrize("leg", ["call", "monitor", "voice"])
@pytest.mark.parametrize("address", EVERYWHERE)
def test_an_ordinary_address_is_passed(leg, address):
    assert candidate_allowed(_candidate(address), leg)


@pytest.mark.parametrize("leg", ["call", "monitor", "voice"])
@pytest.mark.parametrize("address", NOWHERE)
def test_an_address_of_the_servers_own_or_of_many_is_dropped(leg, address):
    assert not candidate_allowed(_candidate(address), leg)


@pytest.mark.parametrize("first", range(256))
def test_the_short_look_at_an_address_says_what_the_close_one_says(first, monkeypatch):
    addresses = [
        f"{first}.{rest}" for rest in ("0.0.0", "0.0.1", "63.129.16", "100.100.200", "254.169.254", "0.0.192", "9.8.7")
    ]
    short = [address_allowed(address, host_names=False) for address in addresses]
    monkeypatch.setattr("signaling.sdp._is_plain", lambda text: False)
    assert [address_allowed(address, host_names=False) for address in addresses] == short


def test_a_browsers_hidden_address_is_passed_to_the_browser_only():
    assert candidate_allowed(_candidate(HIDDEN), "call")
    assert not candidate_allowed(_candidate(HIDDEN), "monitor")
    assert not candidate_allowed(_candidate(HIDDEN), "voice")


@pytest.mark.parametrize(
    "text",
    [
        "",
        _candidate("10.0.0.7", rest="typ srflx raddr 0.0.0.0 rport 0"),
        _candidate("10.0.0.7", rest="typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag x network-cost 999"),
        _candidate("10.0.0.7", transport="tcp", rest="typ host tcptype active"),
        _candidate("10.0.0.7", component=2),
    ],
)
def test_the_forms_that_browsers_send_are_passed(text):
    assert candidate_allowed(text, "call")


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "a=" + _candidate("10.0.0.7"),
        " " + _candidate("10.0.0.7"),
        "CANDIDATE" + _candidate("10.0.0.7").removeprefix("candidate"),
        _candidate("10.0.0.7") + " \ra=" + _candidate("127.0.0.1"),
        _candidate("10.0.0.7") + " \0",
        _candidate("10.0.0.7") + " \u2028",
        _candidate("10.0.0.7", port="５００００"),
        "candidate:\0 1 udp 1 10.0.0.7 50000 typ host",
        _candidate("10.0.0.7", component=3),
        _candidate("10.0.0.7", transport="sctp"),
        _candidate("10.0.0.7", port=1234567),
        _candidate("10.0.0.7", rest="typ magic"),
        _candidate("10.0.0.7", rest=""),
        _candidate("10.0.0.7") + "\n" + _candidate("127.0.0.1"),
        _candidate("10.0.0.7 127.0.0.1"),
        _candidate("127.0.0.1 10.0.0.7"),
    ],
)
def test_other_forms_are_dropped(text):
    assert not candidate_allowed(text, "call")


@given(text=st.text(max_size=80))
def test_any_text_is_allowed_or_not(text):
    assert candidate_allowed("candidate:" + text, "call") in (True, False)


def test_bad_candidates_in_a_description_are_left_out_and_the_rest_stays():
    bad = "|".join(f"a={_candidate(a)}" for a in NOWHERE if a.isascii())
    good = f"a={_candidate('10.0.0.7')}"
    sdp = description("application", more=f"{bad}|{good}|a=end-of-candidates")
    assert without_bad_candidates(sdp, "monitor") == description("application", more=f"{good}|a=end-of-candidates")


def test_a_description_carries_no_more_candidates_than_may_be_sent_singly():
    many = "|".join(f"a={_candidate('10.0.0.7', port=1000 + n)}" for n in range(300))
    kept = without_bad_candidates(description("application", more=many), "monitor")
    assert kept.count("a=candidate:") == MAX_CANDIDATES


HOST = "candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host generation 0"
SRFLX = "candidate:2 1 udp 1686052607 198.51.100.9 50001 typ srflx raddr 10.0.0.7 rport 50000"
PRFLX = "candidate:3 1 udp 1686052607 198.51.100.9 50002 typ prflx raddr 10.0.0.7 rport 50000"
RELAY = "candidate:4 1 udp 41885695 203.0.113.5 61000 typ relay raddr 198.51.100.9 rport 50001 generation 0"


def test_over_the_relay_only_relayed_candidates_pass():
    assert [c for c in (HOST, SRFLX, PRFLX, RELAY, "") if candidate_allowed(c, "call", relay_only=True)] == [RELAY, ""]
    assert all(candidate_allowed(c, "call") for c in (HOST, SRFLX, PRFLX, RELAY, ""))


def test_over_the_relay_no_line_tells_where_somebody_is():
    own = ("10.0.0.7", "198.51.100.9", "fd00::7", "50000", "50001")
    lines = ["c=IN IP4 198.51.100.9", "a=rtcp:50001 IN IP4 198.51.100.9", "a=rtcp-mux"]
    lines += [f"a={c}" for c in (HOST, SRFLX, PRFLX, RELAY)] + ["a=rtcp: 50001 IN IP4 198.51.100.9"]
    sdp = description("audio", "video", more="|".join(lines)).replace(
        "o=- 1 1 IN IP4 0.0.0.0", "o=- 1 1 IN IP6 fd00::7"
    )
    cleaned = without_bad_candidates(sdp, "call", relay_only=True)
    assert not [a for a in own if a in cleaned]
    assert "203.0.113.5 61000 typ relay raddr 0.0.0.0 rport 9 generation 0" in cleaned
    assert "a=rtcp-mux\r\n" in cleaned
    assert "o=- 1 1 IN IP4 0.0.0.0\r\n" in cleaned
    check_description(cleaned, "call")
