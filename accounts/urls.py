"""Addresses of accounts."""

from django.urls import URLPattern, URLResolver, path

from accounts.api.access import SessionView, TokensView, TokenView
from accounts.api.memberships import PasswordView, UserRegionsView, UserRegionView, UserRolesView, UserRoleView
from accounts.api.roles import RegionsView, RegionView, RolesView, RoleView
from accounts.api.users import UsersView, UserView

urlpatterns: list[URLPattern | URLResolver] = [
    path("users", UsersView.as_view(), name="users"),
    path("users/<key:id>", UserView.as_view(), name="user"),
    path("users/<key:id>/password", PasswordView.as_view(), name="user-password"),
    path("users/<key:id>/roles", UserRolesView.as_view(), name="user-roles"),
    path("users/<key:id>/roles/<slug:slug>", UserRoleView.as_view(), name="user-role"),
    path("users/<key:id>/regions", UserRegionsView.as_view(), name="user-regions"),
    path("users/<key:id>/regions/<slug:slug>", UserRegionView.as_view(), name="user-region"),
    path("roles", RolesView.as_view(), name="roles"),
    path("roles/<slug:slug>", RoleView.as_view(), name="role"),
    path("regions", RegionsView.as_view(), name="regions"),
    path("regions/<slug:slug>", RegionView.as_view(), name="region"),
    path("tokens", TokensView.as_view(), name="tokens"),
    path("tokens/<slug:key>", TokenView.as_view(), name="token"),
    path("session", SessionView.as_view(), name="session"),
]
