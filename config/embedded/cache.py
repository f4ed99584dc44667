"""A cache that starts the local Valkey when it is first used, and not before."""

from django_redis.cache import RedisCache
from django_redis.client import DefaultClient

from config.embedded import redis_url

CACHE_DATABASE = 0


class LocalRedisCache(RedisCache[DefaultClient]):
    @property
    def client(self) -> DefaultClient:
        if self._client is None:
            self._server = f"{redis_url()}?db={CACHE_DATABASE}"
        return super().client
