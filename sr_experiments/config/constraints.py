"""Types of settings with their bounds, for the signatures and groups that declare settings.

`features: Features = 64` says at once what may be given, what `--help` shows and what an error asks for. An argument
whose bounds are its own says them on the spot: `floor: Annotated[float, Ge(0), Lt(1)] = 0.0`. Nothing here imports
PyTorch, and nothing needs Pydantic.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Len, Predicate

T = TypeVar("T")
UNREACHED = 10**12  # steps that no run reaches: bounds from here on are left out of messages


@dataclass(frozen=True, slots=True)
class Rule(Predicate):
    """A condition that no bound expresses.

    Attributes:
        func: the condition.
        words: how a message asks for it, after the type: ", ascending".
    """

    words: str


def _is_ascending(values: Sequence[float]) -> bool:
    return all(first <= second for first, second in pairwise(values))


def _is_odd(value: int) -> bool:
    return value % 2 == 1


def _has_positive(weights: Mapping[str, float]) -> bool:
    return any(weight > 0 for weight in weights.values())


def _is_file_name(text: str) -> bool:
    return re.fullmatch(r"[\w+@ -][\w+@. -]*", text) is not None


def _is_folder_name(text: str) -> bool:
    return bool(text) and not text.startswith(("/", "~")) and ".." not in text.split("/") and "\0" not in text


# Networks. EDSR's 256 features are the most of the well-known networks.
Features = Annotated[int, Ge(1), Le(512)]
Blocks = Annotated[int, Ge(1), Le(1000)]
Levels = Annotated[Sequence[Blocks], Len(1, 6)]  # blocks at each level of a U-Net

FlowSteps = Annotated[int, Ge(1), Le(1000)]  # of a flow from time 0 to 1

# Numbers.
Weight = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1), Le(UNREACHED)]
Steps = Count
CountOrZero = Annotated[int, Ge(0), Le(UNREACHED)]
Shrink = Annotated[int, Ge(1), Le(16)]  # by which compressed material is reduced before it is HR
Objects = Annotated[int, Ge(0), Le(20)]  # that move in front of a background
BatchSize = Annotated[int, Ge(1), Le(2**20)]
PictureSide = Annotated[int, Ge(16), Le(UNREACHED)]  # one LR pixel at the largest scale
Odd = Annotated[T, Rule(_is_odd, ", odd")]

# Collections.
Interval = Annotated[Sequence[T], Len(2, 2), Rule(_is_ascending, ", ascending")]  # [low, high]
Choices = Annotated[Mapping[T, Weight], Rule(_has_positive, " with a weight above 0")]  # weights of random choices

# Text.
OnError = Literal["stop", "skip"]  # at a file that can't be read
FileName = Annotated[str, Rule(_is_file_name, " of letters, digits, _ and -, for it becomes part of a file's name")]
FolderName = Annotated[str, Rule(_is_folder_name, " that is a plain name: it becomes a folder below output_dir")]


class IsPath:
    """Marks text as a path, which the command line takes as it is: `Annotated[str, IsPath(exists=True)]`.

    Args:
        exists: whether something must be there before the run starts.
    """

    def __init__(self, exists: bool) -> None:
        self.format = "existing-path" if exists else "path"  # in conf/schema.json

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "format": self.format}


InputPath = Annotated[str, IsPath(exists=True)]
AnyPath = Annotated[str, IsPath(exists=False)]


class NameOf:
    """The name of an entry of a registry or another mapping, as a constraint: `Annotated[str, NameOf(RAMPS)]`.

    Args:
        names: the mapping; read when a value is checked.
    """

    def __init__(self, names: Mapping[str, Callable[..., Any]]) -> None:
        self.names = names

    def check(self, value: str) -> str:
        """Return the value.

        Raises:
            ValueError: no such name.
        """
        if value not in self.names:
            raise ValueError(f"unknown name {value!r}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"enum": sorted(self.names)}
