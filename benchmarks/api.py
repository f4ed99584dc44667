"""
`python -m benchmarks.api` (`make bench-api`): what the API costs beside the least that it could cost.

Each measurement is a ratio of two things measured in turn in this run, so that the machine's speed cancels out.
"""

import argparse
import base64
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from benchmarks.databases import CHECKOUT, Template, migrated_template, working_directory  # noqa: E402 - Django first
from benchmarks.document import write_section  # noqa: E402
from benchmarks.goals import Result  # noqa: E402
from benchmarks.loopback import copy_seconds, running_copier  # noqa: E402
from benchmarks.machine import machine_facts  # noqa: E402
from benchmarks.processes import run  # noqa: E402
from benchmarks.samples import SampleFile, make_sample  # noqa: E402
from benchmarks.site import Site, running_site  # noqa: E402
from benchmarks.wire import Wire, header  # noqa: E402

MIB: Final = 1 << 20
RECORD_BYTES: Final = 136
POLL_SECONDS: Final = 0.05
THROTTLE_BYTES: Final = 10_000_000
TUS: Final = {"Tus-Resumable": "1.0.0"}
ENDED: Final = ("completed", "completed_with_rejects", "failed", "cancelled")
# Leaves nothing to evidence, so that an import need not wait for the whole file.
SETTLED: Final[dict[str, Any]] = {
    "reading": {"encoding": "utf-8"},
    "formats": {"day_first": False, "decimal_separator": ".", "thousands_separators": [], "currency_signs": []},
}


class NotCompletedError(Exception):
    """An import ended otherwise than completed, or with other rows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Measure, print the table, and write it into docs/benchmarks.md.

    Returns:
        1 when a goal was missed.
    """
    options = _parse(arguments)
    wanted = set(filter(None, options.only.split(","))) or set(MEASUREMENTS)
    results = []
    with working_directory() as directory, migrated_template() as template:
        bench = Bench(template, directory, options)
        for name, measure in MEASUREMENTS.items():
            if name in wanted:
                print(f"{name} …", flush=True)
                result = measure(bench)
                print("  " + " | ".join(result.cells()), flush=True)
                results.append(result)
        facts = machine_facts(template.database)
    if not (options.no_document or options.only):
        command = "python -m benchmarks.api " + " ".join(sys.argv[1:] if arguments is None else arguments)
        write_section("bench-api", _section(results, facts, options, command=command.strip()))
    return 0 if all(result.met for result in results) else 1


@dataclass(frozen=True)
class Bench:
    """What all measurements need."""

    template: Template
    directory: Path
    options: argparse.Namespace

    def sample(self, records: int) -> SampleFile:
        """A file of so many records, made once."""
        known = self.directory / f"orders-{records}.csv"
        found = _samples.get(known)
        if found is None:
            found = _samples[known] = make_sample(self.directory, records=records)
        return found


_samples: dict[Path, SampleFile] = {}


# Cached reads


def cached_read(bench: Bench) -> Result:
    """`GET /orders/{id}` from the cache, and a view that returns the same bytes; same middleware, same process."""
    body = bench.directory / "body"
    body.write_bytes(b"{}")
    bare = {"DJANGO_SETTINGS_MODULE": "benchmarks.bare_settings", "BENCH_BODY": str(body)}
    with bench.template.clone("cached") as database:
        with running_site(database, bench.directory / "cached") as site:
            wire = site.wire()
            _place_order(wire, "o553")
            body.write_bytes(wire.exchange(wire.head("GET", "/orders/o553"))[2])
        # The second site finds the bytes; the order is there, the token is new.
        with running_site_again(site, database, bench.directory / "cached", bare) as site:
            wire = site.wire()
            cached, plain = wire.head("GET", "/orders/o553"), wire.head("GET", "/bare")
            assert wire.exchange(cached)[2] == wire.exchange(plain)[2] == body.read_bytes()
            pairs = _in_turn(wire, cached, plain, site, rounds=bench.options.rounds, requests=bench.options.requests)
    ratios = [ours / least for ours, least, _, _ in pairs]
    ours, least = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
    cpu = statistics.median(pair[2] / pair[3] for pair in pairs)
    return Result(
        "cached `GET /orders/{id}` ÷ a bare view with the same bytes",
        f"{ours * 1e6:.0f} µs", f"{least * 1e6:.0f} µs (processor time {cpu:.2f} ×)", statistics.median(ratios), 1.3,
    )  # fmt: skip


@contextmanager
def running_site_again(site: Site, database: Any, directory: Path, environment: dict[str, str]) -> Iterator[Site]:
    """The same site with other variables."""
    again = Site({**site.environment, **environment}, site.port, site.token, directory)
    try:
        again.start("web", "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi")
        again.wait_until_ready()
        yield again
    finally:
        again.stop()


def _in_turn(
    wire: Wire, first: bytes, second: bytes, site: Site, *, rounds: int, requests: int
) -> list[tuple[float, float, float, float]]:
    """For each round: seconds a request of both kinds, then processor seconds of both."""
    process = site.web_process()

    def one(request: bytes) -> tuple[float, float]:
        cpu, begun = sum(process.cpu_times()[:2]), time.perf_counter()
        for _ in range(requests):
            status, _, _ = wire.exchange(request)
            if status != 200:
                raise NotCompletedError(f"status {status}")
        seconds = time.perf_counter() - begun
        return seconds / requests, max(sum(process.cpu_times()[:2]) - cpu, 1e-3) / requests

    for request in (first, second) * 2:  # warm
        one(request)
    found = []
    for number in range(rounds):
        pair = {request: one(request) for request in ((first, second) if number % 2 else (second, first))}
        found.append((pair[first][0], pair[second][0], pair[first][1], pair[second][1]))
    return found


def _place_order(wire: Wire, order_id: str) -> None:
    wire.call("POST", "/users", {"id": "u101", "name": "Shoes", "email": "john@gmail.com"}, expect=201)
    wire.call("POST", "/orders", {"id": order_id, "item": "Shoes", "quantity": 2, "user_id": "u101"}, expect=201)
    wire.call("GET", f"/orders/{order_id}", expect=200)


# Uploads


def upload_speed(bench: Bench) -> Result:
    """One PATCH of a whole file through one web process, and the same bytes over loopback into a file."""
    size = bench.options.upload_mib * MIB
    file = bench.directory / "bytes"
    with file.open("wb") as target:
        for _ in range(bench.options.upload_mib):
            target.write(os.urandom(MIB))
    pairs = []
    with (
        bench.template.clone("upload") as database,
        running_site(database, bench.directory / "upload") as site,
        running_copier(bench.directory) as port,
    ):
        for number in range(bench.options.upload_rounds + 1):
            least, ours = copy_seconds(port, file), _upload_seconds(site, file)
            if number:  # the first pair warms
                pairs.append((ours, least))
    file.unlink()
    ours, least = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
    ratio = statistics.median(least / ours for ours, least in pairs)
    return Result(
        "uploads through one web process ÷ copying over loopback into a file, speed",
        f"{size / ours / 1e6:.0f} MB/s", f"{size / least / 1e6:.0f} MB/s", ratio, 0.5, at_least=True,
    )  # fmt: skip


def _upload_seconds(site: Site, file: Path) -> float:
    wire = site.wire()
    location = _create_upload(wire, file)
    begun = time.perf_counter()
    wire.send_file("PATCH", location, file, _patch_headers(), expect=204)
    seconds = time.perf_counter() - begun
    wire.call("DELETE", location, expect=204, **TUS)
    wire.close()
    return seconds


def _create_upload(wire: Wire, file: Path) -> str:
    """Where an upload of the file goes; nothing starts when it is complete."""
    metadata = {"filename": file.name, "start": "manual"}
    coded = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
    headers = {**TUS, "Upload-Length": str(file.stat().st_size), "Upload-Metadata": coded}
    status, head, body = wire.exchange(wire.head("POST", "/uploads", headers))
    if status != 201:
        raise NotCompletedError(f"POST /uploads: {status} {body!r}")
    location = header(head, "Location")
    return location[location.index("/uploads") :]


def _patch_headers() -> dict[str, str]:
    return {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


# Imports


def import_speed(bench: Bench) -> Result:
    """The same file by `ingest_csv` and by the API, two workers each, from the start of the import to its end."""
    sample = bench.sample(bench.options.rows)
    pairs = []
    for number in range(bench.options.import_rounds):
        with bench.template.clone(f"command{number}") as database:
            least, whole = _command_seconds(database, sample, bench.directory)
        with bench.template.clone(f"api{number}") as database:
            with running_site(database, bench.directory / f"api{number}", workers=2) as site:
                ours = _api_seconds(site, sample)
            _check_rows(database, sample)
        print(
            f"  round {number + 1}: API {ours:.2f} s, command {least:.2f} s, with its start {whole:.2f} s", flush=True
        )
        pairs.append((ours, least, whole))
    ours, least, whole = (statistics.median(pair[index] for pair in pairs) for index in (0, 1, 2))
    return Result(
        f"import of {sample.expected.records:,} records through the API, 2 workers ÷ `ingest_csv`",
        f"{ours:.1f} s", f"{least:.1f} s (with the command's start {whole:.1f} s)",
        statistics.median(ours / least for ours, least, _ in pairs), 1.15,
    )  # fmt: skip


def _command_seconds(database: Any, sample: SampleFile, directory: Path) -> tuple[float, float]:
    rejects = directory / "rejects"
    command = [sys.executable, "manage.py", "ingest_csv", str(sample.path), "--workers", "2", "--json"]
    done = run([*command, "--rejects", str(rejects)], environment=database.environment, directory=CHECKOUT)
    certificate = json.loads(done.stdout)
    if certificate["loaded"] != sample.expected.loaded:
        raise NotCompletedError(f"{certificate['loaded']:,} records loaded")
    return float(certificate["seconds"]), done.seconds


def _api_seconds(site: Site, sample: SampleFile) -> float:
    wire = site.wire()
    headers = {"Content-Type": "text/csv"}
    _, body, _ = wire.send_file("PUT", "/imports?start=false&profile=sluice", sample.path, headers, expect=202)
    import_id = json.loads(body)["id"]
    begun = time.perf_counter()
    wire.call("POST", f"/imports/{import_id}/start", expect=200)
    _wait_for_end(wire, import_id)
    return time.perf_counter() - begun


def _wait_for_end(wire: Wire, import_id: int) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = wire.call("GET", f"/imports/{import_id}", expect=200)
        if found["state"] in ENDED:
            if not found["state"].startswith("completed"):
                raise NotCompletedError(f"import {import_id} is {found['state']}: {found['reason']}")
            return found
        time.sleep(POLL_SECONDS)


def _check_rows(database: Any, sample: SampleFile) -> None:
    for table, count in sample.rows.items():
        found = database.count(table) - (table == "accounts_user")  # the benchmark's own user
        if found != count:
            raise NotCompletedError(f"{table} has {found:,} rows, not {count:,}")


# Ingest while uploading


def while_uploading(bench: Bench) -> Result:
    """A throttled upload with an import that runs beside it: from the last byte to the end of the import."""
    sample = bench.sample(bench.options.streamed_mb * 1_000_000 // RECORD_BYTES)
    with bench.template.clone("streamed") as database:
        with running_site(database, bench.directory / "streamed", workers=2) as site:
            wire, watcher = site.wire(), site.wire()
            location = _create_upload(wire, sample.path)
            upload_id = location.rsplit("/", 1)[1]
            made = {"upload": upload_id, "profile": {"name": "bench", **SETTLED}, "while_uploading": True}
            import_id = watcher.call("POST", "/imports", made, expect=202)["id"]
            ended: list[float] = []

            def watch() -> None:
                _wait_for_end(watcher, import_id)
                ended.append(time.perf_counter())

            thread = threading.Thread(target=watch)
            thread.start()
            begun = time.perf_counter()
            _, _, last_byte = wire.send_file(
                "PATCH", location, sample.path, _patch_headers(), expect=204, rate=THROTTLE_BYTES
            )
            thread.join()
        _check_rows(database, sample)
    if not ended:
        raise NotCompletedError("the import did not end")
    return Result(
        f"*ingest while uploading*, {sample.size_bytes / 1e6:.0f} MB at 10 MB/s: from the last byte to the end",
        f"{ended[0] - last_byte:.1f} s", f"upload {last_byte - begun:.1f} s", ended[0] - last_byte, 4.0, unit="s",
    )  # fmt: skip


# Single orders beside a bulk import


def orders_beside_bulk(bench: Bench) -> Result:
    """99th percentile of `POST /orders`, alone and while two workers load a file."""
    sample = bench.sample(bench.options.rows)
    with (
        bench.template.clone("beside") as database,
        running_site(database, bench.directory / "beside", workers=2) as site,
    ):
        wire, other = site.wire(), site.wire()
        _place_order(wire, "first")
        _post_orders(wire, "warm", lambda done: done < 200)
        alone = _post_orders(wire, "alone", lambda done: done < bench.options.orders)
        headers = {"Content-Type": "text/csv"}
        path = "/imports?start=false&profile=sluice"
        import_id = json.loads(other.send_file("PUT", path, sample.path, headers, expect=202)[1])["id"]
        other.call("POST", f"/imports/{import_id}/start", expect=200)
        over = threading.Event()

        def watch() -> None:
            try:
                _wait_for_end(other, import_id)
            finally:
                over.set()

        thread = threading.Thread(target=watch)
        thread.start()
        beside = _post_orders(wire, "beside", lambda _: not over.is_set())
        thread.join()
    least, ours = _percentile(alone, 99), _percentile(beside, 99)
    return Result(
        "p99 of `POST /orders` while a bulk import runs ÷ alone",
        f"{ours * 1e3:.1f} ms ({len(beside):,} orders, median {statistics.median(beside) * 1e3:.1f} ms)",
        f"{least * 1e3:.1f} ms ({len(alone):,} orders, median {statistics.median(alone) * 1e3:.1f} ms)",
        ours / least, 5.0,
    )  # fmt: skip


def _post_orders(wire: Wire, prefix: str, more: Callable[[int], bool]) -> list[float]:
    """Place orders one after the other; seconds of each."""
    taken: list[float] = []
    while more(len(taken)):
        order = {"id": f"{prefix}-{len(taken)}", "item": "Shoes", "quantity": 2, "user_id": "u101"}
        begun = time.perf_counter()
        wire.call("POST", "/orders", order, expect=201)
        taken.append(time.perf_counter() - begun)
    return taken


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


MEASUREMENTS: Final[dict[str, Callable[[Bench], Result]]] = {
    "cached": cached_read,
    "upload": upload_speed,
    "import": import_speed,
    "streamed": while_uploading,
    "beside": orders_beside_bulk,
}


# Report


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="records of the imported file (%(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of cached reads (%(default)s)")
    parser.add_argument("--requests", type=int, default=300, help="cached reads of each kind in a round (%(default)s)")
    parser.add_argument("--upload-mib", type=int, default=512, help="size of the upload (%(default)s)")
    parser.add_argument("--upload-rounds", type=int, default=5, help="uploads and copies (%(default)s)")
    parser.add_argument("--import-rounds", type=int, default=3, help="imports of both kinds (%(default)s)")
    parser.add_argument("--streamed-mb", type=int, default=200, help="size of the throttled upload (%(default)s)")
    parser.add_argument("--orders", type=int, default=2_000, help="orders placed alone (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; no document")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"of {', '.join(MEASUREMENTS)}; no document")
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md alone")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.upload_mib, options.streamed_mb, options.orders = 200_000, 64, 20, 400
        options.rounds, options.upload_rounds, options.import_rounds = 6, 2, 1
        options.no_document = True
    return options


def _section(results: list[Result], facts: list[str], options: argparse.Namespace, *, command: str) -> str:
    rows = ["| " + " | ".join(result.cells()) + " |" for result in results]
    return "\n".join(
        [
            f"`{command}`: one web process (gunicorn, threads), two workers for chunks and one for steps.",
            "",
            *(f"- {line}" for line in facts),
            "",
            "| what | Sluice | beside it | figure | goal | |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
            *rows,
            "",
            f"Reads: {options.rounds} rounds of {options.requests} requests of each kind in turn on one kept "
            f"connection; the median of the rounds' ratios. Uploads: {options.upload_mib} MiB in one PATCH, "
            f"{options.upload_rounds} times in turn with the copy, both with an fsync after each 64 MiB. Imports: "
            f"{options.import_rounds} rounds on fresh clones of the migrated database; the API's time is from "
            "`POST …/start` until `GET` says that it has ended, the command's is the import's own, without the "
            "start of Python.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
