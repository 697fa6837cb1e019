"""CSV and Parquet as rows: a column of prompts, and maybe one of names.

Parquet may have conversations instead, in a column `messages` or `conversations`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any

from ..errors import BadInput

PROMPT_COLUMNS = ("prompt", "question", "text", "input")
"""What a column of prompts may be called; where there is only one column, it is that one."""

CONVERSATION_COLUMNS = ("messages", "conversations")

_ID_COLUMNS = ("custom_id", "id")

_QUOTED = re.compile(r'"[^"]*"')

_ROWS_AT_ONCE = 1024


def csv_rows(file: IO[bytes], column: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a CSV file as `{"prompt": ...}`, each with the line where it ends.

    Args:
        file: The file, in UTF-8, with a line of column names, between commas, semicolons or tabs.
        column: The column of prompts; None to find it by its name.

    Raises:
        BadInput: It is no CSV, or has no such column.
    """
    # Nothing of a file is so long, and the library's own limit is 128 kB.
    csv.field_size_limit(2**31 - 1)
    lines = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        header = lines.readline()
    except UnicodeDecodeError as error:
        raise BadInput("not UTF-8", 1) from error
    whole = chain(filter(None, [header]), lines)
    table = csv.reader(whole, delimiter=_delimiter(header), strict=True)
    try:
        names = next(table, None)
        if names is None:
            return
        prompt, name = prompt_column(names, column), _first(_ID_COLUMNS, names)
        for cells in table:
            if not any(cells):
                continue
            if len(cells) != len(names):
                reason = f"{len(cells)} cells, but {len(names)} columns"
                raise BadInput(reason, table.line_num)
            row = dict(zip(names, cells, strict=True))
            yield table.line_num, _as_prompt(row, prompt, name)
    except UnicodeDecodeError as error:
        raise BadInput("not UTF-8", table.line_num + 1) from error
    except csv.Error as error:
        raise BadInput(f"no CSV: {error}", table.line_num) from error


def parquet_rows(path: str, column: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file as `{"prompt": ...}`, or with its conversations.

    Args:
        path: The path of the file.
        column: The column of prompts, or of conversations; None to find it by its name.

    Raises:
        BadInput: It is no Parquet, has no such column, or pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        needed = "pip install 'litellm-role-guard[parquet]'"
        raise BadInput(f"Parquet needs pyarrow: {needed}") from error
    try:
        with parquet.ParquetFile(path) as file:
            names: list[str] = file.schema_arrow.names
            wanted = column or _first(CONVERSATION_COLUMNS, names)
            prompt, name = prompt_column(names, wanted), _first(_ID_COLUMNS, names)
            columns = [each for each in (prompt, name) if each is not None]
            for rows in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for row in rows.to_pylist():
                    yield _as_prompt(row, prompt, name)
    except ArrowException as error:
        raise BadInput(f"no Parquet: {' '.join(str(error).split())[:200]}") from error


def prompt_column(names: Sequence[str], wanted: str | None) -> str:
    """Return the column that has the prompts.

    Raises:
        BadInput: There is none, or it cannot be told.
    """
    if wanted is not None:
        if wanted not in names:
            raise BadInput(f"no column {wanted!r}, only: {', '.join(names)}")
        return wanted
    found = _first(PROMPT_COLUMNS, names) or (names[0] if len(names) == 1 else None)
    if found is None:
        raise BadInput(f"which column has the prompts? --column: {', '.join(names)}")
    return found


def _delimiter(header: str) -> str:
    # Excel writes semicolons where a comma is what stands before the decimals.
    bare = _QUOTED.sub("", header)
    return next((sign for sign in ",;\t" if sign in bare), ",")


def _first(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _as_prompt(row: Mapping[str, Any], column: str, name: str | None) -> dict[str, Any]:
    value = _without_nulls(row[column])
    key = column if column in CONVERSATION_COLUMNS else "prompt"
    if isinstance(value, list):
        key = "conversations" if value and "from" in value[0] else "messages"
    named = {} if name is None or row[name] is None else {"custom_id": str(row[name])}
    return {**named, key: value}


def _without_nulls(value: Any) -> Any:
    # A table's columns have the same fields in each row, and null where one has none.
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
