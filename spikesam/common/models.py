"""JSON of unknown origin as a pydantic model: one clear error, which is the first.

Pydantic notes every mistake, in some 1,500 bytes each. So a list of a model, however long, is
declared `Many[...]`: its first mistake ends it.
"""

from __future__ import annotations

import reprlib
from typing import Annotated, TypeVar

from pydantic import BaseModel, FailFast, ValidationError

from spikesam.common.errors import InputError
from spikesam.common.parsing import MOST_MARKS, parse_json
from spikesam.common.stamp import Stamp
from spikesam.common.text import LONGEST_NAME, printable

ItemT = TypeVar("ItemT")
ModelT = TypeVar("ModelT", bound=BaseModel)


class _FirstMistake(FailFast):
    """Ends a list at its first mistake. It has a hash, which `Many[...] | None` needs before Python
    3.13.
    """

    __hash__ = object.__hash__


Many = Annotated[list[ItemT], _FirstMistake()]


def parse_model(
    model: type[ModelT], text: bytes, max_marks: int = MOST_MARKS, stamp: Stamp | None = None
) -> ModelT:
    """A JSON text as a model, see :func:`.parse_json`; an InputError names the first field that is
    wrong. With a stamp, the text begins with it, and the model has no fields for it.
    """
    # a model refuses NaN by itself, and names the field
    values = parse_json(text, max_marks, finite=False)
    if stamp is not None:
        values = values if isinstance(values, dict) else {}
        stamp.check(values.get)
        values = {name: value for name, value in values.items() if name not in stamp.attributes}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = printable(".".join(map(str, first["loc"])), LONGEST_NAME) or "it"
        raise InputError(f"{place} is {reprlib.repr(first['input'])}: {first['msg']}") from None
