"""A TOML file of facts -> its model. What is wrong is told with the file, the key and how to mend it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gradekit.problem import Problem

__all__ = ["Facts", "Hours", "Number", "Text", "Url", "read_facts"]

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[str, BeforeValidator(str), Field(pattern=r"^[1-9]\d?[a-z]?$")]  # of a week: "14b" is one too
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Hours = Annotated[int, Field(ge=0)]


class Facts(BaseModel):
    """A table of such a file: it has the keys that are declared, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Facts)

_SAYS = {"missing": "is missing", "extra_forbidden": "is not a key that is known here"}
_MENDS = {
    "missing": "add it",
    "extra_forbidden": "take it out; or is it misspelt, or in the wrong table?",
    "string_type": "put it in quotes",
    "int_type": "write a whole number, without quotes",
    "int_parsing": "write a whole number, without quotes",
    "list_type": "write a list: [...]",
    "too_short": "say at least one",
    "string_too_short": "say it, or take the key out",
    "string_pattern_mismatch": "write it as the pattern says",
}


def read_facts(model: type[Model], path: Path, label: str, *, missing: str) -> Model:
    """Read and check one file; Problem names the key that is wrong. `missing`: what to do where there is no file."""
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise Problem("is missing", where=label, mend=missing) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"is not TOML: {error}", where=label, mend="see toml.io for how it is written") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = _SAYS.get(first["type"], first["msg"].removeprefix("Value error, "))
        mend = _MENDS.get(first["type"], "" if first["type"] == "value_error" else "write what is expected")
        raise Problem(f"{key}: {said}" if key else said, where=label, mend=mend) from error
