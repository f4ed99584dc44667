"""The stages of the pipeline; `ingestion.pipeline` puts them in order. Stages do not import each other."""
