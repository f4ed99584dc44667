"""
The relay: what stands in the outbox goes to Kafka.

Read `loop` first; `process` starts two of them. The reasons are in docs/adr/0019-relay.md.
"""
