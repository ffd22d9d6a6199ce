"""A call of a function in a followed model, with the streams that go into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.overrides import resolve_name

from spikesam.pipeline.imports.torch._stream import Followed, Lost, Stream, zeros


@dataclass(frozen=True)
class Call:
    """One call of a function that a stream goes into; `known` is None for what does not depend on
    the example.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    known: Callable[[Any], Followed | None]
    samples: int
    module: str = ""  # one without parts that calls it
    fires: Callable[[str], bool] = lambda source: False  # True of sources of zeros and ones

    @property
    def called(self) -> str:
        """The function's name, such as "torch.Tensor.view"."""
        return resolve_name(self.function) or self.function.__name__

    @property
    def label(self) -> str:
        """The module, or the function's name."""
        return self.module or self.called

    @property
    def name(self) -> str:
        """The last part of the function's name, such as "view"; of an attribute, "mT" of
        "torch.Tensor.mT.__get__".
        """
        return (
            self.called.split(".")[-2]
            if self.function.__name__ == "__get__"
            else self.function.__name__
        )

    @property
    def plain_name(self) -> str:
        """The last part of the function's name without the mark of what works in place."""
        return self.name if self.name.startswith("__") else self.name.rstrip("_")

    @cached_property
    def streams(self) -> list[Stream]:
        """Those that go in."""
        streams = (self.known(tensor) for tensor in tensors((self.args, self.kwargs)))
        return [stream for stream in streams if isinstance(stream, Stream)]

    def stream(self, value: Any) -> Stream | None:
        """That of a tensor, or of zeros; None if it is lost or of something else."""
        stream = self.known(value)
        if stream is None and isinstance(value, Tensor):
            stream = zeros(value, self.samples)
        return stream if isinstance(stream, Stream) else None

    def argument(self, place: int, *names: str, default: Any = None) -> Any:
        """An argument, by place or by one of its names."""
        if len(self.args) > place:
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), default)

    def lost(self, why: str = "") -> Lost:
        """The result where it is not known what the function does."""
        names = " and ".join(dict.fromkeys(stream.path.last for stream in self.streams))
        return Lost(f"{self.label}, behind {names}{why and ', '}{why}")


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for member in value:
            yield from tensors(member)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
