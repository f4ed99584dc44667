"""Who may see and control which import: one's own with add_import, all with view_import and change_import."""

from typing import Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from rest_framework.request import Request

from accounts.models import User
from ingestion.errors import ImportNotFoundError
from ingestion.models import Import, Upload
from ingestion.uploads.errors import UploadNotFoundError

ADD: Final = "ingestion.add_import"
VIEW: Final = "ingestion.view_import"
CHANGE: Final = "ingestion.change_import"


def signed_in(request: Request) -> User:
    """Who asks; the permission class has let nobody through who is not signed in."""
    assert isinstance(request.user, User)
    return request.user


def sees_all(user: User) -> bool:
    """Whether imports and uploads of others are visible, those of the command too."""
    return user.has_perm(VIEW) or user.has_perm(CHANGE)


def visible_imports(user: User) -> QuerySet[Import]:
    """Imports that the user may know of."""
    if sees_all(user):
        return Import.objects.all()
    return Import.objects.filter(created_by=user) if user.has_perm(ADD) else Import.objects.none()


def import_seen(user: User, import_id: int, *, whole: bool = True) -> Import:
    """
    An import that the user may see.

    Args:
        whole: False: without what is large (certificate, options).
    Raises:
        ImportNotFoundError: there is none, or it is nobody's business of theirs.
    """
    found = visible_imports(user).filter(pk=import_id).select_related("upload")
    owner = (found if whole else found.defer("certificate", "signature", "options")).first()
    if owner is None:
        raise ImportNotFoundError(import_id=import_id)
    return owner


def import_controlled(user: User, import_id: int) -> Import:
    """
    An import that the user may start, pause, cancel, and give children.

    Raises:
        ImportNotFoundError: as `import_seen`.
        PermissionDenied: it may only be looked at.
    """
    owner = import_seen(user, import_id, whole=False)
    if not (user.has_perm(CHANGE) or (owner.created_by_id == user.pk and user.has_perm(ADD))):
        raise PermissionDenied
    return owner


def upload_seen(user: User, upload_id: UUID) -> Upload:
    """
    An upload that the user may import.

    Raises:
        UploadNotFoundError: there is none, or it is somebody else's.
    """
    allowed = Q() if sees_all(user) else Q(owner=user)
    upload = Upload.objects.filter(allowed, pk=upload_id).first()
    if upload is None:
        raise UploadNotFoundError(upload_id=str(upload_id))
    return upload
