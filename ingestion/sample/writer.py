"""Weave planted records into the clean ones, and keep the books."""

import hashlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ingestion.sample import catalogue
from ingestion.sample.clean import CleanBlock, CleanRecords
from ingestion.sample.drafts import Draft
from ingestion.sample.kinds import KINDS
from ingestion.sample.layout import Planting, lay_out
from ingestion.sample.manifest import Expected, Manifest, PlantedRecord
from ingestion.sample.spec import SampleSpec


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


def write_sample(spec: SampleSpec, sink: Sink, *, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """
    Write a sample file.

    Args:
        spec: what it shall look like; the same spec gives the same bytes.
        sink: takes the decompressed bytes in blocks of up to some megabytes.
        progress: called after each block with (records, bytes) so far.
    Raises:
        SampleError: a wished-for kind of record is unknown or cannot be had in such a file.
    """
    plantings = lay_out(spec)
    clean = CleanRecords(spec, spec.rows - len(plantings))
    weaver = _Weaver(spec, sink, clean, plantings)
    weaver.header()
    for block in clean.blocks():
        weaver.block(block)
        if progress is not None:
            progress(weaver.record - 1, weaver.offset)
    weaver.rest()
    return weaver.manifest()


class _Weaver:
    """The position in the file, and what was planted so far."""

    def __init__(self, spec: SampleSpec, sink: Sink, clean: CleanRecords, plantings: list[Planting]) -> None:
        self.record = 1
        self.line = 1
        self.offset = 0
        self._spec = spec
        self._sink = sink
        self._clean = clean
        self._waiting = plantings[::-1]
        self._planted: list[PlantedRecord] = []
        self._new_items = 0
        self._hash = hashlib.sha256()

    def header(self) -> None:
        """Write the byte order mark and the header."""
        self._put(self._spec.mark + self._spec.encode(self._spec.header().encode("ascii")))
        self.line += 1

    def block(self, block: CleanBlock) -> None:
        """Write clean records, and between them the planted ones whose turn it is."""
        if not self._is_due(block.count):
            self._put_clean(block.text, block.count)
            return
        ends = np.concatenate([[0], block.ends()])
        done = 0
        while self._is_due(block.count - done):
            until = done + self._waiting[-1].record - self.record
            self._put_clean(block.text[ends[done] : ends[until]], until - done)
            done = until
            self._plant(self._waiting.pop())
        self._put_clean(block.text[ends[done] :], block.count - done)

    def rest(self) -> None:
        """Write the planted records behind the last clean one."""
        while self._waiting:
            self._plant(self._waiting.pop())

    def manifest(self) -> Manifest:
        """The books, once all is written."""
        expected = Expected(
            records=self.record - 1,
            loaded=self._clean.records,
            users=self._clean.population.users,
            items=int(self._clean.items_seen.sum()) + self._new_items,
            orders=self._clean.population.orders,
        )
        for planted in self._planted:
            _count(expected, planted)
        return Manifest(self._spec, self.offset, self._hash.hexdigest(), expected, self._planted)

    def _is_due(self, clean_records: int) -> bool:
        return bool(self._waiting) and self._waiting[-1].record - self.record < clean_records

    def _put(self, raw: bytes) -> None:
        self._sink.write(raw)
        self._hash.update(raw)
        self.offset += len(raw)

    def _put_clean(self, text: bytes, count: int) -> None:
        if not count:
            return
        self._put(self._spec.encode(text))
        self.record += count
        self.line += count

    def _plant(self, planting: Planting) -> None:
        kind = KINDS[planting.kind]
        written = kind.write(self._draft(planting))
        number = self._spec.columns.index(written.column) + 1 if written.column else None
        planted = PlantedRecord(
            record=self.record,
            line=self.line,
            offset=self.offset,
            length=len(written.raw),
            kind=planting.kind,
            outcome=kind.outcome,
            code=kind.code,
            column=written.column,
            column_number=number,
            value=written.value,
        )
        self._planted.append(planted)
        self._new_items += kind.outcome == "loaded" and kind.new_item
        self._put(written.raw)
        self.record += 1
        self.line += written.raw.count(self._spec.newline.encode(self._spec.codec))

    def _draft(self, planting: Planting) -> Draft:
        """A record with an order of its own, right behind the order of the clean record before it."""
        clean_before = self.record - 1 - len(self._planted)
        fields = {
            "order_id": f"{self._clean.order_id(clean_before - 1)}-p{self.record}",
            "user_id": f"p{self.record:08d}",
            "sku": f"sku-p{self.record:08d}",
            "quantity": "3",
            "item_name": f"Planted item {self.record}",
            "unit_price": "12.50",
            "currency": "EUR",
            "ordered_at": "2026-12-31T12:00:00Z",
            "country": "AT",
            "user_name": "Planted User",
            "user_email": f"planted.{self.record}@example.com",
            "line_no": "1",
            "status": "placed",
            "user_age": "42",
            "user_country": "AT",
            "roles": "",
        }
        return Draft(self._spec, fields, planting.serial, self._known_item())

    def _known_item(self) -> tuple[str, str]:
        """The item of the first clean record."""
        number = self._clean.population.items_of(np.zeros(1, dtype=np.int64))
        texts = (matrix.tobytes().translate(None, b"\0").decode("ascii") for matrix in _item(number))
        return next(texts), next(texts)


def _item(number: catalogue.Ints) -> tuple[catalogue.Bytes, catalogue.Bytes]:
    return catalogue.skus(number), catalogue.item_names(number)


def _count(expected: Expected, planted: PlantedRecord) -> None:
    if planted.outcome == "loaded":
        expected.loaded += 1
        expected.users += 1
        expected.orders += 1
        return
    code = planted.code or planted.kind
    if planted.outcome == "ignored":
        expected.ignored[code] = expected.ignored.get(code, 0) + 1
    else:
        expected.rejected += 1
        expected.errors[code] = expected.errors.get(code, 0) + 1
