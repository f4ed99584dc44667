"""Validation: raw text columns become typed columns, or errors that say what to mend. No Django inside."""

from ingestion.validation.codes import CODES
from ingestion.validation.records import SCHEMA, Carry, FieldError, Validated
from ingestion.validation.validator import Validator

__all__ = ["CODES", "SCHEMA", "Carry", "FieldError", "Validated", "Validator"]
