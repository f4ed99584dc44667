import pytest
from django.core.exceptions import ImproperlyConfigured

from config.database import parse_database_url


def test_a_url_with_everything() -> None:
    parsed = parse_database_url(
        "postgresql://al%40ce:p%2Fw@db.example:6543/shop%20one?sslmode=require&application_name=x"
    )
    assert parsed == {
        "NAME": "shop one",
        "USER": "al@ce",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "6543",
        "OPTIONS": {"sslmode": "require", "application_name": "x"},
    }


@pytest.mark.parametrize(
    "url", ["postgresql://me@/shop?host=/run/postgresql", "postgres://me@%2Frun%2Fpostgresql/shop"]
)
def test_a_socket_directory(url: str) -> None:
    parsed = parse_database_url(url)
    assert (parsed["HOST"], parsed["NAME"], parsed["USER"]) == ("/run/postgresql", "shop", "me")
    assert parsed["OPTIONS"] == {}


@pytest.mark.parametrize("url", ["mysql://h/x", "sqlite:///x", "postgresql://host", "postgresql://host:port/x", "shop"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        parse_database_url(url)
