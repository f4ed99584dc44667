"""The admin's pages of ingestion: imports with their live counts and controls, uploads, profiles."""

from ingestion.admin.imports import ImportAdmin
from ingestion.admin.rows import ChunkAdmin, RejectAdmin, StoredProfileAdmin, UploadAdmin

__all__ = ["ChunkAdmin", "ImportAdmin", "RejectAdmin", "StoredProfileAdmin", "UploadAdmin"]
