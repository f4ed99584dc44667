"""One file for each way to bring the records into Postgres."""
