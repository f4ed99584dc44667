"""Previews: what was detected, the mapping, the first records, what would become of the sample."""

import gzip
from typing import Any

import pytest

from ingestion.api import previews
from ingestion.models import Upload
from ingestion.uploads.services import upload_terminate
from tests.integration.imports_api import scenes
from tests.integration.imports_api.scenes import BAD, GOOD, People, asked, begun, send, uploaded

SHOP = "Auftrag;Kunde;Artikel;Menge;Preis\nA1;K1;Lampe;1;1.039,90\nA2;K2;Bank;x;249,00\n".encode("cp1252")


def look(people: People, upload: Upload, query: str = "", name: str = "alice") -> Any:
    return people[name].get(f"/uploads/{upload.pk}/preview{query}")


def test_an_upload_is_understood_before_it_is_imported(people: People) -> None:
    told = look(people, uploaded(BAD)).json()
    assert (told["source"], told["kind"], told["bytes"], told["mapped"]) == ("orders.csv", "plain", len(BAD), True)
    assert told["dialect"]["delimiter"] == ","
    assert "comma" in told["evidence"]["delimiter"]
    assert told["mapping"]["order_id"] == {"columns": ["order_id"], "default": None}
    assert [record["order_id"] for record in told["records"]] == ["o1"]
    assert scenes.codes(told["errors"]) == ["invalid_integer", "invalid_decimal", "required"]
    assert told["errors"][0]["record"] == 2
    assert told["prediction"]["records"] == 4
    assert (told["prediction"]["valid"], told["prediction"]["rejected"]) == (1, 3)
    assert told["prediction"]["errors"] == {"invalid_decimal": 1, "invalid_integer": 1, "required": 1}
    assert told["settles_everything"] is False


def test_what_has_no_column_is_told_with_suggestions(people: People) -> None:
    upload = uploaded(SHOP)
    told = look(people, upload).json()
    assert told["mapped"] is False
    assert any("order_id" in problem for problem in told["problems"])
    assert told["unmapped"] == ["Auftrag", "Kunde", "Artikel", "Menge", "Preis"]
    query = "?map=order_id=Auftrag&map=user_id=Kunde&map=sku=Artikel&map=quantity=Menge&map=unit_price=Preis"
    told = look(people, upload, query).json()
    assert (told["mapped"], told["problems"]) == (True, [])
    assert told["mapping"]["sku"] == {"columns": ["Artikel"], "default": None}
    assert told["records"][0]["unit_price"] == "1039.9000"
    assert told["formats"]["numbers"][0][0] == ","


def test_the_number_of_records_shown_and_judged(people: People) -> None:
    upload = uploaded(scenes.csv(*(f"o{number},u1,lamp,1,9.50" for number in range(500))))
    assert len(look(people, upload).json()["records"]) == 10
    told = look(people, upload, "?records=3").json()
    assert (len(told["records"]), told["prediction"]["records"]) == (3, 500)
    assert look(people, upload, "?records=0").status_code == 400


def test_who_finds_no_place_does_not_wait_long(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = uploaded(GOOD)
    monkeypatch.setattr(previews, "WAIT_SECONDS", 0.1)
    with previews.AT_ONCE, previews.AT_ONCE:
        refused = look(people, upload)
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (503, "previews_busy", "5")
    assert look(people, upload).status_code == 200
    assert look(people, begun(length=10_000)).status_code == 422
    assert [previews.AT_ONCE.acquire(blocking=False) for _ in range(3)] == [True, True, False]
    previews.AT_ONCE.release(2)


def test_a_packed_upload(people: People) -> None:
    told = look(people, uploaded(gzip.compress(GOOD))).json()
    assert (told["kind"], told["mapped"], len(told["records"])) == ("gzip", True, 3)


def test_while_bytes_still_arrive(people: People) -> None:
    upload = begun(length=10_000)
    assert look(people, upload).status_code == 422
    send(upload, GOOD[:-5])
    told = look(people, Upload.objects.get(pk=upload.pk)).json()
    # The third record is cut off: nothing is said about it.
    assert [record["order_id"] for record in told["records"]] == ["o1", "o2"]
    assert told["errors"] == []


def test_an_import_is_shown_as_it_will_be_done(people: People) -> None:
    profile = {"mapping": {"order_id": "Auftrag", "user_id": "Kunde", "sku": "Artikel", "quantity": "Menge"}}
    import_id = asked(people["alice"], uploaded(SHOP), profile=profile)["id"]
    told = people["alice"].get(f"/imports/{import_id}/preview?records=1").json()
    assert told["mapping"]["user_id"]["columns"] == ["Kunde"]
    assert [record["order_id"] for record in told["records"]] == ["A1"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_source"),
        (gzip.compress(GOOD, mtime=0)[:40], "corrupt_archive"),
        (b"BZh91AY&SY", "unsupported_archive"),
    ],
    ids=["empty", "cut off", "bzip2"],
)
def test_what_cannot_be_read_is_explained(people: People, data: bytes, reason: str) -> None:
    refused = look(people, uploaded(data))
    told = refused.json()
    assert (refused.status_code, told["code"], told["reason"]) == (422, "unreadable_source", reason)
    assert told["explanation"] in told["detail"]


def test_bytes_that_are_gone(people: People) -> None:
    upload = uploaded(GOOD)
    import_id = asked(people["alice"], upload)["id"]
    people["alice"].post(f"/imports/{import_id}/cancel")
    upload_terminate(upload_id=upload.pk)
    for url in (f"/uploads/{upload.pk}/preview", f"/imports/{import_id}/preview"):
        refused = people["alice"].get(url)
        assert (refused.status_code, refused.json()["code"]) == (404, "upload_gone")


def test_who_may_look(people: People) -> None:
    upload = uploaded(GOOD)
    told = {name: look(people, upload, name=name).status_code for name in scenes.ROLES}
    assert told == {"alice": 200, "bob": 404, "dora": 200, "eve": 403, "charlie": 403}
