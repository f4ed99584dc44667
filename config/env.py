"""Typed readers of environment variables. `NAME_FILE` names a file whose content is the value (Docker, Kubernetes)."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def env_str(name: str, default: str = "") -> str:
    """
    Value of a variable; an empty one counts as unset.

    Raises:
        ImproperlyConfigured: `NAME_FILE` names a file that cannot be read, or both are set.
    """
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and path:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; keep one.")
    if not path:
        return value or default
    try:
        return Path(path).read_text(encoding="utf-8").strip() or default
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def env_int(name: str, default: int) -> int:
    """An integer; raises ImproperlyConfigured when it is none."""
    value = env_str(name)
    try:
        return int(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be an integer, not {value!r}.") from error


def env_float(name: str, default: float) -> float:
    """A number; raises ImproperlyConfigured when it is none."""
    value = env_str(name)
    try:
        return float(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from error


def env_bool(name: str, *, default: bool) -> bool:
    """A switch: 1/true/yes/on or 0/false/no/off; raises ImproperlyConfigured for anything else."""
    value = env_str(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(sorted(TRUE | FALSE))}, not {value!r}.")
    return value in TRUE


def env_list(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Values separated by commas; blanks around them are dropped."""
    value = env_str(name)
    return [item.strip() for item in value.split(",") if item.strip()] if value else list(default)
