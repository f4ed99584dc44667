"""Make a token for a program."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import UserInactiveError
from accounts.models import User
from accounts.services import token_create


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Make a bearer token for a user and print it, alone, on standard output. It is shown this once; only its "
        "digest is stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL|ID", help="whose token it is")
        days = settings.TOKEN_TTL_HOURS / 24
        parser.add_argument("--days", type=float, default=days, metavar="N", help=f"how long it lives ({days:g})")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["days"] * 24 <= settings.TOKEN_MAX_TTL_HOURS:
            raise CommandError(f"--days must be more than 0 and at most {settings.TOKEN_MAX_TTL_HOURS / 24:g}.")
        user = self._user(options["user"])
        try:
            _, token = token_create(user=user, ttl=timedelta(days=options["days"]), now=datetime.now(UTC))
        except UserInactiveError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)

    def _user(self, named: str) -> User:
        user = User.objects.filter(pk=named).first() or User.objects.filter(email=named.lower()).first()
        if user is None:
            raise CommandError(f"There is no user with the id or e-mail {named!r}.")
        return user
