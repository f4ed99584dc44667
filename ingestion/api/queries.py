"""Parameters of an address, checked by a serializer."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

PAGING = ("cursor", "limit", "ordering")


def checked_query(
    request: Request, serializer: type[serializers.Serializer[Any]], *, lists: tuple[str, ...] = ()
) -> dict[str, Any]:
    """
    The checked parameters; a serializer that is strict refuses others than its own.

    Args:
        lists: parameters that may be repeated. Of others the last one counts.
    Raises:
        rest_framework.exceptions.ValidationError
    """
    given = request.query_params
    data = {name: given.getlist(name) if name in lists else given[name] for name in given}
    checked = serializer(data={name: value for name, value in data.items() if name not in PAGING})
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return values
