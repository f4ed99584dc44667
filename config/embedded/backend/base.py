"""A database backend that starts the local Postgres when a connection is made, and not before."""

from typing import Any

import psycopg2
from django_prometheus.db.backends.postgresql import base

from config.embedded import EmbeddedError, postgres_url
from config.embedded.backend.client import DatabaseClient

# A connection can fail while the supervisor restarts a server that was killed a moment ago.
ATTEMPTS = 5


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        self._locate()
        parameters: dict[str, Any] = super().get_connection_params()
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        for _ in range(ATTEMPTS - 1):
            try:
                return super().get_new_connection(conn_params)
            except psycopg2.OperationalError as error:
                if "does not exist" in str(error) or "too many" in str(error):
                    raise
                conn_params["host"] = self._locate(doubted=True)
        return super().get_new_connection(conn_params)

    def _locate(self, *, doubted: bool = False) -> str:
        try:
            url = postgres_url(doubted=doubted)
        except EmbeddedError as error:
            raise psycopg2.OperationalError(str(error)) from error
        host: str = psycopg2.extensions.parse_dsn(url)["host"]
        self.settings_dict["HOST"] = host
        return host
