"""Why users, roles, regions and tokens refuse: one class for each reason."""

from collections.abc import Iterable
from typing import ClassVar

from config.kernel.errors import ApplicationError


class InvalidFieldError(ApplicationError):
    """A value that looks right and is not: answered like every other field that is not valid."""

    code, status = "invalid", 400
    message = "Some fields are not valid; see errors."

    def __init__(self, *, field: str, code: str, messages: Iterable[str]) -> None:
        super().__init__(errors=[{"field": field, "code": code, "message": message} for message in messages])


class DuplicateEmailError(InvalidFieldError):
    def __init__(self) -> None:
        message = "Another user has this e-mail already."
        super().__init__(field="email", code="duplicate_email", messages=[message])


class WeakPasswordError(InvalidFieldError):
    def __init__(self, *, messages: Iterable[str]) -> None:
        super().__init__(field="password", code="weak_password", messages=messages)


class WrongPasswordError(InvalidFieldError):
    def __init__(self) -> None:
        message = "It is not your present password."
        super().__init__(field="current_password", code="wrong_password", messages=[message])


class UnknownPermissionError(InvalidFieldError):
    def __init__(self, *, names: Iterable[str]) -> None:
        messages = [f"There is no permission {name!r}." for name in names]
        super().__init__(field="permissions", code="unknown_permission", messages=messages)


class UserNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "There is no user {user_id!r}, or none that you may see."


class UserExistsError(ApplicationError):
    code, status = "user_exists", 409
    message = "A user {user_id!r} exists already. Change that one, or give the new one another id."


class UserHasRecordsError(ApplicationError):
    """The code says of what: `user_has_orders`, `user_has_imports`, `user_has_uploads`, …"""

    status = 409
    message = "User {user_id!r} has {records}, which must keep their user. Deactivate the user instead (is_active)."

    def __init__(self, *, user_id: str, records: str) -> None:
        super().__init__(user_id=user_id, records=records)
        self.code = f"user_has_{records.replace(' ', '_')}"  # type: ignore[misc]


class UserInactiveError(ApplicationError):
    code, status = "user_inactive", 409
    message = "User {user_id!r} is not active, so a token would be of no use."


class OutsideRegionError(ApplicationError):
    code, status = "outside_region", 403
    message = "Your roles do not reach users of the country {country!r}. Give a country of your regions."


class NoLongerAllowedError(ApplicationError):
    code, status = "permission_denied", 403
    message = "You may not do this any more."


class MorePowerfulUserError(ApplicationError):
    code, status = "more_powerful_user", 403
    message = "User {user_id!r} may do what you may not, so you cannot change this user."


class MoreThanYouHaveError(ApplicationError):
    code, status = "more_than_you_have", 403
    message = "This would grant what you do not have yourself: {missing}."


class SuperusersOnlyError(ApplicationError):
    code, status = "superusers_only", 403
    message = "Only superusers change superusers, and who is staff or a superuser."


class LimitedToRegionsError(ApplicationError):
    code, status = "limited_to_regions", 403
    message = "Your own roles are limited to regions, so you cannot change what regions are."


class RoleNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "There is no role {slug!r}."


class UnknownRoleError(ApplicationError):
    code, status = "unknown_role", 404
    message = "There is no role {slug!r}."


class RoleExistsError(ApplicationError):
    code, status = "role_exists", 409
    message = "A role {slug!r} exists already."


class RoleInUseError(ApplicationError):
    code, status = "role_in_use", 409
    message = "Somebody has the role {slug!r}. Revoke it from everybody first."


class RegionNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "There is no region {slug!r}."


class UnknownRegionError(ApplicationError):
    code, status = "unknown_region", 404
    message = "There is no region {slug!r}."


class RegionExistsError(ApplicationError):
    code, status = "region_exists", 409
    message = "A region {slug!r} exists already."


class RegionInUseError(ApplicationError):
    code, status = "region_in_use", 409
    message = "The region {slug!r} is assigned to somebody. Take it from everybody first."


class TokenNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "You have no token that begins with {key!r}."


class InvalidCredentialsError(ApplicationError):
    code, status = "invalid_credentials", 401
    message = "The e-mail or the password is wrong, or this user cannot sign in."
    headers: ClassVar = {"WWW-Authenticate": "Bearer"}
