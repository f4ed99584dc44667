"""Bars by day as SVG: no script, no library, readable without colours."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH: Final = 960
HEIGHT: Final = 160
FOOT: Final = 20
HEAD: Final = 20


def bars(values: Sequence[tuple[date, int | Decimal]], *, title: str, color: str) -> SafeString:
    """
    One bar a day, each with a tooltip, drawn up from a line of zero (and down, where refunds outweigh).

    Args:
        values: of consecutive days, the oldest first; at least one.
        title: what they are.
        color: of the bars, as CSS has it.
    """
    highest = max(0, *(float(value) for _, value in values)) if values else 0.0
    lowest = min(0, *(float(value) for _, value in values)) if values else 0.0
    scale = HEIGHT / ((highest - lowest) or 1)
    zero, step = HEAD + highest * scale, WIDTH / max(1, len(values))
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (
                f"{number * step + step * 0.1:.1f}",
                f"{zero - max(0.0, float(value)) * scale:.1f}",
                f"{step * 0.8:.1f}",
                f"{abs(float(value)) * scale:.1f}",
                day.isoformat(),
                f"{value:,}",
            )
            for number, (day, value) in enumerate(values)
        ),
    )
    return format_html(
        '<svg viewBox="0 0 {} {}" width="100%" role="img" aria-label="{}" font-family="sans-serif" font-size="12">'
        '<text x="0" y="14" fill="currentColor">{}: at most {} a day</text><g fill="{}">{}</g>'
        '<line x1="0" x2="{}" y1="{}" y2="{}" stroke="currentColor" stroke-width="0.5"/>'
        '<text x="0" y="{}" fill="currentColor">{}</text><text x="{}" y="{}" text-anchor="end" fill="currentColor">{}'
        "</text></svg>",
        WIDTH, HEAD + HEIGHT + FOOT, title, title, f"{max(value for _, value in values):,}", color, drawn,
        WIDTH, f"{zero:.1f}", f"{zero:.1f}", HEAD + HEIGHT + FOOT - 5, values[0][0].isoformat(),
        WIDTH, HEAD + HEIGHT + FOOT - 5, values[-1][0].isoformat(),
    )  # fmt: skip
