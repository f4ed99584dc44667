from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Not an app with models: it registers the system checks of our settings."""

    name = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401  (registers them)
