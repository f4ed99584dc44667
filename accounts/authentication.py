"""Who asks: bearer tokens for programs (hashed, expiring), sessions for people."""

from knox.auth import TokenAuthentication as KnoxAuthentication


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """`Authorization: Bearer <token>`."""
