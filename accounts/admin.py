"""Users, roles, regions and tokens in the admin: the same services as the API's, so the same rules and versions."""

from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.forms import AdminPasswordChangeForm as OwnPasswordForm
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from accounts import services
from accounts.authentication import signed_in
from accounts.errors import InvalidFieldError
from accounts.models import Region, Role, RoleMembership, User
from accounts.powers import grantable, has_power_over, reaches
from accounts.selectors import users_filtered, users_visible
from accounts.services.tokens import tokens_revoke
from accounts.services.users import ATTRIBUTES, FLAGS
from config.kernel.admin import BoundedAdmin
from config.kernel.errors import ApplicationError

CHANGE_USER: Final = "accounts.change_user"
LINEAGE: Final = ("version", "import_id", "import_chunk", "last_login", "created_at", "updated_at")


class ServiceAdmin(BoundedAdmin):
    """
    Writes through services; what they refuse is a message on the page. Bulk deletion is left out: each row has reasons
    of its own to stay.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._refusals_as_messages(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._refusals_as_messages(request, super().delete_view, *args, **kwargs)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Only the row itself: Django would read all that belongs to it, which may be a million orders."""
        name = str(self.opts.verbose_name_plural)
        return [str(each) for each in objs], {name: len(objs)}, set(), []

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the services have written it."""

    def _refusals_as_messages(self, request: HttpRequest, view: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except ApplicationError as error:
            self.message_user(request, _in_words(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return response


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = (*ATTRIBUTES, "regions")
        field_classes: ClassVar[dict[str, Any]] = {}

    def clean_email(self) -> str | None:
        email: str | None = self.cleaned_data["email"]
        return email.lower() if email else None


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("id", "name", "email", "age", "country")
        field_classes: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["id"].required = False
        self.fields["id"].help_text = "Left empty, one is made. It cannot be changed later."
        self.fields["name"].required = self.fields["email"].required = True

    clean_email = UserForm.clean_email


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Somebody else's password."""

    def save(self, commit: bool = True) -> User:
        password = self.cleaned_data["password1"] if self.cleaned_data["set_usable_password"] else None
        # Whether the person may was asked by has_change_permission.
        return services.password_set(user_id=self.user.pk, password=password, now=timezone.now())


class ChangeOwnPasswordForm(OwnPasswordForm):
    """One's own password."""

    def save(self, commit: bool = True) -> User:
        changed = services.password_set(
            user_id=self.user.pk, password=self.cleaned_data["new_password1"], now=timezone.now()
        )
        self.user.password = changed.password  # the session goes on with it
        return changed


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """Roles of a user: given and taken, never edited."""

    model = RoleMembership
    extra = 0
    fields = ("role", "import_id", "created_at")
    readonly_fields = ("import_id", "created_at")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "role" and field is not None:
            field.queryset = Role.objects.filter(pk__in=grantable(signed_in(request)))
        return field

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class RoleFilter(admin.SimpleListFilter):
    """A join with few rows; Django's own filter would look at every user."""

    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Role.objects.order_by("name").values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[User]") -> "QuerySet[User]":
        role = Role.objects.filter(slug=self.value()).first() if self.value() else None
        return queryset.filter(memberships__role=role) if role is not None else queryset


class RegionFilter(admin.SimpleListFilter):
    """Who a region is assigned to."""

    title = "region"
    parameter_name = "region"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Region.objects.order_by("name").values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[User]") -> "QuerySet[User]":
        region = Region.objects.filter(slug=self.value()).first() if self.value() else None
        return queryset.filter(regions=region) if region is not None else queryset


@admin.register(User)
class UserAdmin(ServiceAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """People. Searching finds what ids, e-mails and names begin with."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    inlines = (MembershipInline,)
    list_display = ("id", "name", "email", "country", "is_active", "is_staff")
    list_filter = (RoleFilter, RegionFilter)
    search_fields = ("id",)  # get_search_results knows better
    search_help_text = "The beginning of an id, an e-mail or a name"
    ordering = ("id",)
    filter_horizontal = ("regions",)
    fieldsets = (
        (None, {"fields": ("id", "name", "email", "password", "age", "country")}),
        ("May do", {"fields": ("is_active", "is_staff", "is_superuser", "regions")}),
        ("History", {"fields": LINEAGE}),
    )
    add_fieldsets = (
        (None, {"fields": ("id", "name", "email", "age", "country")}),
        ("Password", {"fields": ("usable_password", "password1", "password2")}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        return users_visible(signed_in(request)).prefetch_related(None)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[User]", search_term: str
    ) -> "tuple[QuerySet[User], bool]":
        text = search_term.strip()
        return (users_filtered(queryset, {"q": text}) if text else queryset), False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        flags = () if request.user.is_superuser else FLAGS
        return (*LINEAGE, "id", *flags) if obj is not None else LINEAGE

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        actor = signed_in(request)
        return super().has_delete_permission(request, obj) and (obj is None or has_power_over(actor, obj))

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        actor = signed_in(request)
        if change:
            attributes = {name: form.cleaned_data[name] for name in form.changed_data if name in ATTRIBUTES}
            saved = services.user_update(user_id=obj.pk, attributes=attributes, actor=actor, now=timezone.now())
        else:
            data = form.cleaned_data
            attributes = {name: data[name] for name in ATTRIBUTES if name in data}
            password = data["password1"] if data.get("set_usable_password", True) else None
            saved = services.user_create(
                user_id=obj.pk or None,
                attributes=attributes,
                password=password or None,
                actor=actor,
                now=timezone.now(),
            )
        obj.pk = saved.pk
        obj.refresh_from_db()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        user, actor = form.instance, signed_in(request)
        for formset in formsets:
            formset.save(commit=False)  # for the history
            for given in formset.new_objects:
                services.role_assign(user_id=user.pk, slug=given.role.slug, actor=actor)
            for taken in formset.deleted_objects:
                services.role_revoke(user_id=user.pk, slug=taken.role.slug, actor=actor)
        if "regions" in form.changed_data:
            wanted, had = set(form.cleaned_data["regions"]), set(user.regions.all())
            for region in wanted - had:
                services.region_assign(user_id=user.pk, slug=region.slug, actor=actor)
            for region in had - wanted:
                services.region_take(user_id=user.pk, slug=region.slug, actor=actor)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.user_delete(user_id=obj.pk, actor=signed_in(request))


@admin.register(Role)
class RoleAdmin(ServiceAdmin):
    """What somebody may do."""

    list_display = ("slug", "name", "is_regional", "is_importable", "version")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    filter_horizontal = ("permissions",)
    fields = ("slug", "name", "is_regional", "is_importable", "permissions", "version", "created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("version", "created_at", "updated_at", *(("slug",) if obj is not None else ()))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "permissions":
            kwargs["queryset"] = db_field.remote_field.model.objects.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:
        data = form.cleaned_data
        attributes = {name: data[name] for name in ("name", "is_importable", "is_regional")}
        attributes["permissions"] = [f"{row.content_type.app_label}.{row.codename}" for row in data["permissions"]]
        write = services.role_update if change else services.role_create
        saved = write(slug=obj.slug, attributes=attributes, actor=signed_in(request), now=timezone.now())
        obj.pk = saved.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        services.role_delete(slug=obj.slug, actor=signed_in(request))


@admin.register(Region)
class RegionAdmin(ServiceAdmin):
    """Named sets of countries."""

    list_display = ("slug", "name", "countries", "version")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    fields = ("slug", "name", "countries", "version", "created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("version", "created_at", "updated_at", *(("slug",) if obj is not None else ()))

    def save_model(self, request: HttpRequest, obj: Region, form: Any, change: bool) -> None:
        attributes = {name: form.cleaned_data[name] for name in ("name", "countries")}
        write = services.region_update if change else services.region_create
        saved = write(slug=obj.slug, attributes=attributes, actor=signed_in(request), now=timezone.now())
        obj.pk = saved.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Region) -> None:
        services.region_delete(slug=obj.slug, actor=signed_in(request))


admin.site.unregister([AuthToken, Group])  # knox shows the digests; roles stand in the place of groups


@admin.register(AuthToken)
class TokenAdmin(ServiceAdmin):
    """Tokens for programs: to be looked at and revoked. They are made by the API and by `create_token`."""

    list_display = ("token_key", "user", "created", "expiry")
    list_select_related = ("user",)
    search_fields = ("=token_key", "=user__id", "=user__email")
    search_help_text = "The first 15 characters of a token, or the id or e-mail of its user"
    ordering = ("-created",)
    fields = readonly_fields = ("token_key", "user", "created", "expiry")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHANGE_USER)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(CHANGE_USER)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(CHANGE_USER) and (obj is None or _may_change(request, obj.user))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        tokens_revoke([str(obj.pk)])


def password_change(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
    """The admin's page for one's own password; Django's own writes the whole row, past versions and the cache."""
    view = PasswordChangeView.as_view(
        form_class=ChangeOwnPasswordForm,
        success_url=reverse("admin:password_change_done"),
        template_name="registration/password_change_form.html",
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )
    request.current_app = admin.site.name
    return view(request)


admin.site.password_change = password_change  # type: ignore[method-assign]


def _may_change(request: HttpRequest, user: User | None) -> bool:
    actor = signed_in(request)
    if user is None:
        return bool(actor.has_perm(CHANGE_USER))
    return (
        actor.has_perm(CHANGE_USER)
        and has_power_over(actor, user)
        and reaches(actor, user.country, permission=CHANGE_USER)
    )


def _in_words(error: ApplicationError) -> str:
    if isinstance(error, InvalidFieldError):
        return " ".join(each["message"] for each in error.data["errors"])
    return str(error)
