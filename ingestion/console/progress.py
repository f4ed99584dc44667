"""Progress on standard error: a live display on a terminal, a plain line now and then in a pipe."""

import sys
import time
from collections import deque
from datetime import UTC
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ingestion.console.numbers import duration, size
from ingestion.selectors import Progress

PLAIN_SECONDS: Final = 5.0
RATE_WINDOW_SECONDS: Final = 10.0
CAUSES_SHOWN: Final = 6


class Display(Protocol):
    """Shows progress until it is closed."""

    def show(self, progress: Progress) -> None:
        """Show the newest state."""

    def note(self, text: str) -> None:
        """Say something that stays."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Rate:
    """Bytes and records per second over the last seconds, and what is left at that rate."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int, int]] = deque()

    def add(self, progress: Progress) -> None:
        """Note a state."""
        now = time.monotonic()
        self._points.append((now, progress.bytes_done, progress.records_done))
        while len(self._points) > 2 and now - self._points[1][0] > RATE_WINDOW_SECONDS:
            self._points.popleft()

    @property
    def per_second(self) -> tuple[float, float]:
        """(bytes, records) per second."""
        if len(self._points) < 2:
            return 0.0, 0.0
        (start, first_bytes, first_records), (end, last_bytes, last_records) = self._points[0], self._points[-1]
        elapsed = max(end - start, 1e-6)
        return (last_bytes - first_bytes) / elapsed, (last_records - first_records) / elapsed


def left_seconds(progress: Progress, total: int | None, bytes_per_second: float) -> float | None:
    """Seconds to go; None while nobody can tell."""
    if total is None or bytes_per_second <= 0:
        return None
    return max(0, total - progress.bytes_done) / bytes_per_second


class PlainDisplay:
    """One line every few seconds, and only when something changed."""

    def __init__(self, *, total_bytes: int | None, out: TextIO) -> None:
        self._total = total_bytes
        self._out = out
        self._rate = Rate()
        self._shown = time.monotonic()
        self._last: tuple[int, bool] = (-1, False)

    def show(self, progress: Progress) -> None:
        self._rate.add(progress)
        news = progress.bytes_done, progress.slowed_since is not None
        if time.monotonic() - self._shown < PLAIN_SECONDS or news == self._last:
            return
        self._shown, self._last = time.monotonic(), news
        self.note(_line(progress, self._total, self._rate))

    def note(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def close(self) -> None:
        pass


def _line(progress: Progress, known_total: int | None, rate: Rate) -> str:
    total = progress.bytes_total or known_total
    bytes_rate, records_rate = rate.per_second
    parts = [
        f"{progress.bytes_done / total:4.0%}" if total else "",
        f"{size(progress.bytes_done)}" + (f" of {size(total)}" if total else ""),
        f"{progress.records_done:,} records",
        f"{records_rate:,.0f} records/s",
    ]
    left = left_seconds(progress, total, bytes_rate)
    if left is not None:
        parts.append(f"{duration(left)} left")
    if progress.outcomes.get("rejected"):
        causes = ", ".join(f"{code} {number:,}" for code, number in list(progress.errors.items())[:CAUSES_SHOWN])
        parts.append(f"{progress.outcomes['rejected']:,} rejected ({causes})")
    if progress.slowed_since is not None:
        since = progress.slowed_since.astimezone(UTC)
        parts.append(f"waits for the outbox since {since:%H:%M:%S} UTC (OUTBOX_MAX_LAG_SECONDS)")
    return "  ".join(part for part in parts if part)


class LiveDisplay:
    """A bar, the rate, the time left, and rejects by cause, redrawn in place."""

    def __init__(self, *, total_bytes: int | None, console: Console) -> None:
        self._total = total_bytes
        self._rate = Rate()
        # Drawn only when told to: a drawing thread would not survive the fork of a worker.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, progress: Progress) -> None:
        self._rate.add(progress)
        total = progress.bytes_total or self._total
        parts: list[RenderableType] = [
            ProgressBar(total=total or 1, completed=progress.bytes_done, width=60),
            Text(_line(progress, self._total, self._rate)),
        ]
        if progress.errors:
            parts.append(_causes(progress))
        self._live.update(Group(*parts), refresh=True)

    def note(self, text: str) -> None:
        self._live.console.print(text, highlight=False)

    def close(self) -> None:
        self._live.stop()


def _causes(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for code, number in list(progress.errors.items())[:CAUSES_SHOWN]:
        table.add_row(code, f"{number:,}", style="yellow")
    return table


def make_display(*, total_bytes: int | None) -> Display:
    """The display that suits standard error."""
    if sys.stderr.isatty():
        return LiveDisplay(total_bytes=total_bytes, console=Console(stderr=True))
    return PlainDisplay(total_bytes=total_bytes, out=sys.stderr)
