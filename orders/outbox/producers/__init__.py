"""Clients of Kafka that the relay sends with: one interface, one implementation for each client (OUTBOX_PRODUCER)."""
