"""Numbers of lines, for any mixture of given and missing ones."""

import pytest
from hypothesis import given, strategies as st

from orders.drafts import LineDraft
from orders.errors import LineNumbersUsedUpError, RepeatedLineError
from orders.lines import MAX_LINE_NO, number_lines

NUMBERS = st.one_of(st.none(), st.integers(1, 30), st.integers(MAX_LINE_NO - 3, MAX_LINE_NO))


@given(st.lists(NUMBERS, max_size=12), st.integers(0, 40))
def test_each_line_has_a_number_of_its_own(numbers: list[int | None], after: int) -> None:
    drafts = [LineDraft(sku=str(position), line_no=number) for position, number in enumerate(numbers)]
    given_numbers = [number for number in numbers if number is not None]
    try:
        numbered = number_lines(drafts, after=after)
    except RepeatedLineError:
        assert len(set(given_numbers)) < len(given_numbers)
        return
    except LineNumbersUsedUpError:
        assert max(given_numbers) + numbers.count(None) > MAX_LINE_NO
        return
    assert [line.draft for line in numbered] == drafts
    assert len({line.line_no for line in numbered}) == len(numbers)
    for line in numbered:
        assert 1 <= line.line_no <= MAX_LINE_NO
        if line.draft.line_no is None:
            assert line.line_no > max([after, *given_numbers])
        else:
            assert line.line_no == line.draft.line_no


def test_missing_numbers_follow_in_the_order_of_the_lines() -> None:
    drafts = [LineDraft(), LineDraft(line_no=5), LineDraft()]
    assert [line.line_no for line in number_lines(drafts, after=0)] == [6, 5, 7]
    assert [line.line_no for line in number_lines([LineDraft(), LineDraft()], after=0)] == [1, 2]
    with pytest.raises(RepeatedLineError, match="Line 5"):
        number_lines([LineDraft(line_no=5), LineDraft(line_no=5)], after=0)
