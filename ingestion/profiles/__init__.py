"""Profiles: what the columns of a file mean, how its values are written, and which rules apply. No Django inside."""

from ingestion.profiles.definition import Formats, Ids, Profile, Reading, Rules
from ingestion.profiles.errors import Problem, ProfileError, SettlementError, UnknownProfile
from ingestion.profiles.fields import FIELDS
from ingestion.profiles.loading import builtin_names, load_profile
from ingestion.profiles.settlement import SettledFormats, SettledRules, Settlement
from ingestion.profiles.settling import settle, settle_header

__all__ = [
    "FIELDS",
    "Formats",
    "Ids",
    "Problem",
    "Profile",
    "ProfileError",
    "Reading",
    "Rules",
    "SettledFormats",
    "SettledRules",
    "Settlement",
    "SettlementError",
    "UnknownProfile",
    "builtin_names",
    "load_profile",
    "settle",
    "settle_header",
]
