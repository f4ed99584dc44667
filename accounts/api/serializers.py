"""What the API takes and gives of users, roles, regions and tokens."""

from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.validators import RegexValidator
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.kernel.api.strict import TEXT_KEY_SCHEMA, FlagField, KeyField, StrictSerializer, TextField, WholeNumberField
from config.kernel.fields import TEXT_KEY_MESSAGE, TEXT_KEY_PATTERN

MIN_NAME: Final = 3
MAX_NAME: Final = 255
MAX_COUNTRY: Final = 64
MAX_EMAIL: Final = 254
MAX_AGE: Final = 150
MAX_SLUG: Final = 64
MAX_PASSWORD: Final = 1_000  # hashing much longer ones would keep a process busy
MAX_PERMISSIONS: Final = 500
MAX_COUNTRIES: Final = 1_000

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_LAST_LABEL: Final = r"[A-Za-z]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
# Dot-atoms of RFC 5321 and a host of two labels or more, as files have them, too; the same for us and for the schema.
EMAIL_PATTERN: Final = rf"^{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+{_LAST_LABEL}$"
SLUG_PATTERN: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"


@extend_schema_field({"type": "string", "format": "email", "maxLength": MAX_EMAIL, "pattern": EMAIL_PATTERN})
class EmailAddressField(TextField):
    """An e-mail address; upper and lower case are one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_EMAIL, **options)
        message = "It is not an e-mail address such as name@example.com."
        self.validators.append(RegexValidator(EMAIL_PATTERN[:-1] + r"\Z", message, code="invalid_email"))


@extend_schema_field({"type": "string", "minLength": MIN_NAME, "maxLength": MAX_NAME, "pattern": TEXT_KEY_SCHEMA})
class PersonNameField(TextField):
    """A name, at least three characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=MIN_NAME, max_length=MAX_NAME, **options)
        self.validators.append(RegexValidator(TEXT_KEY_PATTERN, TEXT_KEY_MESSAGE, code="invalid_name"))


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 128, "pattern": TEXT_KEY_SCHEMA})
class LabelField(TextField):
    """The name of a role or region."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=128, **options)
        self.validators.append(RegexValidator(TEXT_KEY_PATTERN, TEXT_KEY_MESSAGE, code="invalid_name"))


@extend_schema_field({"type": "string", "maxLength": MAX_COUNTRY, "pattern": f"{TEXT_KEY_SCHEMA}|^$"})
class CountryField(TextField):
    """A country as orders and users name it; empty: not known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_COUNTRY, **options)
        self.validators.append(RegexValidator(TEXT_KEY_PATTERN, TEXT_KEY_MESSAGE, code="invalid_country"))


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": MAX_SLUG, "pattern": SLUG_PATTERN})
class SlugField(TextField):
    """A short name for addresses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_SLUG, **options)
        message = "Lower-case letters and digits, with single hyphens between them."
        self.validators.append(RegexValidator(SLUG_PATTERN[:-1] + r"\Z", message, code="invalid_slug"))


class PasswordField(TextField):
    """A password; it is never given back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_PASSWORD, write_only=True, **options)


@extend_schema_field({"type": "string", "minLength": 8, "maxLength": MAX_PASSWORD, "writeOnly": True})
class NewPasswordField(PasswordField):
    """A password that is to be; Django's validators judge it (AUTH_PASSWORD_VALIDATORS), not its form only."""


class UserSerializer(serializers.Serializer[Any]):
    """A user; `version` is the ETag."""

    id = serializers.CharField()
    name = serializers.CharField(help_text="may be empty for a user that an import made")
    email = serializers.CharField(allow_null=True)
    age = serializers.IntegerField(allow_null=True)
    country = serializers.CharField()
    is_active = serializers.BooleanField()
    is_staff = serializers.BooleanField(help_text="may open the admin")
    is_superuser = serializers.BooleanField()
    has_password = serializers.BooleanField(help_text="whether the user can sign in with a password")
    roles = serializers.ListField(child=serializers.CharField())
    regions = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField()
    import_id = serializers.IntegerField(allow_null=True, help_text="the import that made or last changed the user")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class UserReplaceSerializer(StrictSerializer):
    """
    All attributes of a user. What is left out becomes its default; the two flags, which only superusers may send, stay.
    """

    name = PersonNameField()
    email = EmailAddressField()
    age = WholeNumberField(min_value=0, max_value=MAX_AGE, allow_null=True, default=None)
    country = CountryField(allow_blank=True, default="")
    is_active = FlagField(default=True)
    is_staff = FlagField(required=False, help_text="only superusers change it")
    is_superuser = FlagField(required=False, help_text="only superusers change it")


class UserChangeSerializer(StrictSerializer):
    """Some attributes of a user."""

    name = PersonNameField(required=False)
    email = EmailAddressField(required=False)
    age = WholeNumberField(min_value=0, max_value=MAX_AGE, allow_null=True, required=False)
    country = CountryField(allow_blank=True, required=False)
    is_active = FlagField(required=False)
    is_staff = FlagField(required=False, help_text="only superusers change it")
    is_superuser = FlagField(required=False, help_text="only superusers change it")


class UserCreateSerializer(UserReplaceSerializer):
    """A new user."""

    id = KeyField(required=False, help_text="made by the server when it is left out")
    password = NewPasswordField(required=False, help_text="needs the permission to change users, too")


class PasswordSerializer(StrictSerializer):
    """A new password."""

    password = NewPasswordField()
    current_password = PasswordField(required=False, help_text="needed to change one's own")


class RoleSerializer(serializers.Serializer[Any]):
    """A role; `version` is the ETag."""

    slug = serializers.CharField()
    name = serializers.CharField()
    is_importable = serializers.BooleanField(help_text="whether a file may give it")
    is_regional = serializers.BooleanField(help_text="what it grants holds for the countries of the user's regions")
    permissions = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class PermissionNameField(TextField):
    """Such as orders.view_order."""


class PermissionNameExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The schema names all that there are; they come from the models, which are not loaded before it is asked for."""

    target_class = "accounts.api.serializers.PermissionNameField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        metas = [model._meta for model in apps.get_models() if model._meta.managed and not model._meta.proxy]
        names = {f"{meta.app_label}.{codename}" for meta in metas for codename, _ in meta.permissions}
        for meta in metas:
            names.update(f"{meta.app_label}.{action}_{meta.model_name}" for action in meta.default_permissions)
        return {"type": "string", "enum": sorted(names)}


class RoleChangeSerializer(StrictSerializer):
    """Some attributes of a role."""

    name = LabelField(required=False)
    is_importable = FlagField(required=False)
    is_regional = FlagField(required=False)
    permissions = serializers.ListField(
        child=PermissionNameField(max_length=200), max_length=MAX_PERMISSIONS, required=False
    )


class RoleReplaceSerializer(StrictSerializer):
    """All attributes of a role."""

    name = LabelField()
    is_importable = FlagField(default=False)
    is_regional = FlagField(default=False)
    permissions = serializers.ListField(
        child=PermissionNameField(max_length=200), max_length=MAX_PERMISSIONS, default=list
    )


class RoleCreateSerializer(RoleReplaceSerializer):
    """A new role."""

    slug = SlugField()


class RegionSerializer(serializers.Serializer[Any]):
    """A region; `version` is the ETag."""

    slug = serializers.CharField()
    name = serializers.CharField()
    countries = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RegionChangeSerializer(StrictSerializer):
    """Some attributes of a region."""

    name = LabelField(required=False)
    countries = serializers.ListField(child=CountryField(), max_length=MAX_COUNTRIES, required=False)


class RegionReplaceSerializer(StrictSerializer):
    """All attributes of a region."""

    name = LabelField()
    countries = serializers.ListField(child=CountryField(), max_length=MAX_COUNTRIES)


class RegionCreateSerializer(RegionReplaceSerializer):
    """A new region."""

    slug = SlugField()


class RoleGivenSerializer(serializers.Serializer[Any]):
    """A role that a user has."""

    role = serializers.CharField()
    name = serializers.CharField()
    import_id = serializers.IntegerField(allow_null=True, help_text="the import that gave it; null: a person did")
    created_at = serializers.DateTimeField()


class RoleToGiveSerializer(StrictSerializer):
    """A role to give."""

    role = TextField(max_length=MAX_SLUG)


class RegionToAssignSerializer(StrictSerializer):
    """A region to assign."""

    region = TextField(max_length=MAX_SLUG)


class TokenOwnerSerializer(StrictSerializer):
    """Whose tokens."""

    user_id = KeyField(
        required=False, help_text="whose; one's own if left out, else it needs the permission to change users"
    )


class TokenSerializer(serializers.Serializer[Any]):
    """A token, as far as it is stored."""

    key = serializers.CharField(help_text="its first 15 characters")
    user_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    is_current = serializers.BooleanField(help_text="whether this request came with it")


class TokenMadeSerializer(TokenSerializer):
    """A new token."""

    token = serializers.CharField(help_text="shown this once")


class TokenCreateSerializer(StrictSerializer):
    """What a token shall be."""

    ttl_hours = WholeNumberField(
        min_value=1,
        max_value=settings.TOKEN_MAX_TTL_HOURS,
        required=False,
        help_text=f"how long it lives; {settings.TOKEN_TTL_HOURS} if left out",
    )
    user_id = KeyField(required=False, help_text="whose it is; one's own if left out")


class SignInSerializer(StrictSerializer):
    """E-mail and password."""

    email = TextField(max_length=MAX_EMAIL)
    password = PasswordField()


class WhoAmISerializer(serializers.Serializer[Any]):
    """Who asks, and what they may do."""

    user = UserSerializer()
    kind = serializers.ChoiceField(choices=["token", "session"])
    permissions = serializers.ListField(child=serializers.CharField())
    countries = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="those whose orders one sees; null: all"
    )
    expires_at = serializers.DateTimeField(allow_null=True)
    csrf_token = serializers.CharField(
        allow_null=True, help_text="of a session; to be sent as X-CSRFToken with every change"
    )


class UserFilterSerializer(StrictSerializer):
    """Filters of the list of users; all that are given hold."""

    email = TextField(required=False, max_length=MAX_EMAIL, help_text="the whole e-mail address")
    name = TextField(required=False, max_length=MAX_NAME, help_text="what the name begins with, in any case")
    country = TextField(required=False, max_length=MAX_COUNTRY, help_text="the whole name of the country")
    role = TextField(required=False, max_length=MAX_SLUG, help_text="a role that the user has")
    q = TextField(
        required=False,
        max_length=MAX_EMAIL,
        help_text="what the id, the e-mail or the name begins with; the first 1,000 of each",
    )
