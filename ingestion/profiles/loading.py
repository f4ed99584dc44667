"""Profiles by name (built in) or by path (TOML files)."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ingestion.profiles.definition import Profile
from ingestion.profiles.errors import Problem, ProfileError, UnknownProfile
from ingestion.profiles.parsing import closest

DEFAULT = "sluice"


@lru_cache(maxsize=1)
def builtin_names() -> tuple[str, ...]:
    """Names of the profiles that ship with the code."""
    folder = resources.files("ingestion.profiles") / "builtin"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_profile(name_or_path: str | Path = DEFAULT) -> Profile:
    """
    Load a built-in profile by name or any profile from a TOML file.

    Raises:
        UnknownProfile: no built-in profile of that name and no such file.
        ProfileError: the file is not TOML, or lists everything that is wrong in it.
    """
    source = str(name_or_path)
    if isinstance(name_or_path, str) and source in builtin_names():
        entry = resources.files("ingestion.profiles") / "builtin" / f"{source}.toml"
        return _parse(entry.read_bytes(), source)
    path = Path(name_or_path)
    if not path.is_file():
        problem = Problem(source, "neither a built-in profile nor a file", closest(source, builtin_names()))
        raise UnknownProfile(source=source, problems=[problem])
    try:
        return _parse(path.read_bytes(), source)
    except OSError as error:
        raise ProfileError(source=source, problems=[Problem(source, f"cannot be read: {error.strerror}")]) from error


def _parse(content: bytes, source: str) -> Profile:
    try:
        data = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = Problem("TOML", str(error), "texts stand in quotes, sections in [brackets]")
        raise ProfileError(source=source, problems=[problem]) from error
    data.setdefault("name", Path(source).stem.lower())
    return Profile.from_mapping(data, source=source)
