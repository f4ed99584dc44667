"""Parameters of an address, checked by a serializer."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from config.kernel.api.strict import StrictSerializer

PAGING: Final = frozenset({"cursor", "limit", "ordering"})
FORMAT: Final = "format"  # DRF's, for every address


def checked_query(
    request: Request,
    serializer: type[serializers.Serializer[Any]] = StrictSerializer,
    *,
    lists: tuple[str, ...] = (),
    only_given: bool = False,
    paged: bool = True,
) -> dict[str, Any]:
    """
    The checked parameters. Others are refused, because who sends them expects them to matter.

    Args:
        serializer: its fields are the parameters; without it there are none.
        lists: parameters that may be repeated. Of others the last one counts.
        only_given: leave out the defaults of what is not given.
        paged: whether the parameters of `KeysetPagination` may be there, too; it checks them itself.
    Raises:
        rest_framework.exceptions.ValidationError
    """
    given = request.query_params
    others = {FORMAT, *PAGING} if paged else {FORMAT}
    data = {name: given.getlist(name) if name in lists else given[name] for name in given if name not in others}
    checked = serializer(data=data)
    unknown = sorted(data.keys() - checked.fields.keys())
    if unknown:
        raise ValidationError({name: [ErrorDetail("There is no such parameter.", "unknown_field")] for name in unknown})
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return {name: values[name] for name in values if name in given} if only_given else values
