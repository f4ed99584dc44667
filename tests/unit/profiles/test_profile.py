"""Profiles: what they accept, and what they say about what they do not accept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ingestion.profiles import (
    Formats,
    Ids,
    Profile,
    ProfileError,
    Reading,
    Rules,
    UnknownProfile,
    builtin_names,
    load_profile,
)
from ingestion.profiles.fields import FIELDS
from ingestion.profiles.synonyms import CLEAR, OWN, VAGUE, normalise, rank

BAD: dict[str, Any] = {
    "name": "My Shop",
    "ruels": {},
    "rules": {"guest": "allow", "returns": "yes", "max_errors": -1, "max_error_ratio": "half", "continuation": 1},
    "mapping": {"order_number": "Order", "sku": 3},
    "formats": {
        "date_formats": ["%d.%m"],
        "time_zone": "Mars/Base",
        "decimal_separator": ".",
        "thousands_separators": ["."],
    },
    "templates": {"order_id": "{Invoice", "status": "{a}"},
    "defaults": {"currency": "Euro", "status": "lost"},
    "reading": "utf-8",
    "ids": {"order_prefix": " x"},
}


def test_every_problem_of_a_profile_is_named_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        Profile.from_mapping(BAD, source="shop.toml")
    assert {problem.path for problem in caught.value.problems} == {
        "name", "ruels", "rules.guest", "rules.returns", "rules.max_errors", "rules.max_error_ratio",
        "rules.continuation",
        "mapping.order_number", "mapping.sku", "formats.date_formats", "formats.time_zone",
        "formats.thousands_separators",
        "templates.order_id", "templates.status", "defaults.currency", "defaults.status", "reading", "ids.order_prefix",
    }  # fmt: skip
    text = str(caught.value)
    assert "shop.toml" in text
    assert 'rules.guest: there is no such option (did you mean "guests"?)' in text
    assert 'ruels: there is no such key (did you mean "rules"?)' in text
    assert 'rules.returns: is \'yes\' (allowed: one of "allow", "reject")' in text


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_profiles_survive_storage(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert Profile.from_dict(json.loads(json.dumps(profile.as_dict()))) == profile


def test_equal_options_have_equal_canonical_forms() -> None:
    one = Profile.from_mapping(
        {"name": "a", "mapping": {"sku": "X", "order_id": ["Y"]}, "rules": {"guests": "reject"}}, source=""
    )
    two = Profile.from_mapping({"mapping": {"order_id": ["Y"], "sku": "X"}, "name": "a"}, source="")
    assert one.canonical_json() == two.canonical_json()
    renamed = dataclasses.replace(two, name="b", description="x")
    assert renamed.fingerprint() == one.fingerprint()
    assert one.with_rules(guests="allow").fingerprint() != one.fingerprint()


def test_a_name_alone_is_strict_and_a_list_is_not() -> None:
    profile = Profile.from_mapping({"name": "a", "mapping": {"sku": "X", "status": ["Y"], "country": False}}, source="")
    assert profile.strict == ("sku",)
    assert profile.mapping["country"] == ()


def test_command_line_changes() -> None:
    profile = (
        load_profile()
        .with_mapping({"order_id": "Beleg", "status": ""})
        .with_rules(on_conflict="update", max_errors=None)
    )
    assert profile.mapping == {"order_id": ("Beleg",), "status": ()}
    assert (profile.rules.on_conflict, profile.rules.max_errors) == ("update", None)
    with pytest.raises(ProfileError, match='did you mean "order_id"'):
        load_profile().with_mapping({"orderid": "x"})
    with pytest.raises(ProfileError, match=r"rules\.on_conflict"):
        load_profile().with_rules(on_conflict="merge")


def test_a_mapped_column_replaces_a_template() -> None:
    profile = Profile.from_mapping({"name": "a", "templates": {"order_id": "{A}-{B}"}}, source="")
    assert profile.with_mapping({"order_id": "A"}).templates == {}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "Shop.toml"
    path.write_text('\ufeff[rules]\nguests = "allow"\n', encoding="utf-8")
    assert load_profile(path).rules.guests == "allow"
    assert load_profile(str(path)).name == "shop"
    path.write_text("guests = allow", encoding="utf-8")
    with pytest.raises(ProfileError, match="TOML"):
        load_profile(path)
    with pytest.raises(UnknownProfile, match='did you mean "online-retail"'):
        load_profile("online-retial")
    with pytest.raises(UnknownProfile):
        load_profile(tmp_path)


@pytest.mark.parametrize("section", [Reading, Ids, Formats, Rules])
def test_every_option_is_explained(section: type[Any]) -> None:
    for field in dataclasses.fields(section):
        assert len(field.metadata["explains"]) > 10
        assert field.metadata["check"](field.default) == field.default


def test_overrides_name_only_what_is_set() -> None:
    assert load_profile("online-retail").reading.overrides() == {"encoding": "latin-1", "delimiter": ",", "quote": '"'}
    assert load_profile().reading.overrides() == {}


@pytest.mark.parametrize(
    ("name", "field"),
    [("InvoiceNo", "order_id"), ("Invoice", "order_id"), ("Order ID", "order_id"), ("order number", "order_id"),
     ("CustomerID", "user_id"), ("Customer ID", "user_id"), ("client", "user_id"), ("StockCode", "sku"), ("Item",
     "sku"),
     ("Product", "sku"), ("SKU", "sku"), ("Qty.", "quantity"), ("Quantity", "quantity"), ("Price", "unit_price"),
     ("Unit Price", "unit_price"), ("InvoiceDate", "ordered_at"), ("Date", "ordered_at"), ("Country", "country"),
     ("Description", "item_name"), ("E-Mail", "user_email"), ("Name", "user_name"), ("Age", "user_age"),
     ("Currency", "currency"), ("ORDER_ID", "order_id"), ("Währung", "")],
)  # fmt: skip
def test_synonyms(name: str, field: str) -> None:
    found = [candidate for candidate in FIELDS if rank(name, candidate) is not None]
    assert found == ([field] if field else [])


def test_no_name_means_two_fields() -> None:
    for name, field in (CLEAR | VAGUE).items():
        assert [candidate for candidate in FIELDS if rank(name, candidate) is not None] == [field]
    assert not {name for name in VAGUE if name in CLEAR}
    assert all(OWN[normalise(field)] == field for field in FIELDS)
