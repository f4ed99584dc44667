"""What can be wrong with a profile, or with the meeting of a profile and a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing to mend: where it is, what stands there, what would be allowed."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class _ProblemError(ValueError):
    code = "invalid"

    def __init__(self, *, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join([self.title(), *(f"  - {problem}" for problem in self.problems)]))

    def title(self) -> str:
        return self.source


class ProfileError(_ProblemError):
    """A profile that cannot be used; `problems` lists everything that is wrong with it at once."""

    code = "invalid_profile"

    def title(self) -> str:
        return f"The profile {self.source} cannot be used:"


class UnknownProfile(ProfileError):
    """There is no built-in profile of that name and no such file."""

    code = "unknown_profile"

    def title(self) -> str:
        return f"There is no profile {self.source}:"


class SettlementError(_ProblemError):
    """The file does not have what the profile needs (or it is not clear which column is meant)."""

    code = "cannot_settle"

    def __init__(self, *, source: str, problems: Sequence[Problem], header: Sequence[str]) -> None:
        self.header = tuple(header)
        super().__init__(source=source, problems=problems)

    def title(self) -> str:
        return f"The columns of the file do not settle what to load. Its header is: {', '.join(self.header)}"
