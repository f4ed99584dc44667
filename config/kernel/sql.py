"""
SQL stands in files: `<app>/sql/*.sql`, each query named and commented.

    -- name: claim_chunk
    -- Take the lowest pending chunk. Skips rows that others are taking.
    UPDATE …

After `queries = load_queries("ingestion", "queue")` – or without the file's name for all files of the app –
`queries.claim_chunk` is the text of that query without its leading comments. Modelled on procrastinate's loader.
"""

import fnmatch
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

NAME = re.compile(r"^--\s*name:\s*(?P<name>.*?)\s*$")


class QueryFileError(Exception):
    """A file of queries is not in order; the message says where."""


class Queries:
    """Named queries as attributes."""

    def __init__(self, package: str, texts: dict[str, str]) -> None:
        self._package, self._texts = package, texts

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(f"{self._package}/sql has no query named {name!r}") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._texts.items())


@cache
def load_queries(package: str, file: str = "*") -> Queries:
    """
    Read the queries of `<package>/sql/<file>.sql`, once a process.

    Args:
        package: dotted name of the package that has the folder `sql`.
        file: name without its ending; "*" for all files, whose names of queries must then differ.
    Raises:
        QueryFileError: no such file, SQL before the first name, an empty query, a bad name or the same twice.
    """
    texts: dict[str, str] = {}
    folder = files(package).joinpath("sql")
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    found = sorted(fnmatch.filter(names, f"{file}.sql"))
    if not found:
        raise QueryFileError(f"{package}/sql/{file}.sql does not exist")
    for name in found:
        _read(f"{package}/sql/{name}", folder.joinpath(name).read_text(encoding="utf-8"), texts)
    return Queries(package, texts)


def _read(where: str, content: str, texts: dict[str, str]) -> None:
    head, *parts = re.split(r"^(?=--\s*name:)", content, flags=re.MULTILINE)
    if _without_leading_comments(head):
        raise QueryFileError(f"{where}: there is SQL before the first `-- name:`")
    for part in parts:
        first, _, rest = part.partition("\n")
        match = NAME.match(first)
        name = match["name"] if match else ""
        if not name.isidentifier() or name.startswith("_"):
            raise QueryFileError(f"{where}: {first!r} does not give a name that is an identifier")
        if name in texts:
            raise QueryFileError(f"{where}: the name {name!r} is given twice in this package")
        texts[name] = _without_leading_comments(rest)
        if not texts[name]:
            raise QueryFileError(f"{where}: the query {name!r} is empty")


def _without_leading_comments(text: str) -> str:
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        lines.pop(0)
    return "\n".join(lines).strip()
