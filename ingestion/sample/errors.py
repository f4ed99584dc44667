"""The one error of this package."""


class SampleError(ValueError):
    """The wished-for file cannot be made; the message says why and what would work."""
