"""Numbers that a model makes of spikes outside of the gradient: `.detach()`, comparisons, integers,
`torch.no_grad()`, writing to `.data`.

Relevance takes them for constants, so it would be wrong without a word wherever a target depends
on them. A function mode sees each call in the model, and marks such numbers and all that is
computed with them. A choice by index (argmax, topk, sort, NMS) passes no mark on: it counts as the
winner of a maximum does. Arrays of NumPy and lists that are made of spikes may come back as
tensors: all that are made of arrays afterwards are marked. Tensors that share the memory of
spikes, as `nn.Parameter(spikes)` does, memory into which NumPy writes, and results of functions
that no mode sees, such as those of `torch.jit.script`, are marked when a function or neurons read
them. Numbers of Python are marked where they may come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from spikesam.common.errors import InputError
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.imports.torch.follower import EXITS, version_of
from spikesam.pipeline.record._numbers import PythonNumbers, called_by_spikesam
from spikesam.pipeline.record._passages import Node, Passage
from spikesam.pipeline.record.memory import SharedMemory, has_gradient, is_wrapped, storage_of

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SHAPED_ALIKE = frozenset(  # functions that read shapes, and no values
    """empty_like full_like grad new_empty new_empty_strided new_full new_ones new_zeros ones_like
    rand_like randint_like randn_like zeros_like""".split()  # noqa: SIM905
)
LIKE_ANOTHER = frozenset("expand_as reshape_as to type_as view_as".split())  # noqa: SIM905
ARRAYS = frozenset("__array__ __dlpack__ numpy tolist".split())  # noqa: SIM905
MEMORY = frozenset("data_ptr storage untyped_storage".split())  # noqa: SIM905
CHOOSING = frozenset("is_nonzero equal allclose __contains__ __bool__".split())  # noqa: SIM905
FROM_ARRAYS = frozenset("as_tensor asarray new_tensor tensor".split())  # noqa: SIM905
KEEPING_HOOKS = ("torch.autograd.graph", "torch.utils.checkpoint")  # they change no numbers
HIDING = ("CopySlices", "NotImplemented")  # nodes of autograd's graph
CHOICES = frozenset("__getitem__ gather index_select take take_along_dim".split())  # noqa: SIM905


def unseen(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function, whose own calls of torch no function mode sees."""

    @wraps(function)
    def hidden(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        with torch._C.DisableTorchFunction():
            return function(*arguments, **keywords)

    return hidden


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers without a gradient that were made of numbers with one."""

    function: str  # that made them, such as "gt"
    module: str | None  # in which it was called; "" is the model, None what calls the model
    node: Node  # of autograd's graph, that had made what they were made of
    number: int  # in the order of calls

    def __str__(self) -> str:
        if self.module is None:
            return f"{self.function!r} outside of the model"
        return f"{self.function!r} in {f'module {self.module!r}' if self.module else 'the model'}"

    def behind(self, sources: Callable[[Node, int], Passage | None]) -> str:
        """The nearest neurons in front, or the model's input; "" of neither."""
        waiting, entered = deque([self.node]), set[Node]()
        while waiting:
            node = waiting.popleft()
            if node is None or node in entered:
                continue
            passage = sources(node, 0)
            if passage is not None and passage.behind:
                return passage.behind
            entered.add(node)
            waiting.extend(earlier for earlier, _ in node.next_functions)
        return ""


Constants = frozenset[Constant]
Origin = tuple[Node, Tensor]  # a tensor with a gradient, and the node that made it; None of a leaf
NONE: Constants = frozenset()


class ConstantTracker(TorchFunctionMode):
    """Marks the tensors of a model that depend on constants made of spikes, within a batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._running: list[str] = []  # modules whose forward runs
        self._paused = self._made = 0
        self._makes = True  # False where constants are passed on, and none are made
        self._explains = False
        self._memory, self._numbers = SharedMemory(), PythonNumbers(model)
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget all tensors."""
        self._by_tensor: Any = WeakTensorKeyDictionary()
        self._by_storage: dict[int, tuple[StorageWeakRef, Constants]] = {}
        self.exits: list[Constant] = []  # numbers that left torch, while a module ran
        self._arrays = NONE  # those that left as arrays, which may come back
        self._left = NONE  # those that left as arrays or numbers
        self._numbers.forget()
        self.hidden: dict[Node, str] = {}  # a node whose function autograd hides -> its name
        self.exposed: set[Node] = set()  # nodes that the model read
        self._memory.forget()
        self._inputs: list[Tensor] = []  # what the model is given, as it goes on
        self.narrow = False  # whether numbers with a gradient are float16
        self._transforms = False  # whether torch.vmap or torch.func ran, whose results are not seen

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Track within the block, in which only what depends on spikes or inputs has gradients."""
        handles: list[RemovableHandle] = []
        parameters = list(self._model.parameters())
        frozen = [parameter for parameter in parameters if parameter.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            for name, module in self._model.named_modules():
                enter, leave = partial(self._enter, name), self._leave
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(leave, always_call=True))
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._running.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._running:
            self._running.pop()

    def pause(self) -> None:
        """See nothing until `resume` is called as often."""
        self._paused += 1

    def resume(self) -> None:
        """End a pause."""
        self._paused -= 1

    @contextmanager
    def passing_on(self) -> Iterator[None]:
        """Pass constants on in the block, and make none."""
        self._makes = False
        try:
            yield
        finally:
            self._makes = True

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Call no hooks of the model's tensors in the block: what passes is no gradient."""
        self._explains = True
        try:
            yield
        finally:
            self._explains = False

    def _hook_of_gradients(self, hook: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        """A hook that a model puts on a tensor, but for relevance."""
        return lambda gradient: None if self._explains else hook(gradient)

    def in_order(self, values: Any) -> list[Constant]:
        """The constants on which tensors depend, in the order in which they were made."""
        return sorted(self.of(values), key=lambda constant: constant.number)

    def of(self, values: Any) -> Constants:
        """The constants on which tensors depend."""
        if not self._by_tensor and not self._by_storage:
            return NONE
        marks = NONE
        for tensor in tensors(values):
            marks |= self._by_tensor.get(tensor, NONE)
            if self._by_storage and (storage := storage_of(tensor)) is not None:
                marks |= self._by_storage.get(storage._cdata, (None, NONE))[1]
        return marks

    def read(self, values: Any) -> Constants:
        """The constants on which tensors depend that neurons read."""
        for tensor in tensors(values):
            self._look_at_memory(tensor)
        return self.of(values)

    def hold(self, followed: Iterable[Tensor]) -> None:
        """Note what neurons give, whose memory others may share."""
        for tensor in followed:
            self.refuse_hooks(tensor)
            self._memory.hold(tensor)

    def hold_input(self, followed: Tensor) -> None:
        """Note what the model is given, whose memory others may share."""
        self._inputs.append(followed)
        self._memory.hold(followed)

    def refuse_hooks(self, moving: Tensor) -> None:
        """Refuse hooks that may change the numbers from which gradients are computed."""
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
        if hooks is None or getattr(hooks[0], "__module__", "") in KEEPING_HOOKS:
            return
        where = self._made_of("saved_tensors_hooks", moving.grad_fn)
        raise InputError(
            f"why: {where} may change the numbers of which relevance is computed; expected none, "
            "or those of torch.autograd.graph.save_on_cpu and torch.utils.checkpoint"
        )

    def refuse_late_writes(self) -> None:
        """Refuse memory into which others wrote after it was read: gradients are made of it."""
        if (written := self._memory.written_last()) is not None:
            raise InputError(
                f"why: {self._made_of('NumPy', written.node)} writes into numbers of which "
                "relevance is computed; expected a copy, such as .numpy().copy()"
            )

    def _look_at_memory(self, tensor: Tensor) -> None:
        """Mark a tensor that shares the memory of one with a gradient and has none itself, and
        memory into which others wrote.
        """
        if (written := self._memory.written(tensor)) is not None:
            if self._makes:
                self._mark_storage(tensor, frozenset({self._made_of("NumPy", written.node)}))
            self._memory.look_again(tensor)
        self._transforms = self._transforms or is_wrapped(tensor)
        holder = self._memory.holder(tensor)
        if tensor.grad_fn is not None:
            unknown = holder is None and not self._transforms
        else:
            unknown = holder is not None and (bool(self._running) or not holder.of_input)
        if not unknown or not self._makes or tensor in self._by_tensor:
            return
        if any(tensor is followed for followed in self._inputs):
            return
        if tensor.grad_fn is not None:
            self.mark(tensor, frozenset({self._made_of("a hidden function", tensor.grad_fn)}))
        elif holder is not None:
            name = "Parameter" if isinstance(tensor, nn.Parameter) else "a copy of memory"
            self.mark(tensor, frozenset({self._made_of(name, holder.node)}))

    def mark(self, values: Any, constants: Constants) -> None:
        """Note that tensors depend on constants."""
        for tensor in tensors(values) if constants else ():
            self._by_tensor[tensor] = self._by_tensor.get(tensor, NONE) | constants

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        keywords = keywords or {}
        if self._paused:
            return function(*arguments, **keywords)
        given = list(tensors((arguments, keywords)))
        if function.__name__ in LIKE_ANOTHER:
            given = given[:1]  # the other one gives its shape or type alone
        comes_back = bool(self._arrays and self._running)
        for tensor in given if comes_back else ():
            if not tensor.requires_grad and _lies_in_an_array(tensor):
                self.mark(tensor, self._arrays)
        for tensor in given:
            self._look_at_memory(tensor)
        versions = [version_of(tensor) for tensor in given]
        moving = next((tensor for tensor in given if has_gradient(tensor)), None)
        node = None if moving is None else moving.grad_fn
        if function is Tensor.register_hook:
            hook = self._hook_of_gradients(*arguments[1:], **keywords)
            arguments, keywords = (arguments[0], hook), {}
        if moving is not None and torch.is_grad_enabled():
            self.refuse_hooks(moving)
        if moving is not None and keywords.get("out") is not None and torch.is_grad_enabled():
            raise InputError(
                f"why: {self._constant(name_of(function), (node, moving))} writes spikes, or what "
                "they make, to out=, which has no gradient; expected its result in place of out="
            )
        name = name_of(function)
        by_numbers = NONE  # constants that may be among the numbers
        watched = self._left and self._running
        if watched and self._numbers.may_be_among(name, arguments, keywords, given):
            by_numbers = self._left
        result = function(*arguments, **keywords)
        if self._running and name == "grad_fn":
            self.exposed.add(result)
        if comes_back and function.__name__ in FROM_ARRAYS:
            self.mark(result, self._arrays)
        self.mark(result, by_numbers)
        if moving is not None or by_numbers or (given and (self._by_tensor or self._by_storage)):
            if keywords.get("rounding_mode"):
                name += " with rounding"
            if name not in SHAPED_ALIKE or function is torch.autograd.grad:
                replaced = function.__name__ == "__set__"
                pairs = zip(given, versions, strict=True)
                written = [tensor for tensor, version in pairs if version_of(tensor) != version]
                origin = None if moving is None else (node, moving)
                written = given[:1] if replaced else written
                self._see(name, given, origin, written, result, by_numbers)
        return result

    def _see(
        self,
        name: str,
        given: Sequence[Tensor],
        origin: Origin | None,
        written: Sequence[Tensor],
        result: Any,
        by_numbers: Constants,
    ) -> None:
        """Take a call: what it was given, the first of it with a gradient, and what it changed."""
        passed = self.of(_read(name, given)) | by_numbers
        if name in EXITS or (name in MEMORY and not called_by_spikesam()):
            left = passed if origin is None else frozenset({self._constant(name, origin)})
            if self._running and left:
                self.exits += left
                if name not in CHOOSING:
                    self._left |= left
                    self._numbers.leave(result)
                if name in ARRAYS | MEMORY:
                    self._arrays |= left if name in ARRAYS else NONE
                    self._memory.hand(given[0], next(iter(left)).node)
            return
        for tensor in written:
            self._memory.look_again(tensor)
        for tensor in (*written, *tensors(result)):
            self._note_hidden(name, tensor)
        if origin is None and not passed:
            return
        changed = {id(tensor) for tensor in written}
        for tensor in (*tensors(result), *written):
            in_graph = has_gradient(tensor) and (
                torch.is_grad_enabled() or id(tensor) not in changed
            )
            constants = passed
            if in_graph:
                if not tensor.is_leaf:
                    self._memory.hold(tensor)
                self.narrow = self.narrow or tensor.dtype is torch.float16
            elif origin is not None and self._makes:
                constants = passed | {self._constant(name, origin)}
                if is_wrapped(tensor):
                    raise InputError(
                        f"why: {self._constant(name, origin)} takes what depends on spikes out of "
                        "the gradient within torch.vmap or torch.func, where it is not followed; "
                        "expected it outside of them"
                    )
            self.mark(tensor, constants)
            if constants and id(tensor) in changed:
                self._mark_storage(tensor, constants)

    def _constant(self, name: str, origin: Origin) -> Constant:
        node, tensor = origin
        if node is None and tensor.requires_grad:
            node = get_gradient_edge(tensor).node
        return self._made_of(name, node)

    def _made_of(self, name: str, node: Node) -> Constant:
        module = self._running[-1] if self._running else None
        self._made += 1
        return Constant(name, module, node, self._made)

    def _note_hidden(self, name: str, tensor: Tensor) -> None:
        """Keep the name of a function that autograd does not tell: one that changed a part of a
        tensor, or has no gradient.
        """
        node = (tensor if tensor._base is None else tensor._base).grad_fn
        while type(node).__name__ in HIDING and node not in self.hidden:
            assert node is not None
            self.hidden[node] = name
            node = node.next_functions[0][0]  # a function may change several parts

    def _mark_storage(self, tensor: Tensor, constants: Constants) -> None:
        """Mark all tensors that share memory with one that was changed."""
        if (storage := storage_of(tensor)) is None:
            return
        key = storage._cdata
        reference, marks = self._by_storage.get(key, (None, NONE))
        self._by_storage[key] = reference or StorageWeakRef(storage), marks | constants


def _lies_in_an_array(tensor: Tensor) -> bool:
    """True if a tensor shares its memory with an array of NumPy."""
    storage = storage_of(tensor)
    return storage is not None and not storage.resizable()


def name_of(function: Any) -> str:
    """The name of a function of torch, or of an attribute."""
    name: str = function.__name__
    if name in ("__get__", "__set__"):
        name = getattr(function.__self__, "__name__", name)
    return name


def _read(name: str, given: Sequence[Tensor]) -> Iterable[Tensor]:
    """The tensors whose numbers a function passes on: all but indices by which it chooses."""
    if name not in CHOICES or not given or not given[0].requires_grad:
        return given
    return [given[0], *(index for index in given[1:] if index.dtype == torch.bool)]
