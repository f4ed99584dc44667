"""ETag, If-None-Match, If-Match (RFC 9110, 13): a resource's strong ETag is its version."""

from rest_framework.request import Request

from config.kernel.errors import ApplicationError


class PreconditionRequiredError(ApplicationError):
    code, status = "precondition_required", 428
    message = "Send If-Match with the ETag of what you have read, so that nobody's change is overwritten unseen."


class PreconditionFailedError(ApplicationError):
    code, status = "precondition_failed", 412
    message = "It was changed meanwhile: the current ETag is {etag}. Read it again, then repeat your change."


def etag_of(version: int | str) -> str:
    """The strong ETag of a version."""
    return f'"{version}"'


def matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names this ETag; `*` names all, and weak ones compare as strong."""
    return any(tag.strip() == "*" or tag.strip().removeprefix("W/") == etag for tag in header.split(","))


def not_modified(request: Request, etag: str) -> bool:
    """Whether the reader has this version already (If-None-Match): answer 304."""
    header = request.headers.get("If-None-Match", "")
    return bool(header) and matches(header, etag)


def require_match(request: Request, etag: str) -> None:
    """
    Demand that a change names the current version.

    Raises:
        PreconditionRequiredError: no If-Match.
        PreconditionFailedError: another version.
    """
    header = request.headers.get("If-Match", "")
    if not header:
        raise PreconditionRequiredError
    if not _matches_strongly(header, etag):
        raise PreconditionFailedError(etag=etag)


def expected_versions(request: Request, *, required: bool = True) -> frozenset[str] | None:
    """
    The versions that If-Match names, for a service that compares them under its lock.

    Args:
        required: whether a request without If-Match is refused.
    Returns:
        what stands between the quotes of strong ETags; None: any version will do (`*`, or no header).
    Raises:
        PreconditionRequiredError: no If-Match.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header:
        if required:
            raise PreconditionRequiredError
        return None
    tags = [tag.strip() for tag in header.split(",")]
    return None if "*" in tags else frozenset(tag[1:-1] for tag in tags if tag[:1] == tag[-1:] == '"')


def _matches_strongly(header: str, etag: str) -> bool:
    return any(tag.strip() in ("*", etag) for tag in header.split(","))
