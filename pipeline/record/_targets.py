"""The targets that relevance is asked for, and what each gives for a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.maps.methods.signed_relevance import MOST_TARGETS
from spikesam.pipeline.networks.recorded import find_class
from spikesam.recordings.raster.batch import chosen_classes

ANSWER = "answer"
UNFOLLOWED = (
    "depends on no spike that was followed; hand over what the model gave, without .detach(), "
    ".item() or torch.no_grad()"
)
Target = str | int | Callable[[Any], Tensor]  # "answer", a class, or a function of the output


def named_targets(why: object) -> dict[str, Target]:
    """Name -> target, of what a caller gives as one target or as several."""
    targets = why if isinstance(why, Mapping) else {_name(why): why}
    if not targets:
        raise InputError("why: got no target, expected one at least")
    if len(targets) > MOST_TARGETS:
        raise InputError(f"why: got {len(targets)} targets, expected at most {MOST_TARGETS}")
    return {_checked_name(name): _checked(name, target) for name, target in targets.items()}


def _name(target: object) -> str:
    """The name of a target that has no other."""
    if not callable(target):
        return str(target)
    name = getattr(target, "__name__", "target")
    return "target" if name == "<lambda>" else name


def _checked_name(name: object) -> str:
    if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable():
        return name
    raise InputError(
        f"why: got a target named {printable(repr(name), 80)}, expected a name of 1 to "
        f"{LONGEST_NAME} printable characters"
    )


def _checked(name: str, target: Any) -> Target:
    if isinstance(target, Integral) and not isinstance(target, bool):
        return int(target)
    if callable(target) or isinstance(target, str):
        return target
    raise InputError(
        f"why: target {name!r} is {type(target).__name__}, expected 'answer', a class by name or "
        "number, a function of the model's output, or a mapping of names to these"
    )


@dataclass(frozen=True)
class Answered:
    """A model on a batch: its output, and its class scores (B, K), if there are any."""

    output: Any
    scores: Tensor | None
    samples: int
    class_names: Sequence[str]

    def values(self, name: str, target: Target) -> Tensor:
        """(B,) numbers whose relevance is asked for."""
        where = f"why: target {name!r}"
        values = self._called(where, target) if callable(target) else self._scores(where, target)
        if not values.requires_grad:
            raise InputError(f"{where}: {UNFOLLOWED}")
        if not bool(values.isfinite().all()):
            raise InputError(f"{where}: gives NaN or infinity, expected numbers")
        return values

    def _called(self, where: str, target: Callable[[Any], Any]) -> Tensor:
        try:
            values = target(self.output)
        except InputError:
            raise
        except Exception as error:
            line = (str(error).splitlines() or [""])[0]
            without = ", where finish() got no output" if self.output is None else ""
            raise InputError(
                f"{where}: fails with {type(error).__name__}: {line}{without}"
            ) from error
        expected = f"expected a number for each sample, ({self.samples},)"
        if not isinstance(values, Tensor):
            raise InputError(f"{where}: gives {type(values).__name__}, {expected}")
        if tuple(values.shape) != (self.samples,):
            raise InputError(f"{where}: gives {tuple(values.shape)}, {expected}")
        if not values.is_floating_point() or values.layout != torch.strided or values.is_meta:
            kind = "a meta tensor" if values.is_meta else f"{values.dtype}, {values.layout}"
            raise InputError(f"{where}: gives {kind}, expected floating-point numbers")
        return values

    def _scores(self, where: str, target: str | int) -> Tensor:
        if self.scores is None:
            raise InputError(f"{where}: needs class scores; hand the model's output to finish()")
        if target != ANSWER:
            return self.scores[:, find_class(target, self.scores.shape[1], self.class_names)]
        chosen = chosen_classes(self.scores.detach().cpu().numpy()).astype(np.int64)
        classes = torch.from_numpy(chosen).to(self.scores.device)
        scores_of_answers = self.scores.gather(1, classes.clamp(min=0)[:, None])[:, 0]
        return scores_of_answers * (classes >= 0)
