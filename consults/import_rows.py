"""A patient list as rows: read strictly from CSV, each row a new record or one sentence that says why it is none.

Row numbers are those of a spreadsheet: the header is row 1, a row may span lines, empty rows count.
"""

import csv
import datetime as dt
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from consults.import_columns import IGNORE, columns_of, known_in
from vault.bulk import NewRecord
from vault.core.fields import KINDS
from vault.core.terms import record_number as as_looked_up
from vault.patients import BadFields, normalise

#: what a person states -> Python's codec, and the mark the file must begin with
ENCODINGS = {"utf-8": ("utf-8", b""), "utf-8-bom": ("utf-8", b"\xef\xbb\xbf"), "latin-1": ("latin-1", b""),
             "windows-1252": ("cp1252", b"")}  # fmt: skip
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
DATES = {"iso": "%Y-%m-%d", "dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y"}
#: no field takes as much; a cell beyond is a slip of the quotation marks
LONGEST_CELL = 10_000
#: the longest file, read into memory whole: a hundred times the list of a large clinic
MOST_BYTES = 1 << 30
_RECORD_NUMBER = re.compile(r"[A-Z0-9][A-Z0-9._/-]{0,23}")
#: invisible, and part of names in some scripts
_JOINERS = "\u200c\u200d"
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class BadFile(Exception):
    """The file cannot be read at all; the message says what to do, and holds nothing of the file."""


class BadRow(Exception):
    """The row is no record; the message says why, without a word of the row."""


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    cells: list[str] = field(repr=False)
    fault: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.fault and not any(cell.strip() for cell in self.cells)


@dataclass(slots=True)
class CsvFile:
    """The list, in memory as it came, and how it is read."""

    text: str = field(repr=False)
    digest: str
    encoding: str
    delimiter: str
    dates: str
    columns: list[str]
    last_row: int = field(default=1)

    @property
    def reading(self) -> dict[str, object]:
        return {"encoding": self.encoding, "delimiter": self.delimiter, "dates": self.dates, "columns": self.columns}

    def rows(self) -> Iterator[Row]:
        """Every row after the header."""
        reader = _reader(self.text, self.delimiter)
        next(reader)
        number = 1
        while True:
            number += 1
            try:
                yield Row(number, next(reader))
            except StopIteration:
                return
            except csv.Error:
                yield Row(number, [], "The quotation marks of this row do not fit.")


def read(data: bytes, *, encoding: str, delimiter: str = "", dates: str = "iso", stated: dict[str, str]) -> CsvFile:
    """The file as rows, or `BadFile`, or `BadColumns`. `delimiter`: one of DELIMITERS, or "" to find out."""
    if len(data) > MOST_BYTES:
        raise BadFile("The file is larger than one gigabyte. Split it.")
    text = _decoded(data, encoding)
    sign = DELIMITERS[delimiter] if delimiter else _likely_delimiter(text)
    try:
        headers = next(_reader(text, sign), [])
    except csv.Error:
        raise BadFile("The quotation marks of the first row do not fit.") from None
    if not any(header.strip() for header in headers):
        raise BadFile("The first row is empty. It has to name the columns.")
    columns = columns_of(headers, stated)
    file = CsvFile(text, hashlib.sha256(data).hexdigest(), encoding, sign, dates, columns)
    file.last_row = _last_row(file)
    return file


def _reader(text: str, sign: str) -> Iterator[list[str]]:
    # The module's own limit would stop in the middle of a cell and take its rest for rows.
    csv.field_size_limit(MOST_BYTES)
    return csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)


def _decoded(data: bytes, encoding: str) -> str:
    codec, mark = ENCODINGS[encoding]
    found = next((m for m in _MARKS if data.startswith(m)), b"")
    if found == _MARKS[0] and not mark:
        raise BadFile("The file begins with the mark of UTF-8. Say --encoding utf-8-bom.")
    if found and found != mark:
        raise BadFile("The file is UTF-16. Save it as UTF-8.")
    if mark and not found:
        raise BadFile("The file does not begin with the mark of UTF-8. Say --encoding utf-8.")
    try:
        return data[len(mark) :].decode(codec)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFile(
            f"Line {line} is not {encoding}. Older spreadsheets write --encoding windows-1252 or latin-1."
        ) from None


def _likely_delimiter(text: str) -> str:
    """The one under which the first row names most columns, or has most."""
    first = text[: text.find("\n", 0, LONGEST_CELL)] if "\n" in text[:LONGEST_CELL] else text[:LONGEST_CELL]

    def likelihood(sign: str) -> tuple[int, int]:
        headers = [cell.strip('" \r') for cell in first.split(sign)]
        return known_in(headers), len(headers)

    return max(DELIMITERS.values(), key=likelihood)


def _last_row(file: CsvFile) -> int:
    last = 1
    reader = _reader(file.text, file.delimiter)
    while True:
        try:
            next(reader)
        except StopIteration:
            return last - 1
        except csv.Error as error:
            if "end of data" in str(error):
                raise BadFile(
                    f"A quotation mark in row {last} is never closed, so nothing after it can be told apart. Mend it."
                ) from None
        last += 1


def record_of(file: CsvFile, row: Row) -> NewRecord:
    """The row as a record with normalised values; record_number is "" when the row has none. `BadRow` says why not."""
    if row.fault:
        raise BadRow(row.fault)
    if len(row.cells) != len(file.columns):
        raise BadRow(f"The row has {len(row.cells)} columns, the first row has {len(file.columns)}.")
    cells = {c: cell for c, cell in zip(file.columns, row.cells, strict=True) if c != IGNORE and cell.strip()}
    for column, cell in cells.items():
        _is_text(column, cell)
    number = as_looked_up(cells.pop("record_number", ""))
    if number and not _RECORD_NUMBER.fullmatch(number):
        raise BadRow("Record number: at most 24 letters, digits, dots, dashes and slashes.")
    parts = [cells.pop(part, "") for part in ("given_name", "family_name")]
    if any(parts):
        cells["name"] = " ".join(parts)
    if "birth_date" in cells:
        cells["birth_date"] = _iso(cells["birth_date"].strip(), file.dates)
    return NewRecord(_normalised(cells), number)


def _normalised(cells: dict[str, str]) -> dict[str, str]:
    missing = [KINDS[f].label.lower() for f in ("name", "birth_date") if f not in cells]
    if missing:
        raise BadRow(f"The {' and the '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    try:
        return normalise(cells)
    except BadFields as error:
        raise BadRow(" ".join(f"{KINDS[f].label}: {said}" for f, said in error.errors.items())) from None


def _is_text(column: str, cell: str) -> None:
    """What a person typed into a list, and nothing that only a program would put there."""
    label = column.replace("_", " ").capitalize()
    if len(cell) > LONGEST_CELL:
        raise BadRow(f"{label}: the cell has more than {LONGEST_CELL:,} letters.")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") and c not in "\t\r\n" for c in cell):
        raise BadRow(f"{label}: the cell has characters that are no text. Is the encoding right?")
    if any(unicodedata.category(c) == "Cf" and c not in _JOINERS for c in cell):
        raise BadRow(f"{label}: the cell has invisible characters, which can turn the direction of writing.")
    first = cell.lstrip()[0]
    if first in "=@" or (first in "+-" and column not in ("phone", "notes", "address")):
        raise BadRow(f"{label}: the cell begins with the sign of a formula.")


def _iso(text: str, dates: str) -> str:
    if dates == "iso":
        return text
    try:
        read = dt.datetime.strptime(re.sub(r"[.\-]", "/", text), DATES[dates])  # noqa: DTZ007  (a date has no zone)
    except ValueError:
        raise BadRow(f"Date of birth: it is not in the order that --dates {dates} says.") from None
    return read.date().isoformat()
