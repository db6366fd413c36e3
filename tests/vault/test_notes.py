"""Notes, checkpoints and keys have one form each; a note is signed by who signed it, and a cosignature has its time."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.make_tlog import AT, FILE, LOG_KEY, LOG_LINE, ORIGIN, TEXT, WITNESS, WITNESS_LINE, private, public
from vault.core.notes import (
    COSIGNATURE,
    ED25519,
    NOTE_MOST_BYTES,
    BadNote,
    Checkpoint,
    Key,
    Note,
    Signer,
    parse_checkpoint,
    parse_note,
    parse_secret,
    parse_signature,
    parse_vkey,
    verify,
)

VECTORS = json.loads(FILE.read_text())
LOG, COSIGNER = Signer(ORIGIN, private(1)), Signer(WITNESS, private(2), COSIGNATURE)

#: from the specifications and from logs that are out there: a vkey, a note by it, and when it was cosigned
REAL = {
    "the example of signed-note": (
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "This is an example message.\n\n"
        "— example.com/foo"
        " Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n",
        None,
    ),
    "the checksum database of Go": (
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n"
        "— sum.golang.org"
        " Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n",
        None,
    ),
    "a log of certificates, cosigned": (
        "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
        "coachandhorses2026h1.staging.certificate.transparency.goog\n185550722\n"
        "YXAM0VmnrfvLaBCOOYSJhCaE5F10oGBOo+hkbDa1kng=\n\n"
        "— coachandhorses2026h1.staging.certificate.transparency.goog"
        " MpXgsHy8ZwxXnO+WjtVrPxAzL49Rs1gWTkNVNeEa//5peAzaocRCB3qt3EaibjzY5GILLtGgBP7dBhgcSHy+JQh0OAc=\n"
        "— witness.navigli.sunlight.geomys.org"
        " o+AP4gAAAABqb7DzNrGFRJnQ9vrJ8xpnwZytnr/ZYczDIsvwvouiSjwOjn7a72ccxBk+lKnZ7dKqkYKER1s/KxLTaVwQD7lJZTC/CQ==\n",
        0x6A6FB0F3,
    ),
}
#: those of the specifications whose keys are not given
EXAMPLES = [
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore"
    " NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n",
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1"
    " jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n",
]


def _bytes(text):
    return text.encode("utf-8", "surrogateescape")


def _opened(vector):
    found = verify(parse_note(_bytes(vector["note"])), [parse_vkey(vkey) for vkey in vector["vkeys"]])
    return [[one.key.name, one.at] for one in found]


@pytest.mark.parametrize("name", REAL)
def test_notes_of_others_are_verified(name):
    vkey, text, at = REAL[name]
    key, note = parse_vkey(vkey), parse_note(text.encode())
    (found,) = verify(note, [key])
    assert (found.key.vkey, found.at) == (vkey, at)
    assert note.encode() == text.encode()
    with pytest.raises(BadNote, match="not that of the key"):
        verify(note._replace(text=note.text + "more\n"), [key])


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_specifications_examples_are_read_and_written_the_same(text):
    assert parse_note(text.encode()).encode() == text.encode()


def test_the_specifications_checkpoint_says_what_it_says():
    text = parse_note(EXAMPLES[1].encode()).text
    checkpoint = parse_checkpoint(text)
    assert checkpoint[:2] == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e1d90c808014aa89b")
    assert checkpoint.text() == text


def _each(kind, *, good, name="says"):
    some = [vector for vector in VECTORS[kind] if (vector[name] is not None) == good]
    assert some
    return pytest.mark.parametrize("vector", some, ids=lambda v: v["name"])


@_each("notes", good=True)
def test_good_notes_are_verified(vector):
    assert _opened(vector) == vector["says"]
    assert parse_note(_bytes(vector["note"])).encode() == _bytes(vector["note"])


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda v: v["name"])
def test_what_has_not_the_form_of_a_note_is_not_read_at_all(vector):
    if vector["form"]:
        assert parse_note(_bytes(vector["note"])).encode() == _bytes(vector["note"])
    else:
        with pytest.raises(BadNote):
            parse_note(_bytes(vector["note"]))


@_each("notes", good=False)
def test_hostile_notes_are_refused(vector):
    with pytest.raises(BadNote):
        _opened(vector)


@_each("checkpoints", good=True)
def test_good_checkpoints_are_read_and_written_the_same(vector):
    checkpoint = parse_checkpoint(vector["text"])
    assert [checkpoint.origin, checkpoint.size, list(checkpoint.extensions)] == vector["says"]
    assert checkpoint.text() == vector["text"]


@_each("checkpoints", good=False)
def test_hostile_checkpoints_are_refused(vector):
    with pytest.raises(BadNote):
        parse_checkpoint(vector["text"])


@_each("vkeys", good=True)
def test_good_keys_are_read_and_written_the_same(vector):
    key = parse_vkey(vector["vkey"])
    assert [key.name, key.kind, key.public.hex()] == vector["says"]
    assert key.vkey == vector["vkey"]


@_each("vkeys", good=False)
def test_hostile_keys_are_refused(vector):
    with pytest.raises(BadNote):
        parse_vkey(vector["vkey"])


def test_what_is_longer_than_a_note_is_not_read():
    most = "x" * (NOTE_MOST_BYTES - len(LOG_LINE.encode()) - 2) + "\n\n" + LOG_LINE
    assert parse_note(most.encode()).encode() == most.encode()
    with pytest.raises(BadNote, match="this long"):
        parse_note(b"x" + most.encode())
    with pytest.raises(BadNote):
        parse_checkpoint(TEXT + "x" * NOTE_MOST_BYTES + "\n")


# -- one encoding ------------------------------------------------------------------------------------------


def _mutated(good):
    """Something near it: one place of it replaced."""
    places = st.tuples(st.integers(0, len(good)), st.integers(0, 3), st.binary(max_size=3) | st.just(b"\n"))
    return places.map(lambda m: good[: m[0]] + m[2] + good[m[0] + m[1] :])


@given(_mutated((TEXT + "\n" + LOG_LINE + WITNESS_LINE).encode()) | st.binary(max_size=300))
def test_a_note_that_is_read_is_written_the_same(data):
    try:
        note = parse_note(data)
        assert note.encode() == data
        assert parse_checkpoint(note.text).text() == note.text
    except BadNote:
        pass


@given(_mutated(LOG_KEY.encode()) | st.binary(max_size=80))
def test_a_key_that_is_read_is_written_the_same(data):
    text = data.decode("utf-8", "replace")
    try:
        assert parse_vkey(text).vkey == text
    except BadNote:
        assert text != LOG_KEY


@given(_mutated((TEXT + "\n" + LOG_LINE).encode()))
def test_a_note_changed_anywhere_is_not_the_logs(data):
    if data != (TEXT + "\n" + LOG_LINE).encode():
        try:
            note = parse_note(data)
            verify(note, [LOG.key])
        except BadNote:
            return
        assert note.text == TEXT  # a line put beside the log's own
        assert LOG_LINE.rstrip("\n") in [one.line for one in note.signatures]


# -- signing -----------------------------------------------------------------------------------------------


def test_signatures_are_the_known_ones():
    assert LOG.sign(TEXT).line + "\n" == LOG_LINE
    assert COSIGNER.cosign(TEXT, AT).line + "\n" == WITNESS_LINE
    assert LOG.key.vkey == LOG_KEY
    assert parse_signature(LOG_LINE.rstrip("\n")) == LOG.sign(TEXT)


def test_a_private_key_is_written_and_read_again():
    for signer in (LOG, COSIGNER):
        again = parse_secret(signer.secret())
        assert again.key == signer.key
        assert again.secret() == signer.secret()
    assert parse_secret(LOG.secret()).sign(TEXT) == LOG.sign(TEXT)


def test_a_private_key_in_another_form_is_refused():
    secret = LOG.secret()
    for bad in (
        "",
        LOG_KEY,
        secret[1:],
        secret + "\n",
        secret.replace("clinic", "clinics"),
        secret.replace("AQEB", "BAEB"),
    ):
        with pytest.raises(BadNote):
            parse_secret(bad)
    with pytest.raises(BadNote):
        parse_secret(secret.removeprefix("PRIVATE+KEY+"))
    assert "AQEB" in secret


def test_a_signer_shows_no_secret_by_accident():
    assert LOG.secret().split("+")[-1] not in f"{LOG!r} {LOG}"


def test_go_reads_our_private_key():
    """Its form, and a key of the documentation of golang.org/x/mod/sumdb/note."""
    secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    signer = parse_secret(secret)
    assert signer.key.vkey == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert signer.secret() == secret
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    assert signer.sign(text).line == (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )


@pytest.mark.parametrize("text", ["", "no newline", "a\ttab\n", "a\rreturn\n"])
def test_what_is_no_note_is_not_signed(text):
    with pytest.raises(BadNote):
        LOG.sign(text)


def test_a_key_signs_in_its_own_way_only():
    with pytest.raises(BadNote):
        COSIGNER.sign(TEXT)
    with pytest.raises(BadNote):
        LOG.cosign(TEXT, AT)


@pytest.mark.parametrize("at", [0, -1, 2**63])
def test_nothing_is_cosigned_outside_of_time(at):
    with pytest.raises(BadNote):
        COSIGNER.cosign(TEXT, at)


def test_only_checkpoints_are_cosigned():
    with pytest.raises(BadNote):
        COSIGNER.cosign("any text\n", AT)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\0b", "a" * 256, "é" * 128])
def test_a_name_that_could_not_be_read_again_is_given_to_no_key(name):
    with pytest.raises(BadNote):
        Signer(name, Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    "change",
    [
        {"origin": ""},
        {"origin": "a\nb"},
        {"origin": "a" * 256},
        {"size": -1},
        {"size": 2**63},
        {"root": bytes(31)},
        {"root": bytes(33)},
        {"extensions": ("",)},
        {"extensions": ("a\nb",)},
        {"extensions": ("a\tb",)},
    ],
)
def test_a_checkpoint_that_could_not_be_read_again_is_not_written(change):
    good = Checkpoint(ORIGIN, 5, bytes(32))
    assert parse_checkpoint(good.text()) == good
    with pytest.raises(BadNote):
        good._replace(**change).text()


def test_every_signature_of_a_known_key_is_checked_and_told():
    stranger = Key("stranger.example", ED25519, public(9))
    note = Note(TEXT, (LOG.sign(TEXT), COSIGNER.cosign(TEXT, AT)))
    assert [(one.key, one.at) for one in verify(note, [COSIGNER.key, stranger])] == [(COSIGNER.key, AT)]
    assert [one.signature.line for one in verify(note, [LOG.key])] == [LOG.sign(TEXT).line]
    with pytest.raises(BadNote, match="nobody who is known"):
        verify(note, [stranger])
    with pytest.raises(BadNote, match="nobody who is known"):
        verify(note, [])
