"""A file never gives power: every way to become an administrator by CSV."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Permission
from knox.models import AuthToken

from accounts.models import Role, RoleMembership, User
from ingestion.profiles import Profile, load_profile
from tests.integration.ingestion.driving import Driver, Schedule, csv_bytes, rows

HEADER = ("order_id", "user_id", "sku", "quantity", "user_name", "user_email", "roles")
PEOPLE = (
    "SELECT id, email, name, password, is_staff, is_superuser, is_active, version FROM accounts_user WHERE id = 'alice'"
)


def profile(**rules: Any) -> Profile:
    """Everything open that a profile can open."""
    data = load_profile("sluice").as_dict()
    data["rules"] |= {"update_people": True, "roles": ["buyer", "admin", "typo"], "max_error_ratio": 1.0, **rules}
    return Profile.from_mapping(data, source="test")


def file(*records: tuple[str, str, str, str]) -> bytes:
    """Records of (user, name, e-mail, roles)."""
    return csv_bytes([(f"o{number}", user, "tea", 1, *rest) for number, (user, *rest) in enumerate(records)], HEADER)


@pytest.fixture
def alice(database: str) -> User:
    """She can log in and may do everything."""
    return User.objects.create_superuser("alice", email="alice@example.com", password="secret", name="Alice")


@pytest.fixture
def roles(database: str) -> None:
    Role.objects.create(slug="buyer", name="Buyer", is_importable=True)
    Role.objects.get(slug="admin").permissions.clear()  # else its permissions would be the reason to refuse it


@pytest.mark.parametrize("target_bytes", [20, 1 << 20])
def test_file_does_not_change_who_can_log_in(driver: Driver, alice: User, roles: None, target_bytes: int) -> None:
    before = rows(PEOPLE)
    records = file(
        ("alice", "Mallory", "", ""),
        ("alice", "", "mallory@example.com", ""),
        ("alice", "", "", "buyer"),
        ("mallory", "", "alice@example.com", ""),
        ("mallory", "", "ALICE@EXAMPLE.COM", ""),
        ("alice", "Alice", "Alice@example.com", ""),
    )
    certificate = driver.load(records, profile=profile(), schedule=Schedule(target_bytes=target_bytes))
    assert certificate["errors"] == {"protected_user": 3, "duplicate_email": 2}
    assert certificate["loaded"] == 1
    assert rows(PEOPLE) == before
    assert RoleMembership.objects.count() == 0


def test_roles_need_a_mark_a_profile_and_a_person_who_may(driver: Driver, roles: None) -> None:
    records = file(
        ("bob", "", "", "buyer"),
        ("eve", "", "", "admin"),
        ("eve", "", "", "buyer,admin"),
        ("eve", "", "", "root"),  # not in the profile: whether it exists is nobody's business
        ("eve", "", "", "typo"),  # in the profile, but there is no such role
    )
    certificate = driver.load(records, profile=profile())
    assert certificate["errors"] == {"role_not_allowed": 3, "unknown_role": 1}
    assert rows("SELECT user_id FROM accounts_rolemembership") == [("bob",)]
    assert driver.load(file(("tom", "", "", "buyer")), profile=profile(roles=[]))["errors"] == {"role_not_allowed": 1}
    # Nobody gives what they do not have.
    Role.objects.get(slug="buyer").permissions.add(Permission.objects.get(codename="add_user"))
    clerk = User.objects.create_user("clerk", email="clerk@example.com", password="secret")
    given = driver.load(file(("ann", "", "", "buyer")), profile=profile(), created_by_id=clerk.pk)
    assert given["errors"] == {"role_not_allowed": 1}
    RoleMembership.objects.create(user=clerk, role=Role.objects.get(slug="buyer"))
    assert driver.load(file(("ann", "", "", "buyer")), profile=profile(), created_by_id=clerk.pk)["errors"] == {}


def test_refused_record_gives_no_role(driver: Driver, alice: User, roles: None) -> None:
    driver.load(
        file(("bob", "", "alice@example.com", "buyer"), ("bob", "", "bob@example.com", ""), ("ann", "", "", "buyer")),
        profile=profile(),
    )
    assert rows("SELECT user_id FROM accounts_rolemembership") == [("ann",)]


def test_who_has_a_token_is_protected_like_who_has_a_password(driver: Driver) -> None:
    driver.load(file(("bob", "Bob", "bob@example.com", "")))
    AuthToken.objects.create(User.objects.get(pk="bob"))
    certificate = driver.load(file(("bob", "", "mallory@example.com", "")), profile=profile())
    assert certificate["errors"] == {"protected_user": 1}
    assert User.objects.get(pk="bob").email == "bob@example.com"


def test_imported_user_cannot_log_in(driver: Driver) -> None:
    driver.load(file(("bob", "Bob", "bob@example.com", "")))
    bob = User.objects.get(pk="bob")
    assert not bob.has_usable_password()
    assert (bob.is_staff, bob.is_superuser) == (False, False)
    for password in ("", "!", "bob", bob.password):
        assert authenticate(username="bob@example.com", password=password) is None
        assert not bob.check_password(password)


def test_columns_named_like_flags_are_ignored(driver: Driver) -> None:
    header = ("order_id", "user_id", "sku", "quantity", "is_superuser", "is_staff", "password")
    driver.load(csv_bytes([("o1", "bob", "tea", 1, "true", "t", "pbkdf2_sha256$1$a$b")], header))
    assert rows("SELECT password, is_staff, is_superuser FROM accounts_user") == [("!", False, False)]
