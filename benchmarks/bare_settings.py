"""The product's settings with one more address: a view that does nothing, for comparison (`benchmarks.api`)."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.bare_urls"
