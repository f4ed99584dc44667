"""The consumer of the topic of orders: group → batch → projection → offsets. See `reports.consuming.loop`."""
