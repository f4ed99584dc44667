"""A figure beside its goal: one line of a benchmark's table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """
    One line of the table.

    Args:
        ours, beside: figures with their unit, as texts.
        figure: what the goal is about.
        goal: the highest `figure` (or the lowest, with `at_least`) that is good.
    """

    what: str
    ours: str
    beside: str
    figure: float
    goal: float
    unit: str = "×"
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal

    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "**missed**"
        return [
            self.what, self.ours, self.beside, f"{self.figure:.2f} {self.unit}", f"{sign} {self.goal:g} {self.unit}",
            verdict,
        ]  # fmt: skip
