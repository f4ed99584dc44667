import os
import threading

import pytest

from ingestion.errors import SourceDiffersError
from ingestion.processes import call_in_process
from ingestion.profiles import SettlementError
from ingestion.profiles.errors import Problem


def test_a_call_returns_what_the_function_returned_in_another_process() -> None:
    assert call_in_process(lambda: (os.getpid(), {"a": [1]}), name="call") != (os.getpid(), {"a": [1]})
    assert call_in_process(lambda: {"a": [1]}, name="call") == {"a": [1]}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no number"),
        SettlementError(source="shop", problems=[Problem("mapping.sku", "there is no column", "")], header=["a", "b"]),
        SourceDiffersError(name="orders.csv", import_id=7, number=3),
    ],
)
def test_an_exception_arrives_as_it_was_raised(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call_in_process(fail, name="call")
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_what_cannot_be_sent_arrives_as_text() -> None:
    def fail() -> None:
        raise ValueError("holds a lock", threading.Lock())

    with pytest.raises(RuntimeError, match="holds a lock"):
        call_in_process(fail, name="call")


def test_a_killed_process_is_told_from_an_answer() -> None:
    with pytest.raises(RuntimeError, match="ended without an answer"):
        call_in_process(lambda: os.kill(os.getpid(), 9), name="call")
