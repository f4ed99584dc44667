from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import env_bool, env_float, env_int, env_list, env_str


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "")
    assert env_str("THING", "default") == "default"
    assert env_int("THING", 7) == 7
    assert env_bool("THING", default=True) is True


def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("THING_FILE", str(tmp_path / "secret"))
    assert env_str("THING") == "s3cret"


def test_a_variable_and_its_file_together_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THING", "a")
    monkeypatch.setenv("THING_FILE", str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match="both set"):
        env_str("THING")


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THING_FILE", str(tmp_path / "absent"))
    with pytest.raises(ImproperlyConfigured, match="absent"):
        env_str("THING")


def test_typed_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "12")
    assert env_int("THING", 0) == 12
    assert env_float("THING", 0.0) == 12.0
    monkeypatch.setenv("THING", " a, b ,,c")
    assert env_list("THING") == ["a", "b", "c"]
    monkeypatch.setenv("THING", "No")
    assert env_bool("THING", default=True) is False


@pytest.mark.parametrize("read", [lambda: env_int("THING", 0), lambda: env_bool("THING", default=False)])
def test_nonsense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, read: object) -> None:
    monkeypatch.setenv("THING", "maybe")
    assert callable(read)
    with pytest.raises(ImproperlyConfigured, match="THING must be"):
        read()
