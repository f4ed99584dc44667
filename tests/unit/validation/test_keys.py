"""Whatever id passes validation also passes the check constraints of the database."""

from __future__ import annotations

import re

from hypothesis import given, settings, strategies as st

from config.kernel.fields import TEXT_KEY_LENGTH, TEXT_KEY_PATTERN
from ingestion.profiles import Profile, settle_header
from ingestion.validation import Validator
from tests.thorough import examples
from tests.unit.validation.batches import batch_of

HEADER = ["order_id", "user_id", "sku", "quantity", "user_email"]
characters = st.characters(codec="utf-8") | st.sampled_from(" \u00a0\u0085\u3000\t\n\x1f\x7f\u2028\ufeff")
texts = st.text(characters, max_size=6) | st.text(characters, min_size=125, max_size=130)


@settings(max_examples=examples(200), deadline=None)
@given(ids=st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=20), vectorised=st.booleans())
def test_accepted_ids_are_text_keys(ids: list[tuple[str, str, str]], vectorised: bool) -> None:
    profile = Profile.from_mapping({"name": "test", "ids": {"item_prefix": "a "}}, source="")
    validator = Validator(settle_header(profile, HEADER, []), vectorised=vectorised)
    rows = [[order, user, sku, "1", f"{user}@example.com"] for order, user, sku in ids]
    rows += [[order, "u", "s", "1", ""] for order, _, _ in ids]
    frame = validator.validate(batch_of(rows, width=5)).frame
    for name in ("order_id", "user_id", "sku", "user_email"):
        for value in frame[name].drop_nulls():
            assert re.search(TEXT_KEY_PATTERN, value)
            assert len(value) <= TEXT_KEY_LENGTH
    assert frame["user_email"].to_list() == frame["user_email"].str.to_lowercase().to_list()
