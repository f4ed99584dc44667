"""The compose file, as `docker compose` reads it."""

from functools import cache
from typing import Any, Final

import yaml

from tests.integration.deploy.manifests import DEPLOY, image_name

COMPOSE: Final = DEPLOY / "compose.yaml"


@cache
def compose() -> dict[str, Any]:
    """Anchors and merges resolved; variables (`${NAME:-default}`) as written."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return parsed


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def our_services() -> dict[str, dict[str, Any]]:
    """Those of our own image."""
    return {name: service for name, service in services().items() if image_name(service["image"]) == "sluice"}
