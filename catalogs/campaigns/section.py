"""What all sections of a campaign file have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError


class Section(BaseModel):
    """A mapping of known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true`, `yes` and `on` where a number is wanted: Python takes them for 1."""
        if isinstance(value, bool):
            kind = cls.model_fields[str(info.field_name)].annotation
            kinds = set(get_args(kind) or (kind,))
            if kinds & {int, float} and bool not in kinds:
                raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value
