"""How drf-spectacular reads our views."""

from typing import Any

from drf_spectacular.openapi import AutoSchema


class Schema(AutoSchema):
    """
    Looks at the answers that are no problems when it asks whether a view gives a list: only then it documents the
    parameters of the pages. Otherwise the problems, whose keys are (status, media type), would come first.
    """

    def _is_list_view(self, serializer: Any = None) -> bool:
        if serializer is None:
            serializer = self.get_response_serializers()
        if isinstance(serializer, dict):
            serializer = {code: each for code, each in serializer.items() if not isinstance(code, tuple)}
        return bool(super()._is_list_view(serializer))
