"""What the columns of a patient list are, by the words in its first row. Pure."""

from vault.core.fields import fold

IGNORE = "ignore"
#: what a column can be -> the headers that say so, folded (small letters, no accents, one space)
WORDS = {
    "name": {"name", "full name", "patient", "patient name", "name of patient"},
    "given_name": {"given name", "given names", "first name", "first names", "forename", "forenames", "first"},
    "family_name": {"family name", "last name", "surname", "last"},
    "birth_date": {"birth date", "birthdate", "date of birth", "dob", "d o b", "born", "birthday"},
    "national_id": {
        *("national id", "national identifier", "national number", "national insurance number", "nhs number", "nhs no"),
        *("ssn", "social security number", "personal number", "personal id", "id number", "insurance number"),
    },
    "phone": {"phone", "phone number", "telephone", "telephone number", "tel", "mobile", "mobile number", "cell"},
    "email": {"email", "e mail", "email address", "e mail address", "mail"},
    "address": {"address", "postal address", "home address", "street address"},
    "notes": {"notes", "note", "remarks", "remark", "comment", "comments", "medical notes"},
    "record_number": {
        *("record number", "record no", "record", "mrn", "medical record number", "chart number", "chart no"),
        *("patient number", "patient no", "patient id", "file number"),
    },
}
_BY_WORD = {word: column for column, words in WORDS.items() for word in words}


class BadColumns(Exception):
    """The message says what to do. It quotes a header only when the first row is one beyond doubt."""


def column_of(header: str) -> str:
    """What this header stands for, or "" when nobody knows."""
    return _BY_WORD.get(fold(header), "")


def known_in(headers: list[str]) -> int:
    return len({column_of(header) for header in headers} - {""})


def parse_map(text: str) -> dict[str, str]:
    """`--columns "Client=name,3=ignore"`: header or position -> column."""
    stated: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        left, equals, right = part.rpartition("=")
        target = IGNORE if fold(right) == IGNORE else right.strip() if right.strip() in WORDS else column_of(right)
        if not equals or not left.strip() or not target:
            raise BadColumns(f"--columns takes pairs such as “Client=name” or “3=ignore”. Known: {', '.join(WORDS)}.")
        stated[left.strip()] = target
    return stated


def columns_of(headers: list[str], stated: dict[str, str]) -> list[str]:
    """One of WORDS or "ignore" for every column of the file."""
    left = dict(stated)
    columns = []
    for position, header in enumerate(headers, 1):
        said = left.pop(str(position), "") or left.pop(header.strip(), "")
        columns.append(said or column_of(header))
    if left:
        raise BadColumns("--columns names a column that the file does not have. Columns are counted from 1.")
    _all_known(headers, columns)
    _each_once(columns)
    _enough(columns)
    return columns


def _all_known(headers: list[str], columns: list[str]) -> None:
    unknown = [position for position, column in enumerate(columns, 1) if not column]
    if not unknown:
        return
    # A file without a header has a patient in its first row: what it says is quoted only beside known headers.
    is_header = known_in(headers) >= 2
    names = ", ".join(f"{p} (“{_printable(headers[p - 1])}”)" if is_header else str(p) for p in unknown)
    hint = "" if is_header else " The first row has to name the columns."
    raise BadColumns(
        f"Nobody knows what column {names} is.{hint} Say so with --columns, for example “{unknown[0]}=ignore”."
    )


def _printable(header: str) -> str:
    return "".join(c for c in header.strip()[:40] if c.isprintable())


def _each_once(columns: list[str]) -> None:
    used = [column for column in columns if column != IGNORE]
    twice = sorted({column for column in used if used.count(column) > 1})
    if twice:
        raise BadColumns(f"Two columns are {' and '.join(twice)}. Say with --columns which one to ignore.")
    if "name" in used and {"given_name", "family_name"} & set(used):
        raise BadColumns("The file has whole names and parts of names. Say with --columns which ones to ignore.")


def _enough(columns: list[str]) -> None:
    has_name = "name" in columns or {"given_name", "family_name"} <= set(columns)
    if not has_name or "birth_date" not in columns:
        raise BadColumns("A name and a date of birth are needed. Say with --columns which columns they are.")
