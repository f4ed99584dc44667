"""Make the administrator that `make up` shows."""

import os
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import DuplicateEmailError, UserExistsError
from accounts.models import User
from accounts.services import user_create

ID: Final = "demo-admin"
EMAIL: Final = "demo@example.com"
PASSWORD: Final = "sluice-demo"  # noqa: S105 - of local mode, whose services this machine alone can reach
VARIABLE: Final = "DEMO_ADMIN_PASSWORD"


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        f"Make a superuser {EMAIL}, if there is none yet, and say how to sign in. Outside local mode the password must "
        f"be given in {VARIABLE}."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get(VARIABLE) or (PASSWORD if settings.LOCAL else "")
        if not password:
            raise CommandError(f"Outside local mode everybody would know the password. Set {VARIABLE}.")
        user = User.objects.filter(pk=ID).first() or self._create(password)
        known = user.check_password(password)
        self.stdout.write(f"{user.email}, password {password if known else 'as you have set it'}")

    def _create(self, password: str) -> User:
        flags = {"is_staff": True, "is_superuser": True}
        attributes = {"name": "Demo admin", "email": EMAIL, **flags}
        try:
            return user_create(user_id=ID, attributes=attributes, password=password, now=datetime.now(UTC))
        except UserExistsError:  # by another process, just now
            return User.objects.get(pk=ID)
        except DuplicateEmailError as error:
            raise CommandError(f"Another user has the e-mail {EMAIL}.") from error
