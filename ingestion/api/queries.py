"""Parameters of an address, checked by a serializer."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request

PAGING: Final = ("cursor", "limit", "ordering", "format")


def checked_query(
    request: Request,
    serializer: type[serializers.Serializer[Any]],
    *,
    lists: tuple[str, ...] = (),
    only_given: bool = False,
) -> dict[str, Any]:
    """
    The checked parameters; a serializer that is strict refuses others than its own.

    Args:
        lists: parameters that may be repeated. Of others the last one counts.
        only_given: leave out the defaults of what is not given.
    Raises:
        rest_framework.exceptions.ValidationError
    """
    given = request.query_params
    data = {name: given.getlist(name) if name in lists else given[name] for name in given}
    checked = serializer(data={name: value for name, value in data.items() if name not in PAGING})
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return {name: values[name] for name in values if name in given} if only_given else values
