"""What an import makes of hostile and of merely odd files: each row a record or a sentence, and never the value."""

import csv
import io

import pytest

from consults import importing
from consults.import_columns import BadColumns, columns_of, parse_map
from consults.import_rows import BadFile, BadRow, read, record_of

HEAD = "name,date of birth,record number,national id,phone,notes\n"
GOOD = "Ada Lovelace,1985-12-10,A1,ID 12 34,+44 20 7946 0001,"


def file_of(text, *, head=HEAD, encoding="utf-8", **more):
    data = text if isinstance(text, bytes) else (head + text).encode("utf-8")
    return read(data, encoding=encoding, stated=more.pop("stated", {}), **more)


def outcomes(file):
    """Row number -> record, or the reason against it."""
    return {j.row: j.record or j.reason for j in importing.judge(file) if not j.is_empty}


def reason(cell_row):
    [said] = outcomes(file_of(cell_row)).values()
    assert isinstance(said, str), said
    return said


def test_a_good_row_is_a_record_with_normalised_values():
    [record] = outcomes(file_of(GOOD + "\n")).values()
    assert record.record_number == "A1"
    assert record.values == {
        "name": "Ada Lovelace",
        "birth_date": "1985-12-10",
        "national_id": "ID1234",
        "phone": "+442079460001",
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Ada\0Lovelace,1985-12-10,,,,", "Name: the cell has characters that are no text."),
        ("Ada,1985-12-10,,,,\x1b[2Jgone", "Notes: the cell has characters that are no text."),
        ("Ada,1985-12-10,,,,\U000e0041", "invisible characters"),
        ("Ada \u202eevil,1985-12-10,,,,", "invisible characters"),
        ("Ada,1985-12-10,,,,\u2067x", "invisible characters"),
        (f"Ada,1985-12-10,,,,{'x' * 1_000_000}", "more than 10,000 letters"),
        ('Ada,1985-12-10,,,,"' + "y\n" * 500_000 + '"', "more than 10,000 letters"),
        ('"=HYPERLINK(""http://x"")",1985-12-10,,,,', "sign of a formula"),
        ("@SUM(A1),1985-12-10,,,,", "sign of a formula"),
        ("-2+3,1985-12-10,,,,", "sign of a formula"),
        ("Ada,1985-12-10,=1+1,,,", "sign of a formula"),
        ("Ada,1985-12-10,,,,=cmd|' /C calc'!A0", "sign of a formula"),
        ('"Ada" Lovelace,1985-12-10,,,,', "quotation marks"),
        ("Ada,1985-12-10", "The row has 2 columns, the first row has 6."),
        ("Ada,1985-12-10,,,,,,,", "The row has 9 columns"),
        ("Ada,10/12/1985,,,,", "Date of birth:"),
        ("Ada,1885-12-10,,,,", "Date of birth:"),
        (",1985-12-10,,,,", "The name is missing."),
        ("x,,A7,,,", "The date of birth is missing."),
        ("Ada,1985-12-10,A 1 ü,,,", "Record number:"),
        (f"Ada,1985-12-10,{'9' * 25},,,", "Record number:"),
        ("Ada,1985-12-10,,!!,,", "National id:"),
        ("Ada,1985-12-10,,,12,", "Phone:"),
    ],
)
def test_a_bad_row_is_refused_in_words(row, said):
    assert said in reason(row + "\n")


def test_no_reason_quotes_the_row():
    rows = [
        "Zyx\0qwv,1985-12-10,,,,", "Zyxqwv,Zyxqwv,Zyxqwv!,Zyx!qwv,Zyxqwv,", "=Zyxqwv,1985-12-10,,,,", "Zyxqwv",
        '"Zyxqwv"x,1985-12-10,,,,',
    ]  # fmt: skip
    for said in outcomes(file_of("\n".join(rows))).values():
        assert isinstance(said, str)
        assert "zyx" not in said.lower()
        assert not said.startswith(("=", "+", "-", "@")), "nor is a reason a formula in the report"


def test_a_bad_row_does_not_spoil_its_neighbours():
    text = f'{GOOD}\n"bad" quotes,1985-12-10,,,,\nB,1985-12-10,A2,,,{"x" * 1_000_000}\nEve Good,1990-01-02,A3,,,\n'
    said = outcomes(file_of(text))
    assert [isinstance(s, str) for s in said.values()] == [False, True, True, False]


def test_rows_are_numbered_as_a_spreadsheet_numbers_them():
    text = f'{GOOD}"two\nlines"\n\n , ,,,,\nEve,1990-01-02,A3,,,\n'
    file = file_of(text)
    assert list(outcomes(file)) == [2, 5]
    assert sum(judged.is_empty for judged in importing.judge(file)) == 2
    assert file.last_row == 5


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(end):
    text = (HEAD + GOOD + "\nEve,1990-01-02,A3,,,\n").replace("\n", end)
    assert list(outcomes(file_of(text.encode()))) == [2, 3]


def test_a_quotation_mark_that_is_never_closed_stops_the_file_before_anything_is_added():
    with pytest.raises(BadFile, match=r"row 3 is never closed"):
        file_of(f'{GOOD}\nEve,1990-01-02,A3,,,"open\nAnn,1990-01-02,A4,,,\n')


# -- rows that repeat each other -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("again", "what"),
    [
        ("Eve Else,1990-01-02,a 1,,,", "record number"),
        ("Eve Else,1990-01-02,,id-1234,,", "national id"),
    ],
)
def test_of_two_rows_for_one_patient_the_first_counts(again, what):
    said = outcomes(file_of(f"{GOOD}\n{again}\n"))
    assert said[3] == f"Row 2 has the same {what}. That row counts."


def test_the_same_row_twice_without_any_number_is_found():
    said = outcomes(file_of("Ann Lee,1990-01-02,,,,\nAnn  Lee,1990-01-02,,,,\nAnn Lee,1990-01-03,,,,\n"))
    assert said[3] == "Row 2 has the same values. That row counts."
    assert not isinstance(said[4], str)


def test_a_refused_row_does_not_count_against_a_later_one():
    said = outcomes(file_of("Ann,bad date,A1,,,\nAnn,1990-01-02,A1,,,\n"))
    assert not isinstance(said[3], str)


# -- encodings, delimiters, dates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "codec", "mark"),
    [("utf-8", "utf-8", b""), ("utf-8-bom", "utf-8", b"\xef\xbb\xbf"), ("latin-1", "latin-1", b""),
     ("windows-1252", "cp1252", b"")],
)  # fmt: skip
def test_every_stated_encoding_is_read(encoding, codec, mark):
    data = mark + (HEAD + "Zoë Müller,1990-01-02,,,,\n").encode(codec)
    [record] = outcomes(file_of(data, encoding=encoding)).values()
    assert record.values["name"] == "Zoë Müller"


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (HEAD.encode() + "Zoë,1990-01-02,,,,".encode("latin-1"), "utf-8", "Line 2 is not utf-8"),
        (b"\xef\xbb\xbf" + HEAD.encode(), "utf-8", "utf-8-bom"),
        (b"\xef\xbb\xbf" + HEAD.encode(), "latin-1", "utf-8-bom"),
        (HEAD.encode(), "utf-8-bom", "does not begin"),
        (HEAD.encode("utf-16"), "utf-8", "UTF-16"),
        (b"", "utf-8", "first row is empty"),
        (b"\n" + HEAD.encode(), "utf-8", "first row is empty"),
    ],
)
def test_another_encoding_than_the_stated_one_is_refused_with_advice(data, encoding, said):
    with pytest.raises(BadFile, match=said):
        file_of(data, encoding=encoding)


def test_a_wrong_encoding_that_happens_to_decode_is_found_by_what_is_no_text():
    data = HEAD.encode() + "Zo\x89,1990-01-02,,,,".encode("latin-1")
    [said] = outcomes(file_of(data, encoding="latin-1")).values()
    assert "encoding" in said


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(sign):
    text = io.StringIO()
    csv.writer(text, delimiter=sign).writerows([["Name", "Date of birth", "Notes"], ["A, B; C|D", "1990-01-02", "x"]])
    [record] = outcomes(file_of(text.getvalue().encode())).values()
    assert record.values["name"] == "A, B; C|D"


@pytest.mark.parametrize(("dates", "typed"), [("dmy", "17/03/1984"), ("dmy", "17.3.1984"), ("mdy", "03-17-1984")])
def test_dates_in_another_order_are_read_when_it_is_stated(dates, typed):
    [record] = outcomes(file_of(f"Ann,{typed},,,,\n", dates=dates)).values()
    assert record.values["birth_date"] == "1984-03-17"


# -- columns -----------------------------------------------------------------------------------------------------


def test_headers_in_plain_english_are_understood():
    heads = ["MRN", "First Name", "SURNAME", "D.O.B.", "NHS number", "Mobile", "E-mail", "Home address", "Remarks"]
    assert columns_of(heads, {}) == [
        *(
            "record_number",
            "given_name",
            "family_name",
            "birth_date",
            "national_id",
            "phone",
            "email",
            "address",
            "notes",
        )
    ]


def test_given_and_family_name_make_one_name():
    [record] = outcomes(file_of("Ada,Lovelace,1985-12-10\n", head="first name,surname,dob\n")).values()
    assert record.values["name"] == "Ada Lovelace"


def test_a_column_is_what_the_map_says():
    stated = parse_map("Client = name, 3=ignore,2=date of birth")
    assert columns_of(["Client", "When", "Shoe size"], stated) == ["name", "birth_date", "ignore"]


@pytest.mark.parametrize(
    ("heads", "stated", "said"),
    [
        (["name", "dob", "name"], "", "Two columns are name"),
        (["name", "dob", "Patient"], "", "Two columns are name"),
        (["name", "dob", "surname"], "", "whole names and parts"),
        (["name", "dob", "shoe size"], "", "column 3 (“shoe size”)"),
        (["name", "phone"], "", "date of birth"),
        (["first name", "dob"], "", "A name and a date"),
        (["name", "dob"], "9=phone", "does not have"),
        (["name", "dob"], "phone", "takes pairs"),
        (["name", "dob"], "2=shoe", "takes pairs"),
    ],
)
def test_columns_that_are_not_clear_are_refused_with_advice(heads, stated, said):
    with pytest.raises(BadColumns) as refused:
        columns_of(heads, parse_map(stated))
    assert said in str(refused.value)


def test_a_file_without_headers_is_refused_and_its_first_patient_not_quoted():
    with pytest.raises(BadColumns) as refused:
        file_of("", head="Ada Lovelace,1985-12-10,020 7946 0001\n")
    assert "has to name the columns" in str(refused.value)
    assert "Ada" not in str(refused.value)


def test_a_row_of_another_width_is_no_record():
    file = file_of("")
    row = next(file_of("a,b\n").rows())
    with pytest.raises(BadRow):
        record_of(file, row)
