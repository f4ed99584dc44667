"""Who may see and control which import: one's own with add_import, all with view_import and change_import."""

from typing import Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from accounts.models import User
from ingestion.errors import ImportNotFoundError
from ingestion.models import GONE, Import, Upload
from ingestion.uploads.errors import UploadGoneError, UploadNotFoundError, UploadNotYoursError

ADD: Final = "ingestion.add_import"
VIEW: Final = "ingestion.view_import"
CHANGE: Final = "ingestion.change_import"


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


def visible_uploads(user: User) -> QuerySet[Upload]:
    """Uploads that the user may know of, and import."""
    return Upload.objects.all() if sees_all(user) else Upload.objects.filter(owner=user)


def upload_seen(user: User, upload_id: UUID) -> Upload:
    """
    An upload that the user may see and import; its bytes may be gone.

    Raises:
        UploadNotFoundError: there is none, or it is somebody else's.
    """
    upload = visible_uploads(user).filter(pk=upload_id).first()
    if upload is None:
        raise UploadNotFoundError(upload_id=str(upload_id))
    return upload


def upload_with_bytes(user: User, upload_id: UUID) -> Upload:
    """
    As `upload_seen`, and its bytes are there.

    Raises:
        UploadNotFoundError: as `upload_seen`.
        UploadGoneError: its bytes are gone.
    """
    upload = upload_seen(user, upload_id)
    _refuse_gone(upload)
    return upload


def upload_controlled(user: User, upload_id: UUID, *, to_delete: bool = False) -> Upload:
    """
    An upload that the user may write to, which only its owner may.

    Args:
        to_delete: delete it, which those may, too, who control all imports.
    Raises:
        UploadNotFoundError: as `upload_seen`.
        UploadNotYoursError: it may only be looked at.
        UploadGoneError: its bytes are gone.
    """
    upload = upload_seen(user, upload_id)
    _refuse_gone(upload)
    if upload.owner_id != user.pk and not (to_delete and user.has_perm(CHANGE)):
        raise UploadNotYoursError(upload_id=str(upload_id))
    return upload


def _refuse_gone(upload: Upload) -> None:
    if upload.state in GONE:
        raise UploadGoneError(upload_id=str(upload.pk), state=upload.state)
