"""The schemas of events notice mistakes, and the AsyncAPI document holds together."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.event_schemas import FOLDER, IMPORT, ORDER, schema, strict_validator, validator

DOCUMENT = FOLDER / "asyncapi.yaml"
INSTALL = "npm install --no-save @asyncapi/specs@6.11.1"

Change = Callable[[dict[str, Any]], Any]


def asyncapi() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


@cache
def meta_schema() -> dict[str, Any] | None:
    """AsyncAPI's own schema of 3.0, where somebody has installed it."""
    checkout = Path(__file__).resolve().parents[3]
    folders = [checkout / "node_modules"]
    try:
        done = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, timeout=30, check=False)
        folders.append(Path(done.stdout.strip()))
    except (FileNotFoundError, subprocess.TimeoutExpired):
        pass
    for folder in folders:
        path = folder / "@asyncapi/specs/schemas/3.0.0.json"
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
    return None


@pytest.mark.parametrize("name", [ORDER, IMPORT])
def test_examples_are_what_the_schema_says(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert len(schema(name)["examples"]) > 1
    for example in schema(name)["examples"]:
        validator(name).validate(example)
        strict_validator(name).validate(example)


@pytest.mark.parametrize("name", [ORDER, IMPORT])
def test_no_field_may_be_left_out(name: str) -> None:
    example = schema(name)["examples"][0]
    assert set(schema(name)["required"]) == set(schema(name)["properties"]) == set(example)
    for field in example:
        assert not validator(name).is_valid({key: example[key] for key in example if key != field})


@pytest.mark.parametrize("name", [ORDER, IMPORT])
def test_a_field_of_a_later_version_breaks_nobody_but_our_tests(name: str) -> None:
    later = {**schema(name)["examples"][0], "added_later": 1}
    assert validator(name).is_valid(later)
    assert not strict_validator(name).is_valid(later)


MISTAKES: dict[str, tuple[str, Change]] = {
    "a price as a number": (ORDER, lambda data: data["lines"][0].update(unit_price=39.9)),
    "a price with two decimals": (ORDER, lambda data: data["lines"][0].update(unit_price="39.90")),
    "no pieces": (ORDER, lambda data: data["lines"][0].update(quantity=0)),
    "quantity as text": (ORDER, lambda data: data["lines"][0].update(quantity="1")),
    "a line without its number": (ORDER, lambda data: data["lines"][0].pop("line_no")),
    "a local time": (ORDER, lambda data: data.update(ordered_at="2026-03-04T09:12:00")),
    "an offset instead of Z": (ORDER, lambda data: data.update(updated_at="2026-03-04T09:12:00+00:00")),
    "a day that is none": (ORDER, lambda data: data.update(updated_at="2026-02-30")),
    "an unknown status": (ORDER, lambda data: data.update(status="lost")),
    "no version": (ORDER, lambda data: data.update(version=0)),
    "a guest as a blank": (ORDER, lambda data: data.update(user_id="")),
    "a key with a line break": (ORDER, lambda data: data.update(order_id="o\n1")),
    "a key with a space behind": (ORDER, lambda data: data.update(order_id="o1 ")),
    "a key that is too long": (ORDER, lambda data: data.update(order_id="o" * 129)),
    "a currency in small letters": (ORDER, lambda data: data.update(currency="eur")),
    "records that begin with 0": (ORDER, lambda data: data["import"].update(record=0)),
    "an import by number alone": (ORDER, lambda data: data.update({"import": 7})),
    "a running import": (IMPORT, lambda data: data.update(state="running")),
    "an outcome left out": (IMPORT, lambda data: data["counts"].pop("ignored")),
    "fewer than none": (IMPORT, lambda data: data["counts"].update(loaded=-1)),
    "an error that nobody made": (IMPORT, lambda data: data["errors"].update(required=0)),
    "a code for people": (IMPORT, lambda data: data["errors"].update({"Not a number": 1})),
    "no end": (IMPORT, lambda data: data.update(ended_at=None)),
}


@pytest.mark.parametrize(("name", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_noticed(name: str, mistake: Change) -> None:
    data = copy.deepcopy(schema(name)["examples"][0])
    mistake(data)
    assert not validator(name).is_valid(data)


# docs/events.md

PAGE = FOLDER.parent / "events.md"


def sections() -> dict[str, str]:
    """Those of docs/events.md about a type, by its name."""
    parts = re.split(r"(?m)^#{2,3} ", PAGE.read_text(encoding="utf-8"))
    found = (part.partition("\n")[::2] for part in parts)
    return {title.strip("`"): text for title, text in found if title.startswith("`com.")}


def test_every_type_has_an_example_that_is_what_the_schema_says() -> None:
    described = {message["name"] for message in asyncapi()["components"]["messages"].values()} - {"dead-letter"}
    assert set(sections()) == described
    for title, text in sections().items():
        (example,) = re.findall(r"(?s)```json\n(.*?)```", text)
        strict_validator(ORDER if ".order." in title else IMPORT).validate(json.loads(example))


def test_headers_are_those_of_the_asyncapi_document() -> None:
    told = re.findall(r"(?m)^\| `([a-z_-]+)` \|", PAGE.read_text(encoding="utf-8"))
    headers = asyncapi()["components"]["schemas"]["headers"]
    assert told == headers["required"] == list(headers["properties"])


def test_topics_are_those_of_the_asyncapi_document() -> None:
    told = re.findall(r"(?m)^\| `(sluice[a-z0-9.]+)` \|", PAGE.read_text(encoding="utf-8"))
    assert {f"{{prefix}}{name}" for name in told} == {each["address"] for each in asyncapi()["channels"].values()}


# AsyncAPI


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def followed(document: dict[str, Any], reference: str) -> Any:
    """What it leads to; KeyError or FileNotFoundError when it leads nowhere."""
    name, _, pointer = reference.partition("#")
    found: Any = json.loads((FOLDER / name).read_text(encoding="utf-8")) if name else document
    for step in pointer.strip("/").split("/") if pointer else ():
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi()
    found = set(references(document))
    assert {"order.v1.schema.json", "import.v1.schema.json"} <= found
    for reference in found:
        assert followed(document, reference)
    with pytest.raises(KeyError):
        followed(document, "#/components/messages/orderLost")


def test_operations_use_the_messages_of_their_channel() -> None:
    document = asyncapi()
    for operation in document["operations"].values():
        (channel,) = [operation["channel"]["$ref"]]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")
            assert "$ref" in followed(document, message["$ref"])
    sent = {step["$ref"] for operation in document["operations"].values() for step in operation["messages"]}
    declared = {
        f"#/channels/{name}/messages/{message}"
        for name, channel in document["channels"].items()
        for message in channel["messages"]
    }
    assert sent == declared


def test_messages_are_described() -> None:
    document = asyncapi()
    for name, message in document["components"]["messages"].items():
        assert message["title"], name
        assert message["summary"], name
        if name != "deadLetter":
            (typed,) = [part["properties"]["ce_type"] for part in message["headers"]["allOf"] if "properties" in part]
            assert typed == {"const": message["name"]}


def test_schemas_of_headers_are_schemas() -> None:
    for part in asyncapi()["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(part)


def test_asyncapi_itself_accepts_the_document() -> None:
    meta = meta_schema()
    if meta is None:
        pytest.skip(f"AsyncAPI's schema is not installed ({INSTALL})")
    checker = jsonschema.Draft7Validator(meta)
    checker.validate(asyncapi())
    broken = asyncapi()
    broken["operations"]["publishOrders"]["action"] = "shout"
    assert not checker.is_valid(broken)
    broken = asyncapi()
    broken["components"]["messages"]["orderPlaced"]["payloda"] = {}
    assert not checker.is_valid(broken)
