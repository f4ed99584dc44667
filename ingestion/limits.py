"""Error limits: stop early when going on makes no sense. Judged chunk by chunk, in file order."""

from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.job import Claim, Job

queries = load_queries("ingestion", "resolve")


def limit_tripped(
    cursor: CursorWrapper, *, job: Job, claim: Claim, rejected: int, ignored: dict[str, int]
) -> str | None:
    """
    Judge the limits over this chunk and all before it.

    Args:
        rejected: rejected records of this chunk.
        ignored: its ignored records by reason; they do not count as read for the ratio.
    Returns:
        a sentence saying which limit was passed and what to do, or None.
    """
    rules = job.profile.rules
    cursor.execute(queries.totals_below, {"import_id": claim.import_id, "number": claim.number})
    records_below, rejected_below, ignored_below = (int(value) for value in cursor.fetchone())
    bad = rejected_below + rejected
    judged = records_below + claim.records - ignored_below - sum(ignored.values())
    if rules.max_errors is not None and bad > rules.max_errors:
        return (
            f"Stopped after {bad:,} rejected records: max_errors is {rules.max_errors:,}. "
            "Mend the file or the profile, or raise --max-errors."
        )
    if judged >= rules.max_error_ratio_after and bad > judged * rules.max_error_ratio:
        return (
            f"Stopped because {bad:,} of the first {judged:,} records ({bad / judged:.0%}) were rejected: "
            f"max_error_ratio is {rules.max_error_ratio:g}. The mapping or a format is probably wrong; "
            "look at the rejects, or raise --max-error-ratio."
        )
    return None
