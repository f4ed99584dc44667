"""What the benchmarks make of their measurements."""

from pathlib import Path

import pytest

from benchmarks.contenders.contender import Contender, Measurement
from benchmarks.document import NoSuchSectionError, replaced, write_section
from benchmarks.processes import MemoryWatch
from benchmarks.results import Results
from benchmarks.tenths import tenths


def contender(key: str, *, connections: int = 1) -> Contender:
    def never(*_: object) -> Measurement:
        raise AssertionError

    return Contender(key, key.upper(), never, records=1_000, rounds=3, connections=connections)


def run_of(seconds: float) -> Measurement:
    return Measurement(records=1_000, seconds=seconds, whole_seconds=seconds, peak_bytes=10 << 20)


def test_ratios_to_the_limit_are_taken_within_a_round() -> None:
    results = Results(headline="ours2")
    ours, limit = contender("ours2", connections=2), contender("limit2", connections=2)
    # The machine is three times slower in the second round and the third one has an accident.
    for own, best in ((1.2, 1.0), (3.6, 3.0), (50.0, 1.0)):
        results.add(limit, run_of(best))
        results.add(ours, run_of(own))
    assert results.against_limit(ours) == pytest.approx(1.2)
    assert results.rate("ours2") == pytest.approx(1_000 / 3.6)


def test_a_contender_is_compared_with_the_limit_at_as_many_connections() -> None:
    results = Results(headline="ours2")
    results.add(contender("limit1"), run_of(2.0))
    results.add(contender("limit2", connections=2), run_of(1.0))
    one = contender("by_hand")
    results.add(one, run_of(6.0))
    assert results.against_limit(one) == pytest.approx(3.0)


def test_the_table_has_a_line_for_each_contender_in_order() -> None:
    results = Results(headline="ours2")
    for key, seconds in (("limit2", 1.0), ("ours2", 1.25), ("by_hand", 4.0)):
        results.add(contender(key, connections=2), run_of(seconds))
    lines = results.markdown().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| LIMIT2", "| OURS2", "| BY_HAND"]
    assert "3.20×" in lines[4]
    assert "1.25" in lines[3]
    assert results.plain().count("\n") == 3


def test_tenths_of_an_even_load_are_alike() -> None:
    parts = tenths([(float(second), 100) for second in range(1, 41)], started=0.0)
    assert [part.rate for part in parts] == pytest.approx([100.0] * 10)
    assert (parts[0].start, parts[-1].stop) == (0.0, 40.0)


def test_tenths_show_a_load_that_slows_down_whatever_the_order_of_its_chunks() -> None:
    fast = [(10.0 + second, 200) for second in range(1, 11)]
    slow = [(20.0 + 2 * second, 200) for second in range(1, 11)]
    parts = tenths([*reversed(slow), *fast], started=10.0)
    assert parts[0].rate == pytest.approx(200.0)
    assert parts[-1].rate == pytest.approx(100.0)


def test_nothing_loaded_has_no_tenths() -> None:
    with pytest.raises(ValueError, match="nothing"):
        tenths([], started=0.0)


def test_memory_is_the_most_that_one_process_had() -> None:
    watch = MemoryWatch(peaks={1: 30, 2: 50}, series={1: [(0.0, 10), (5.0, 30)], 2: [(1.0, 20), (9.0, 50)]})
    assert watch.heaviest == 50
    assert watch.highest_between(0.0, 5.0) == 20
    assert watch.highest_between(20.0, 30.0) == 0


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "benchmarks.md"
    write_section("bench", "first", document=document)
    write_section("bench-10gb", "other", document=document)
    document.write_text(document.read_text() + "by a person\n")
    write_section("bench", "second", document=document)
    text = document.read_text()
    assert "<!-- bench:start -->\nsecond\n<!-- bench:end -->" in text
    assert "first" not in text
    assert "\nother\n" in text
    assert text.endswith("by a person\n")


def test_a_document_without_markers_is_not_overwritten() -> None:
    with pytest.raises(NoSuchSectionError):
        replaced("nothing here", "bench", "text")
