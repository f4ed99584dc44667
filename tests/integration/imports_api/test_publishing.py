"""Load time and publish time are told apart, and so is that an import waits for its events."""

import sys
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from ingestion.clock import utc_now
from ingestion.console.progress import PlainDisplay
from ingestion.console.report import report
from ingestion.models import Import
from ingestion.selectors import import_progress
from ingestion.standing import publishing_entry
from orders.outbox.models import Receipt
from tests.integration.imports_api.scenes import GOOD, People, asked, loaded, uploaded

pytestmark = pytest.mark.usefixtures("commits")


def told(people: People, import_id: int) -> dict[str, Any]:
    found: dict[str, Any] = people["alice"].get(f"/imports/{import_id}").json()
    return found


def publish_all(seconds: float) -> None:
    """As the relay does, some time after the load."""
    ended = Import.objects.latest("pk").ended_at
    assert ended is not None
    Receipt.objects.update(published_at=ended + timedelta(seconds=seconds))


def test_an_import_tells_how_far_its_events_are(people: People) -> None:
    import_id = loaded(people["alice"], GOOD)
    before = people["alice"].get(f"/imports/{import_id}")
    publishing = before.json()["publishing"]
    assert publishing["load_seconds"] > 0
    assert publishing == {
        "events": 3, "events_published": 0, "complete": False, "published_at": None,
        "load_seconds": publishing["load_seconds"], "seconds_after_load": None,
    }  # fmt: skip
    publish_all(2.5)
    after = people["alice"].get(f"/imports/{import_id}", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    publishing = after.json()["publishing"]
    assert (publishing["events_published"], publishing["complete"]) == (3, True)
    assert publishing["seconds_after_load"] == 2.5
    assert publishing["published_at"] is not None


def test_what_was_published_long_ago_is_complete(people: People) -> None:
    """Receipts go when the entries of their day go."""
    import_id = loaded(people["alice"], GOOD)
    Receipt.objects.all().delete()
    publishing = told(people, import_id)["publishing"]
    assert (publishing["events"], publishing["complete"], publishing["published_at"]) == (0, True, None)


def test_a_dry_run_publishes_nothing(people: People) -> None:
    import_id = loaded(people["alice"], GOOD, dry_run=True)
    assert told(people, import_id)["publishing"] is None


def test_a_slowed_import_says_so_while_it_runs(people: People, client: Client) -> None:
    import_id = asked(people["alice"], uploaded(GOOD), start=False)["id"]
    since = utc_now()
    Import.objects.filter(pk=import_id).update(state="running", started_at=since)
    before = people["alice"].get(f"/imports/{import_id}")
    assert before.json()["slowed_since"] is None
    Import.objects.filter(pk=import_id).update(slowed_since=since)
    after = people["alice"].get(f"/imports/{import_id}", headers={"If-None-Match": before.headers["ETag"]})
    assert after.json()["slowed_since"] == since.isoformat().replace("+00:00", "Z")
    client.force_login(_boss())
    page = client.get(f"/admin/ingestion/import/{import_id}/change/").content.decode()
    assert "OUTBOX_MAX_LAG_SECONDS" in page
    Import.objects.filter(pk=import_id).update(state="paused")
    assert told(people, import_id)["slowed_since"] is None


def test_the_admin_tells_load_time_and_publish_time(people: People, client: Client) -> None:
    import_id = loaded(people["alice"], GOOD)
    client.force_login(_boss())
    url = f"/admin/ingestion/import/{import_id}/change/"
    assert "0 of 3 events are in Kafka" in client.get(url).content.decode()
    publish_all(2.5)
    assert "3 events, the last one in Kafka 2.5 s later" in client.get(url).content.decode()


def test_the_report_tells_them_too(people: People) -> None:
    owner = Import.objects.get(pk=loaded(people["alice"], GOOD))

    def said() -> str:
        return report(dict(owner.certificate or {}), examples=[], files=[], publishing=publishing_entry(owner))

    assert "0 of 3 events in Kafka so far; relay_outbox sends the rest" in said()
    publish_all(2.5)
    assert "3 events, the last one in Kafka 2.5 s after loading" in said()


def test_the_command_says_that_it_waits(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    import_id = asked(people["alice"], uploaded(GOOD), start=False)["id"]
    Import.objects.filter(pk=import_id).update(state="running", slowed_since="2026-03-04T10:41:05Z")
    display = PlainDisplay(total_bytes=100, out=sys.stdout)
    display._shown = -100
    display.show(import_progress(import_id=import_id))
    assert "waits for the outbox since 10:41:05 UTC (OUTBOX_MAX_LAG_SECONDS)" in capsys.readouterr().out


def _boss() -> Any:
    return User.objects.create_superuser("boss", email="boss@example.com")
