"""Medians, ratios and the table."""

from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks.contenders.contender import Contender, Measurement

MIB: Final = 1 << 20
HEADER: Final = (
    "what",
    "records",
    "records/s (median)",
    "lowest–highest",
    "time ÷ limit's",
    "Sluice is faster by",
    "peak",
)


@dataclass
class Results:
    """
    The measurements of all contenders, by key and in the order of the rounds.

    Args:
        headline: key of the contender that the others are compared with.
        failures: by key, why a contender did not get through.
    """

    headline: str
    contenders: list[Contender] = field(default_factory=list)
    measured: dict[str, list[Measurement]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, contender: Contender, measurement: Measurement) -> None:
        """Take in one run."""
        if contender.key not in self.measured:
            self.contenders.append(contender)
        self.measured.setdefault(contender.key, []).append(measurement)

    def rate(self, key: str) -> float | None:
        """The median rate in records per second."""
        return median(one.rate for one in self.measured[key]) if key in self.measured else None

    def against_limit(self, contender: Contender) -> float | None:
        """
        Its time a record over that of the limit at the same number of connections.

        The median over the rounds of the ratio within a round, so that a machine whose speed drifts disturbs little.
        """
        limits = self.measured.get(f"limit{contender.connections}", [])
        own = self.measured[contender.key]
        ratios = [limit.rate / one.rate for one, limit in zip(own, limits, strict=False)]
        return median(ratios) if ratios else None

    def rows(self) -> list[tuple[str, ...]]:
        """The table, a line for each contender."""
        return [self._row(contender) for contender in self.contenders]

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *self.rows()]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

    def plain(self) -> str:
        """The table for a terminal."""
        lines = [HEADER, *[tuple(cell.replace("*", "").replace("`", "") for cell in row) for row in self.rows()]]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
        return "\n".join(
            "  ".join(
                [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            )
            for line in lines
        )

    def _row(self, contender: Contender) -> tuple[str, ...]:
        runs = self.measured[contender.key]
        rates = sorted(run.rate for run in runs)
        own, headline = median(rates), self.rate(self.headline)
        ratio = self.against_limit(contender)
        spread = f"{_rounded(rates[0])}–{_rounded(rates[-1])}" if len(rates) > 1 else "one run"
        return (
            contender.label,
            f"{runs[0].records:,}",
            _rounded(own),
            spread,
            f"{ratio:.2f}" if ratio else "",
            f"{headline / own:.2f}×" if headline else "",
            f"{max(run.peak_bytes for run in runs) / MIB:,.0f} MiB",
        )


def _rounded(rate: float) -> str:
    """Three significant digits are more than the machine is good for."""
    digits = max(0, len(str(int(rate))) - 3)
    return f"{round(rate, -digits):,.0f}"
