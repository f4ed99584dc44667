"""A trace for people at a terminal."""

from collections.abc import Iterator

from reports.tracing.trace import Trace

RAW_SHOWN = 300


def trace_text(trace: Trace) -> str:
    """Some lines, from the file to Kafka."""
    return "\n".join(_lines(trace))


def _lines(trace: Trace) -> Iterator[str]:
    yield f"Record {trace.record:,} of import {trace.import_id}"
    yield f"  file     {trace.source.name}{_place(trace)}"
    yield f"  text     {_raw(trace)}"
    yield f"  chunk    {trace.chunk.number}, {trace.chunk.state}" + (
        f", merged at {trace.chunk.merged_at:%Y-%m-%d %H:%M:%S} UTC" if trace.chunk.merged_at else ""
    )
    yield f"  outcome  {trace.outcome or 'not settled yet, or not to be told any more'}"
    for reject in trace.rejects:
        column = f"{reject.column_name}: " if reject.column_name else ""
        yield f"           {reject.code}: {column}{reject.message}"
    if trace.order is not None:
        yield from _order_lines(trace)


def _place(trace: Trace) -> str:
    if trace.line is None or trace.offset is None:
        return ""
    return f", line {trace.line:,}, byte {trace.offset:,}, {trace.length:,} bytes"


def _raw(trace: Trace) -> str:
    if trace.raw is None:
        return "not there any more"
    text = trace.raw.decode(trace.source.dialect.get("encoding", "utf-8"), errors="replace").rstrip("\r\n")
    text = "".join(char if char.isprintable() else "·" for char in text)
    return text if len(text) <= RAW_SHOWN else text[: RAW_SHOWN - 1] + "…"


def _order_lines(trace: Trace) -> Iterator[str]:
    order, line = trace.order, trace.order_line
    assert order is not None
    yield f"  order    {order.pk}, version {order.version}, {order.status}"
    if line is not None:
        price = "no price" if line.unit_price is None else f"{line.unit_price} {order.currency}".strip()
        yield f"  line     {line.line_no}: {line.quantity} × {line.item_id}, {price}"
    for event in trace.events:
        name = event.type.removeprefix("com.sluice.order.").removesuffix(".v1")
        yield f"  event    {event.event_id} {name}: {event.topic} {event.partition}/{event.offset}"
    if not trace.events:
        yield f"  event    {_unread(trace.published)}"


def _unread(published: bool | None) -> str:
    if published is False:
        return "not published yet: the relay has not come to it"
    if published:
        return "published, but not read here (yet, or longer ago than EVENT_HISTORY_DAYS)"
    return "none read here"
