class EmbeddedError(RuntimeError):
    """A local service could not be started; the message says which, why, and where its log is."""
