"""What all sections of a campaign file have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError


def switched(value: object, example: str) -> object:
    """What stands behind a key that is `on`, `off` or a section, as YAML reads these words.

    Args:
        example: of a section.

    Raises:
        ValueError: it is none of them.
    """
    if value is None or isinstance(value, dict | Section):
        return value
    if isinstance(value, bool):
        return {} if value else None
    raise ValueError(f"write on, off, or a section such as `{example}`")


class Section(BaseModel):
    """A mapping of known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
