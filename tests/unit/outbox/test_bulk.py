"""The list of newly placed orders in a bulk entry."""

import pytest
from hypothesis import given, strategies as st

from orders.outbox import bulk

IDS = st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20), min_size=1)


@given(ids=IDS, version=st.integers(1, 1000))
def test_what_is_packed_is_unpacked(ids: list[str], version: int) -> None:
    assert list(bulk.decode(bulk.encode(ids, version=version))) == [(order_id, version) for order_id in ids]


def test_neighbours_take_little_room() -> None:
    ids = [f"order-{number:09d}" for number in range(45_000)]
    assert len(bulk.encode(ids)) / len(ids) < 8


@pytest.mark.parametrize("payload", [b"", b"SB2anything", b"{}"])
def test_another_format_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="format"):
        list(bulk.decode(payload))
