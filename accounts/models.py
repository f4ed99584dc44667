"""Users, roles and regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Permission
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Collate, Lower, Now

from config.kernel.fields import TextKeyField, text_key_check

if TYPE_CHECKING:
    from accounts.identities import Scope


class UserManager(BaseUserManager["User"]):
    """Creates users that can log in; imported users are written by the resolve stage."""

    def create_user(self, id: str, *, email: str | None = None, password: str | None = None, name: str = "") -> User:
        """
        Create one user.

        Args:
            id: natural text key, at most 128 characters.
            email: the login; stored lower-case. Without one the user cannot log in.
            password: plain text; None makes the password unusable.
        """
        user = self.model(id=id, email=email.lower() if email else None, name=name)
        user.set_password(password)
        user.full_clean()
        user.save(using=self._db, force_insert=True)
        return user

    def create_superuser(self, id: str, *, email: str, password: str | None = None, name: str = "") -> User:
        """Create a user with every permission. Arguments as for `create_user`."""
        user = self.create_user(id, email=email, password=password, name=name)
        user.is_staff = user.is_superuser = True
        user.save(using=self._db, update_fields=["is_staff", "is_superuser"])
        return user


class User(AbstractBaseUser):
    """
    A person who orders, works here, or both.

    `import_id` and `import_chunk` say which import made the row (plain integers: this app knows nothing of
    ingestion). An imported user has the unusable password "!" and so cannot log in.
    """

    id = TextKeyField(primary_key=True)
    email = TextKeyField(max_length=254, null=True, blank=True, unique=True)
    name = models.CharField(max_length=255, blank=True)
    age = models.PositiveSmallIntegerField(null=True, blank=True)
    country = models.CharField(max_length=64, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    import_id = models.BigIntegerField(null=True, blank=True, editable=False)
    import_chunk = models.IntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())
    roles: models.ManyToManyField[Role, RoleMembership] = models.ManyToManyField(
        "Role", through="RoleMembership", related_name="users"
    )
    regions: models.ManyToManyField[Region, Any] = models.ManyToManyField("Region", related_name="managers", blank=True)

    objects: ClassVar[UserManager] = UserManager()

    scope: Scope | None = None
    """What the roles grant, once somebody asked (see `accounts.identities`); not a field."""

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["id"]

    class Meta:
        constraints: ClassVar = [
            text_key_check("id", name="accounts_user_id_valid"),
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="accounts_user_email_lower_case"),
            models.CheckConstraint(condition=~models.Q(email=""), name="accounts_user_email_not_empty"),
            models.CheckConstraint(
                condition=models.Q(age__isnull=True) | models.Q(age__lte=150), name="accounts_user_age_possible"
            ),
        ]
        # Many users are only ids, which these two leave out, so that loads do not pay for them.
        indexes: ClassVar = [
            models.Index(
                Collate(Lower("name"), "C"),
                "id",
                name="accounts_user_name_id",
                condition=~models.Q(name=""),
            ),
            models.Index(fields=["country", "id"], name="accounts_user_country_id", condition=~models.Q(country="")),
        ]

    def __str__(self) -> str:
        return self.name or self.id

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """Tell whether a role of this user grants the permission; superusers have all."""
        from django.contrib.auth.models import _user_has_perm  # type: ignore[attr-defined]

        return self.is_active and (self.is_superuser or bool(_user_has_perm(self, perm, obj)))

    def get_all_permissions(self) -> set[str]:
        """The names of all permissions that the user's roles grant; of a superuser, all there are."""
        from django.contrib.auth.models import _user_get_permissions  # type: ignore[attr-defined]

        return set(_user_get_permissions(self, None, "all"))

    def has_perms(self, perm_list: Iterable[str], obj: models.Model | None = None) -> bool:
        """Tell whether the user has every permission of the list."""
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Tell whether the user has any permission in an app (the admin asks this)."""
        from django.contrib.auth.models import _user_has_module_perms  # type: ignore[attr-defined]

        return self.is_active and (self.is_superuser or bool(_user_has_module_perms(self, app_label)))


class Role(models.Model):
    """
    A named set of permissions.

    Only a role marked `is_importable` can be given by a file, and only when the profile and the importing
    person's own roles allow it. What a role marked `is_regional` grants holds for the countries of the user's regions
    only (see `selectors.visible_countries`).
    """

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=128)
    permissions = models.ManyToManyField(Permission, related_name="roles", blank=True)
    is_importable = models.BooleanField(default=False)
    is_regional = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    def __str__(self) -> str:
        return self.name


class RoleMembership(models.Model):
    """
    A user holds a role; `import_id` says which import gave it, if one did.

    A trigger bumps the user's version with every row that comes or goes, whoever writes it: their roles are part of
    what the API shows of them.
    """

    # The constraint and the index below serve both keys.
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    import_id = models.BigIntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "role"], name="accounts_rolemembership_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["role", "user"], name="accounts_rolemembership_role")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.role_id}"


class Region(models.Model):
    """A named set of countries, assigned to regional managers."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=128)
    countries = ArrayField(models.CharField(max_length=64), default=list)
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    def __str__(self) -> str:
        return self.name


class DeletionEpoch(models.Model):
    """
    One row that counts the statements which may have removed users.

    Merges take the integrity gate in shared mode and read the epoch; the triggers on `accounts_user` take the gate
    in exclusive mode and bump it. A changed epoch tells a worker to verify again the users it knows of.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="accounts_deletionepoch_one_row"),
        ]

    def __str__(self) -> str:
        return str(self.epoch)
