"""Print the table of docs/permissions.md."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from accounts.endpoints import permission_table


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = "Print which role may call which endpoint, as Markdown, for docs/permissions.md."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(permission_table(), ending="")
