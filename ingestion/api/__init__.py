"""Ingestion over HTTP: uploads (tus and whole files), imports and what became of their records, profiles."""
