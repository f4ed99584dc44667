"""What all REST endpoints share: problems, permissions, pages, conditional and idempotent requests, ids in URLs."""
