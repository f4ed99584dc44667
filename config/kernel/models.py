"""Rows that every app may need: answers given under an Idempotency-Key, and changes that Redis has not heard of."""

from typing import ClassVar

from django.db import models


class IdempotencyKey(models.Model):
    """
    An answer to a creating request, kept so that its repetition gets the same one.

    Written in the transaction of what the request created: either both exist or neither. `request_hash` is of method,
    path and body; another request under the same key is refused.
    """

    owner_id = models.CharField(max_length=128, db_collation="C")
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner_id", "key"], name="kernel_idempotencykey_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="kernel_idempotencykey_age")]

    def __str__(self) -> str:
        return f"{self.owner_id}: {self.key}"


class CacheDebt(models.Model):
    """
    A cache key whose change could not be told to Redis (see `config.kernel.caching`). Void once older than any entry.
    """

    key = models.CharField(max_length=400)
    created_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["created_at"], name="kernel_cachedebt_age")]

    def __str__(self) -> str:
        return self.key
