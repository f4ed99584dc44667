"""
Resolve: users, items, roles and e-mails of one chunk, in a short transaction.

Chunks resolve strictly in file order. Without that "the earliest record wins" is impossible (a later chunk could
take an e-mail that an earlier record holds), and e-mails that cross between chunks deadlock.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl
from django.db import IntegrityError, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.copying import copy_frame, joined, query_frame
from ingestion.entities import ITEM_FIELDS, USER_FIELDS
from ingestion.job import INTEGRITY_GATE, Claim, Job
from ingestion.known import KnownKeys, key_hashes, row_hashes
from ingestion.validation import FieldError

queries = load_queries("ingestion", "resolve")

# "!" is Django's mark of a password that nobody can log in with.
NEVER_LOGGED_IN: Final[dict[str, int | str | None]] = {
    "password": "!",
    "is_active": "t",
    "is_staff": "f",
    "is_superuser": "f",
    "version": 1,
}


@dataclass(frozen=True)
class Entity:
    """How the rows of one kind are found in a frame and in the database."""

    kind: str
    key: str
    fields: dict[str, str]
    query: str
    id_column: str


USERS: Final = Entity("user", "user_id", USER_FIELDS, queries.users_by_id, "id")
ITEMS: Final = Entity("item", "sku", ITEM_FIELDS, queries.items_by_sku, "sku")


@dataclass
class Resolution:
    """
    What resolving found out about a chunk; `kept` are the attributes that won, of the keys whose records differ.
    `changed_users` and `changed_items` are the keys of rows that existed before and are different now.

    `errors` are final: a repeated attempt at the merge uses them as they are, because later chunks have resolved
    on top of them.
    """

    errors: list[FieldError] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    epoch: int = 0
    changed_users: set[str] = field(default_factory=set)
    changed_items: set[str] = field(default_factory=set)

    def count(self, name: str, number: int) -> None:
        """Add to a counter."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number


class Resolver:
    """
    Resolves chunks for one worker; remembers which users and items exist.

    Args:
        budget_bytes: memory for what is remembered, users and items together.
    """

    def __init__(self, *, job: Job, budget_bytes: int) -> None:
        self._job = job
        self._known = {
            "user": KnownKeys(budget_bytes=budget_bytes * 3 // 4),
            "item": KnownKeys(budget_bytes=budget_bytes // 4),
        }
        self._epoch: int | None = None

    def forget(self) -> None:
        """Remember nothing: what was learned in a transaction that rolled back is not true."""
        for known in self._known.values():
            known.clear()

    def enter_gate(self, cursor: CursorWrapper) -> int:
        """
        Take the integrity gate (shared, until the transaction ends) and read the deletion epoch.

        While it is held no user can be deleted. If the epoch moved on, everything known is forgotten.
        """
        cursor.execute(queries.gate_shared, {"key": INTEGRITY_GATE})
        cursor.execute(queries.deletion_epoch)
        epoch = int(cursor.fetchone()[0])
        if epoch != self._epoch:
            self._known["user"].clear()
            self._epoch = epoch
        return epoch

    def resolve(self, cursor: CursorWrapper, *, claim: Claim, frame: pl.DataFrame, now: datetime) -> Resolution:
        """
        Make sure that every user and item of the chunk's valid records exists.

        Args:
            cursor: inside a transaction in which it is this chunk's turn.
            frame: the valid records, see `ingestion.validation.Validated`.
            now: timezone-aware UTC, written to the rows made.
        """
        outcome = Resolution(epoch=self.enter_gate(cursor))
        frame = self._roles(cursor, claim=claim, frame=frame, now=now, outcome=outcome)
        self._users(cursor, claim=claim, frame=frame, now=now, outcome=outcome)
        accepted = without_ordinals(frame, {error.ordinal for error in outcome.errors})
        self._items(cursor, claim=claim, frame=accepted, now=now, outcome=outcome)
        return outcome

    def recheck(self, cursor: CursorWrapper, *, claim: Claim, frame: pl.DataFrame, now: datetime) -> Resolution:
        """
        Make the users of a chunk exist again, after somebody deleted users behind its resolve.

        The chunk's place in file order is past, so its errors stand; only missing users are made.
        """
        outcome = Resolution(epoch=self.enter_gate(cursor))
        self._users(cursor, claim=claim, frame=frame, now=now, outcome=outcome)
        self.forget()  # the merge may roll back and come here again
        return outcome

    def stored(self, cursor: CursorWrapper, *, frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """The attributes that won of the users and items of these records, once they are resolved."""
        kept = {}
        for entity in (USERS, ITEMS):
            keys = joined(frame.get_column(entity.key).drop_nulls().unique())
            found = query_frame(cursor, query=entity.query, parameters={"ids": keys})
            kept[entity.kind] = found.rename({entity.id_column: "key"})
        return kept

    # Entities

    def _candidates(self, frame: pl.DataFrame, entity: Entity) -> pl.DataFrame:
        """The first record of each key: key, attributes as texts, ordinal."""
        present = frame.filter(pl.col(entity.key).is_not_null() & pl.col(entity.key).is_first_distinct())
        return present.select(
            pl.col(entity.key).alias("key"),
            *(pl.col(source).cast(pl.String).fill_null("").alias(name) for source, name in entity.fields.items()),
            "ordinal",
        )

    def _missing(
        self, cursor: CursorWrapper, *, entity: Entity, candidates: pl.DataFrame, outcome: Resolution
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Split candidates into those to make and, of those that exist, the stored rows that differ or were unknown."""
        known = self._known[entity.kind]
        names = list(entity.fields.values())
        first, second = key_hashes(candidates.get_column("key"))
        said = row_hashes(candidates.select(names))
        is_known, stored = known.look_up(first, second)
        ask = candidates.filter(pl.Series(~is_known | (stored != said)))
        if not ask.height:
            return ask, ask.clear()
        found = query_frame(cursor, query=entity.query, parameters={"ids": joined(ask.get_column("key"))})
        found = found.rename({entity.id_column: "key"})
        self._remember(entity, found.select("key", *names))
        outcome.kept[entity.kind] = found
        unknown = candidates.filter(pl.Series(~is_known))
        return unknown.join(found.select("key"), on="key", how="anti", maintain_order="left"), found

    def _remember(self, entity: Entity, rows: pl.DataFrame) -> None:
        first, second = key_hashes(rows.get_column("key"))
        known = self._known[entity.kind]
        fresh = ~known.look_up(first, second)[0]
        attributes = row_hashes(rows.select(list(entity.fields.values())))
        known.add(first[fresh], second[fresh], attributes[fresh])

    def _items(
        self, cursor: CursorWrapper, *, claim: Claim, frame: pl.DataFrame, now: datetime, outcome: Resolution
    ) -> None:
        candidates = self._candidates(frame, ITEMS)
        new, found = self._missing(cursor, entity=ITEMS, candidates=candidates, outcome=outcome)
        if self._job.profile.rules.update_items:
            self._update_items(cursor, claim=claim, candidates=candidates, found=found, now=now, outcome=outcome)
        if not new.height:
            return
        rows = new.select(pl.col("key").alias("sku"), "name").sort("sku")
        try:
            with transaction.atomic():
                copy_frame(cursor, table="orders_item", frame=rows, constants=_lineage(claim))
        except IntegrityError:
            # Somebody outside this import made one of them since we looked.
            self._known["item"].clear()
            new, _ = self._missing(cursor, entity=ITEMS, candidates=candidates, outcome=outcome)
            rows = rows.join(new.select(pl.col("key").alias("sku")), on="sku", how="semi", maintain_order="left")
            copy_frame(cursor, table="orders_item", frame=rows, constants=_lineage(claim))
        self._remember(ITEMS, new.select("key", "name"))
        outcome.count("items_inserted", rows.height)

    def _update_items(
        self,
        cursor: CursorWrapper,
        *,
        claim: Claim,
        candidates: pl.DataFrame,
        found: pl.DataFrame,
        now: datetime,
        outcome: Resolution,
    ) -> None:
        differing = candidates.join(found, on="key", suffix="_kept", maintain_order="left").filter(
            (pl.col("name") != "")
            & (pl.col("name") != pl.col("name_kept"))
            & (pl.col("import_id") != str(self._job.import_id))
        )
        for row in differing.iter_rows(named=True):
            cursor.execute(
                queries.item_update,
                {
                    "sku": row["key"],
                    "name": row["name"],
                    "import_id": claim.import_id,
                    "chunk": claim.number,
                    "now": now,
                },
            )
        outcome.count("items_updated", differing.height)
        outcome.changed_items.update(differing.get_column("key"))
        if differing.height:
            self._known["item"].clear()
            outcome.kept.pop("item", None)
            self._missing(cursor, entity=ITEMS, candidates=candidates, outcome=outcome)

    # Users

    def _users(
        self, cursor: CursorWrapper, *, claim: Claim, frame: pl.DataFrame, now: datetime, outcome: Resolution
    ) -> None:
        candidates = self._candidates(frame, USERS)
        new, found = self._missing(cursor, entity=USERS, candidates=candidates, outcome=outcome)
        if self._job.profile.rules.update_people and found.height:
            self._update_users(cursor, claim=claim, frame=frame, found=found, now=now, outcome=outcome)
        if not new.height:
            return
        try:
            with transaction.atomic():
                self._copy_users(cursor, claim=claim, new=new, now=now)
        except IntegrityError:
            # An e-mail is taken, or somebody outside this import made one of them since we looked.
            self._known["user"].clear()
            new, _ = self._missing(cursor, entity=USERS, candidates=candidates, outcome=outcome)
            new = self._without_email_conflicts(cursor, frame=frame, new=new, outcome=outcome)
            self._copy_users(cursor, claim=claim, new=new, now=now)
        self._remember(USERS, new.select("key", *USER_FIELDS.values()))
        outcome.count("users_inserted", new.height)

    def _copy_users(self, cursor: CursorWrapper, *, claim: Claim, new: pl.DataFrame, now: datetime) -> None:
        blank_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in ("email", "age")]
        rows = new.select(pl.col("key").alias("id"), *blank_is_null, "name", "country")
        constants = {**NEVER_LOGGED_IN, **_lineage(claim)}
        copy_frame(cursor, table="accounts_user", frame=rows.sort("id"), constants=constants)

    def _without_email_conflicts(
        self, cursor: CursorWrapper, *, frame: pl.DataFrame, new: pl.DataFrame, outcome: Resolution
    ) -> pl.DataFrame:
        """
        Decide e-mail conflicts among new users record by record, in file order.

        A record whose e-mail belongs to another user is rejected and does not make its user; a later record of
        the same user may. Only users that share an e-mail with somebody are walked through.
        """
        records = frame.join(new.select(pl.col("key").alias("user_id")), on="user_id", how="semi").sort("ordinal")
        mails = records.select("user_id", "user_email").drop_nulls().unique()
        taken = self._emails_taken(cursor, mails)
        shared = mails.group_by("user_email").len().filter(pl.col("len") > 1).get_column("user_email")
        contested = set(taken) | set(shared.to_list())
        involved = set(mails.filter(pl.col("user_email").is_in(list(contested))).get_column("user_id").to_list())
        calm = new.filter(~pl.col("key").is_in(list(involved)))
        made: dict[str, int] = {}
        for row in records.filter(pl.col("user_id").is_in(list(involved))).iter_rows(named=True):
            user_id, email = row["user_id"], row["user_email"]
            if user_id in made:
                continue
            if email and taken.setdefault(email, user_id) != user_id:
                outcome.errors.append(self._email_error(row["ordinal"], email, taken[email]))
            else:
                made[user_id] = row["ordinal"]
        winners = records.filter(pl.col("ordinal").is_in(list(made.values())))
        return pl.concat([calm, self._candidates(winners, USERS)])

    def _emails_taken(self, cursor: CursorWrapper, mails: pl.DataFrame) -> dict[str, str]:
        texts = mails.get_column("user_email").unique()
        found = query_frame(cursor, query=queries.emails_taken, parameters={"emails": joined(texts)})
        return dict(found.iter_rows())

    def _email_error(self, ordinal: int, email: str, owner: str) -> FieldError:
        return FieldError(
            ordinal=ordinal,
            column=None,
            column_name="user_email",
            code="duplicate_email",
            message=f"The e-mail already belongs to user {owner!r}. Give this user another e-mail, or leave it blank.",
            value=email,
        )

    def _update_users(
        self,
        cursor: CursorWrapper,
        *,
        claim: Claim,
        frame: pl.DataFrame,
        found: pl.DataFrame,
        now: datetime,
        outcome: Resolution,
    ) -> None:
        """
        `update_people`: the earliest record that says something new changes an existing user, once per import.

        Records that may not are refused (`protected_user`, `duplicate_email`).
        """
        stored = {row["key"]: row for row in found.iter_rows(named=True)}
        records = frame.filter(pl.col("user_id").is_in(list(stored)))
        taken = self._emails_taken(cursor, records.select("user_id", "user_email").drop_nulls())
        for row in records.iter_rows(named=True):
            kept = stored[row["user_id"]]
            said = {name: row[source] for source, name in USER_FIELDS.items() if row[source] not in (None, "")}
            change = {name: value for name, value in said.items() if str(value) != kept[name]}
            if not change:
                continue
            error = self._update_refused(row, kept=kept, change=change, taken=taken)
            if error:
                outcome.errors.append(error)
            elif kept["import_id"] != str(claim.import_id):
                self._update_user(cursor, claim=claim, row=row, change=change, now=now)
                outcome.count("users_updated", cursor.rowcount)
                outcome.changed_users.add(row["user_id"])
                if "email" in change:
                    taken[change["email"]] = row["user_id"]
                kept.update({name: str(value) for name, value in change.items()}, import_id=str(claim.import_id))
        self._known["user"].clear()
        outcome.kept["user"] = pl.DataFrame(list(stored.values()), schema=found.schema)

    def _update_refused(
        self, row: dict[str, Any], *, kept: dict[str, Any], change: dict[str, Any], taken: dict[str, str]
    ) -> FieldError | None:
        if kept["can_log_in"] == "1":
            return _protected(row["ordinal"], column_name=f"user_{next(iter(change))}", user_id=row["user_id"])
        if "email" in change and taken.get(change["email"], row["user_id"]) != row["user_id"]:
            return self._email_error(row["ordinal"], change["email"], taken[change["email"]])
        return None

    def _update_user(
        self, cursor: CursorWrapper, *, claim: Claim, row: dict[str, Any], change: dict[str, Any], now: datetime
    ) -> None:
        values = {name: change.get(name) for name in USER_FIELDS.values()}
        where = {"id": row["user_id"], "import_id": claim.import_id, "chunk": claim.number, "now": now}
        cursor.execute(queries.user_update, {**values, **where})

    # Roles: a file never gives power

    def _roles(
        self, cursor: CursorWrapper, *, claim: Claim, frame: pl.DataFrame, now: datetime, outcome: Resolution
    ) -> pl.DataFrame:
        """
        Judge the roles column; returns the frame without the records that were refused.

        Memberships are written at the end of the resolve (`_grant`), when the users exist.
        """
        told = frame.filter(pl.col("roles").is_not_null() & (pl.col("roles") != ""))
        if not told.height:
            return frame
        allowed, known = self._roles_allowed(cursor)
        people = told.select("user_id").drop_nulls().unique()
        stored = query_frame(
            cursor, query=queries.users_by_id, parameters={"ids": joined(people.get_column("user_id"))}
        )
        protected = set(stored.filter(pl.col("can_log_in") == "1").get_column("id").to_list())
        existing = set(stored.get_column("id").to_list())
        grants: list[tuple[str, int, int]] = []
        refused: list[int] = []
        for row in told.select("ordinal", "user_id", "roles").iter_rows(named=True):
            error = self._role_error(row, allowed=allowed, known=set(known), protected=protected)
            if error:
                outcome.errors.append(error)
                refused.append(row["ordinal"])
            elif row["user_id"] is not None:
                grants += [(row["user_id"], known[slug], row["ordinal"]) for slug in _slugs(row["roles"])]
        remaining = without_ordinals(frame, set(refused))
        if grants:
            self._users(cursor, claim=claim, frame=remaining, now=now, outcome=outcome)
            remaining = without_ordinals(remaining, {error.ordinal for error in outcome.errors})
            granted = self._grant(cursor, claim=claim, frame=remaining, grants=grants, now=now, outcome=outcome)
            outcome.changed_users |= granted & existing
        return remaining

    def _roles_allowed(self, cursor: CursorWrapper) -> tuple[set[str], dict[str, int]]:
        """The slugs that this file may give, and every known slug with its id."""
        cursor.execute(queries.roles_known)
        rows = cursor.fetchall()
        allowed = {slug for slug, _, importable in rows if importable} & set(self._job.profile.rules.roles)
        if self._job.grantor_id is not None:
            cursor.execute(queries.roles_grantable, {"user_id": self._job.grantor_id})
            allowed &= {slug for (slug,) in cursor.fetchall()}
        return allowed, {slug: number for slug, number, _ in rows}

    def _role_error(
        self, row: dict[str, Any], *, allowed: set[str], known: set[str], protected: set[str]
    ) -> FieldError | None:
        ordinal, slugs = row["ordinal"], _slugs(row["roles"])
        unlisted = [slug for slug in slugs if slug not in self._job.profile.rules.roles]
        unknown = [slug for slug in slugs if slug not in known and slug not in unlisted]
        forbidden = [slug for slug in slugs if slug not in allowed and slug not in unknown]
        if forbidden:
            message = (
                f"This import may not give the role {forbidden[0]!r}: the role must be marked importable, the profile "
                "must list it under roles, and the importing person must be able to grant it."
            )
            return FieldError(ordinal, None, "roles", "role_not_allowed", message, row["roles"][:200])
        if unknown:
            message = f"There is no role {unknown[0]!r}. Known roles: {', '.join(sorted(known)) or 'none'}."
            return FieldError(ordinal, None, "roles", "unknown_role", message, row["roles"][:200])
        if row["user_id"] in protected:
            return _protected(ordinal, column_name="roles", user_id=row["user_id"])
        return None

    def _grant(
        self,
        cursor: CursorWrapper,
        *,
        claim: Claim,
        frame: pl.DataFrame,
        grants: list[tuple[str, int, int]],
        now: datetime,
        outcome: Resolution,
    ) -> set[str]:
        """Write memberships; returns the users who were given some."""
        accepted = set(frame.get_column("ordinal").to_list())
        pairs = sorted({(user, role) for user, role, ordinal in grants if ordinal in accepted})
        cursor.execute(
            queries.memberships_add,
            {
                "users": "\x1f".join(user for user, _ in pairs),
                "roles": ",".join(str(role) for _, role in pairs),
                "import_id": claim.import_id,
                "now": now,
            },
        )
        outcome.count("roles_granted", cursor.rowcount)
        return {user for user, _ in pairs} if cursor.rowcount else set()


def without_ordinals(frame: pl.DataFrame, ordinals: set[int]) -> pl.DataFrame:
    """The records that are not among these ordinals."""
    return frame.filter(~pl.col("ordinal").is_in(list(ordinals))) if ordinals else frame


def _slugs(text: str) -> list[str]:
    return [slug.strip() for slug in text.replace("|", ",").replace(";", ",").split(",") if slug.strip()]


def _protected(ordinal: int, *, column_name: str, user_id: str) -> FieldError:
    message = (
        f"User {user_id!r} can log in, and a file never changes such a user. "
        "Change the user in the admin, or leave these columns blank."
    )
    return FieldError(ordinal, None, column_name, "protected_user", message, None)


def _lineage(claim: Claim) -> dict[str, int | str | None]:
    """Constants of the rows a chunk makes."""
    return {"import_id": claim.import_id, "import_chunk": claim.number}


def users_missing(cursor: CursorWrapper, *, frame: pl.DataFrame) -> bool:
    """Whether some user of these records no longer exists (asked when the deletion epoch changed)."""
    keys = frame.get_column("user_id").drop_nulls().unique()
    found = query_frame(cursor, query=queries.users_by_id, parameters={"ids": joined(keys)})
    return bool(np.not_equal(found.height, keys.len()))
