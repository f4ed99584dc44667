"""Kafka, as all of Sluice reaches it: names of topics, settings for both clients."""
