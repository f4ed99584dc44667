"""What a stopped import did not process, as a file that can be loaded: the header, and the bytes of those records."""

from collections.abc import Iterator
from typing import Final

from ingestion import states
from ingestion.models import Chunk, Import, Reject, Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.reader import ByteSource

COPY_BYTES: Final = 1 << 20
Range = tuple[int, int]
"""Offset of the first byte, and of the one behind the last."""


def unprocessed_parts(*, owner: Import, sources: list[SourceRow]) -> Iterator[bytes]:
    """
    The records of a stopped import that have no outcome, byte for byte, behind the bytes that stood before the first.

    These are the chunks that were not merged, of the chunk at which an error limit tripped those that were not
    rejected, and what was not planned yet.

    Args:
        sources: with the same preface.
    Raises:
        ingestion.reader.SourceUnavailable: when the first part is asked for: the bytes are gone.
    """
    first = True
    for source in sources:
        bytes_of = source_from_descriptor(source.descriptor)
        for begin, end in _ranges(owner, source):
            for part in _copied(bytes_of, begin, end):
                if first:
                    yield bytes(source.preface)
                    first = False
                yield part
    if first:
        yield bytes(sources[0].preface)


def _ranges(owner: Import, source: SourceRow) -> Iterator[tuple[int, int | None]]:
    """In file order; the last one may have no end: it goes on to the end of the source."""
    planned_to: int = source.dialect["body_offset"]
    chunks = Chunk.objects.filter(owner=owner, source=source.number).order_by("number")
    for chunk in list(chunks.only("number", "offset", "length", "state")):
        planned_to = chunk.offset + chunk.length
        yield from _unprocessed(owner, chunk)
    # The planner writes it when it has seen the last byte.
    if not source.sha256:
        yield planned_to, None


def _unprocessed(owner: Import, chunk: Chunk) -> Iterator[Range]:
    if chunk.state == states.DONE:
        return
    begin, end = chunk.offset, chunk.offset + chunk.length
    if chunk.state == states.STOPPED:
        rejected = Reject.objects.filter(owner=owner, chunk=chunk.number, position=0).order_by("record")
        for offset, length in rejected.values_list("offset", "length"):
            if offset > begin:
                yield begin, offset
            begin = offset + length
    if end > begin:
        yield begin, end


def _copied(bytes_of: ByteSource, begin: int, end: int | None) -> Iterator[bytes]:
    if end is None:
        yield from bytes_of.blocks_from(begin)
        return
    for start in range(begin, end, COPY_BYTES):
        yield bytes_of.read(start, min(COPY_BYTES, end - start))
