"""Print the table of docs/permissions.md."""

from typing import Any

from django.core.management.base import BaseCommand

from accounts.endpoints import permission_table


class Command(BaseCommand):
    help = "Print which role may call which endpoint, as Markdown, for docs/permissions.md."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(permission_table(), ending="")
