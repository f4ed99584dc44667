"""`manage.py dbshell` with the psql that the wheel brings."""

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import client

from config.embedded.place import home_directory, place_open
from config.embedded.programs import postgres_program


class DatabaseClient(client.DatabaseClient):
    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.get_connection_params()  # starts the server
        self.executable_name = str(postgres_program(place_open(home_directory()), "psql"))
        super().runshell(parameters)

    @classmethod
    def settings_to_cmd_args_env(cls, settings_dict: dict[str, Any], parameters: Iterable[str]) -> Any:
        arguments, environment = super().settings_to_cmd_args_env(settings_dict, parameters)
        psql = postgres_program(place_open(home_directory()), "psql")
        return [str(psql), *arguments[1:]], environment
