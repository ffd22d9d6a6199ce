"""The operations between neurons, as autograd holds them: linear ones pass relevance on, maxima and
products of spikes share it, and everything else is refused by name.

An operation's input x gets x times its gradient, and the shares of all inputs must sum to what the
operation gets. That is so where it is linear. A product of degrees p and q gives its factors
p / (p + q) and q / (p + q) of the gradient, so that each factor of spikes has an equal share. A
maximum of spikes shares equally among those that fired; of currents, and of spikes that count, the
winner takes all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.nn import functional

from spikesam.common.errors import InputError
from spikesam.pipeline.record._comparisons import are_bits

Node = Any  # of autograd's graph; PyTorch's type has none of the attributes that are read here

# Names of operations: those that only move numbers, sums, and maxima with one winner.
MOVES = frozenset(
    """Alias AsStrided BlockDiag Cat ChannelShuffle Clone ConstantPadNd CopyBackwards Diagonal
    DiagonalScatter Expand Flip Gather Im2Col Index IndexCopy IndexFill IndexPut IndexSelect
    MaskedFill MaskedScatter MaskedSelect NativeChannelShuffle Permute PixelShuffle PixelUnshuffle
    ReflectionPad1D ReflectionPad2D Repeat RepeatInterleave ReplicationPad1D ReplicationPad2D
    ReplicationPad3D ReshapeAlias Roll Rot90 Scatter Select SelectScatter Slice SliceScatter Split
    SplitWithSizes Squeeze Stack T Take ToCopy Transpose Tril Triu Unbind Unfold UnsafeSplit
    UnsafeSplitWithSizes UnsafeView Unsqueeze UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D
    UpsampleNearestExact1D UpsampleNearestExact2D UpsampleNearestExact3D View
    Where""".split()  # noqa: SIM905
)
SUMS = frozenset(
    """AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D Add Amax AvgPool2D AvgPool3D Col2Im
    Cumsum IndexAdd Maximum Mean MkldnnAdaptiveAvgPool2D Neg Rsub ScatterAdd Sub Sum Trace
    UpsampleBicubic2D UpsampleBicubic2DAa UpsampleBilinear2D UpsampleBilinear2DAa UpsampleLinear1D
    UpsampleTrilinear3D""".split()  # noqa: SIM905
)
WINNERS = frozenset(
    "AdaptiveMaxPool2D AdaptiveMaxPool3D Max MaxPool3DWithIndices Sort Topk".split()  # noqa: SIM905
)
PRODUCTS = frozenset("Addbmm Addmm Addmv Baddbmm Bmm Dot Mm Mul Mv".split())  # noqa: SIM905
CONVOLUTIONS = ("Convolution", "ConvolutionOverrideable", "CudnnConvolution", "MkldnnConvolution")
# Operations that are linear in so many of their inputs, of which the last says where.
INTERPOLATIONS = {"GridSampler2D": 1, "GridSampler3D": 1, "Lerp": 2}
NORMS = ("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm")

# Functions that change a part of a tensor in place: linear in all that moves, but for factors.
WRITES = frozenset(
    "__setitem__ copy_ index_copy_ index_fill_ masked_fill_ pad zero_".split()  # noqa: SIM905
)
ADDS = frozenset("__iadd__ __isub__ add_ fill_ neg_ sub_".split())  # noqa: SIM905
SCALES = frozenset("__imul__ __itruediv__ div_ mul_".split())  # noqa: SIM905

Kind = Literal["constant", "spikes", "complement", "currents"]


@dataclass(frozen=True)
class Passage:
    """The result of an operation: its kind, of how many spikes each term is a product,
    and whence.
    """

    kind: Kind
    degree: int | None = 0  # None where terms differ
    behind: str = ""  # the nearest neurons in front


CONSTANT = Passage("constant")


class PassageGraph:
    """The operations that led to targets; `sources` says what neurons and leaves give.

    `hidden` names the functions that autograd hides: those that changed parts of tensors, and those
    that have no gradient. `exposed` are nodes that the model read, on which it may have put hooks.
    """

    def __init__(
        self,
        sources: Callable[[Node, int], Passage | None],
        hidden: Mapping[Node, str],
        exposed: Collection[Node] = (),
    ) -> None:
        self._sources, self._hidden, self._exposed = sources, hidden, exposed
        self._passages: dict[Node, Passage] = {}

    def share(self, target: Tensor, name: str) -> Passage:
        """Make every operation that led to a target share its relevance; refuses what cannot.
        Returns the passage of the target.
        """
        if target.grad_fn is None:
            return CONSTANT
        for node in self._in_order(target.grad_fn):
            if self._sources(node, 0) is None:
                inputs = [self._passage(*edge) for edge in node.next_functions]
                self._passages[node] = self._shared(node, inputs, name)
        return self._passage(target.grad_fn, target.output_nr)

    def _in_order(self, last: Node) -> Iterable[Node]:
        """Each operation behind those that it reads."""
        ordered, stack, entered = [], [(last, False)], set(self._passages)
        while stack:
            node, ready = stack.pop()
            if ready:
                ordered.append(node)
            elif node not in entered:
                entered.add(node)
                stack.append((node, True))
                stack += [(earlier, False) for earlier, _ in node.next_functions if earlier]
        return ordered

    def _passage(self, node: Node | None, output: int) -> Passage:
        if node is None:
            return CONSTANT
        return self._sources(node, output) or self._passages[node]

    def _shared(self, node: Node, inputs: Sequence[Passage], target: str) -> Passage:
        """The result of an operation, whose gradient shares from now on."""
        operation = operation_of(node)
        moving = [passage for passage in inputs if passage.kind != "constant"]
        if not moving:
            return CONSTANT
        kind: Kind = "currents"
        degrees = {passage.degree for passage in moving}
        degree = degrees.pop() if len(degrees) == 1 else None
        behind = next((passage.behind for passage in moving if passage.behind), "")
        kinds = {passage.kind for passage in moving}

        def refuse(found: str) -> InputError:
            where = f" behind {behind!r}" if behind else ""
            return InputError(
                f"why: target {target!r}: {found}{where}; expected weights, sums, products of "
                "spikes, pooling and batch normalisation in evaluation mode between neurons, and "
                "a target in front of any other function"
            )

        written_in_python = isinstance(node, BackwardCFunction)
        if written_in_python:
            if not getattr(node._forward_cls, "passes_relevance", False):
                raise refuse(f"{operation} is an autograd function with a backward of its own")
            return Passage(inputs[0].kind, degree, behind)
        if node in self._exposed:
            raise refuse(f"the model reads grad_fn of {operation}, and may put hooks there,")
        if operation == "Rsub" and kinds == {"spikes"}:  # 1 - s
            return Passage("complement", 0, behind)
        if operation == "MaxPool2DWithIndices":
            if kinds == {"spikes"} and are_bits(node._saved_self):
                share_among_fired(node, refuse)
                kind = "spikes"
        elif operation in WINNERS and kinds == {"spikes"}:
            raise refuse(f"{operation.lower()} takes one winner among spikes")
        elif operation == "CopySlices":
            function = self._hidden.get(node, "a change")
            if function in SCALES:
                if any(factor.kind != "constant" for factor in inputs[1:]):
                    raise refuse(f"{function} of a part of a tensor by numbers that spikes made")
            elif function in WRITES:
                kind = kinds.pop() if len(kinds) == 1 else "currents"
            elif function not in ADDS:
                raise refuse(f"{function} of a part of a tensor is not linear")
        elif operation in MOVES:
            summed = getattr(node, "_saved_accumulate", False)  # of index_put
            kind = kinds.pop() if len(kinds) == 1 and not summed else "currents"
        elif operation in PRODUCTS:
            factors = inputs[-2:]
            if len([factor for factor in factors if factor.kind != "constant"]) == 2:
                degree = share_product(node, inputs, refuse)
                if operation == "Mul" and kinds <= {"spikes", "complement"}:
                    kind = "spikes"
                summand = inputs[0] if len(inputs) > len(factors) else CONSTANT
                if summand.kind != "constant" and summand.degree != degree:
                    degree = None
        elif operation in NORMS:
            if any(factor.kind != "constant" for factor in inputs[1:]):
                raise refuse("batch normalisation by numbers that spikes made")
            if getattr(node, "_saved_training", False):
                raise refuse("batch normalisation by the statistics of the batch")
        elif operation == "Div":
            if inputs[1].kind != "constant":
                raise refuse("division by numbers that spikes made")
            if rounding := getattr(node, "_saved_rounding_mode", None):
                raise refuse(f"div with rounding_mode={rounding!r} is not linear")
        elif operation in INTERPOLATIONS:
            places = inputs[INTERPOLATIONS[operation] :]
            if any(place.kind != "constant" for place in places):
                raise refuse(f"{operation.lower()} at places that spikes made")
        elif operation in CONVOLUTIONS:
            if any(factor.kind != "constant" for factor in inputs[1:]):
                raise refuse("weights that spikes made")
        elif operation not in SUMS | WINNERS:
            raise refuse(f"{self._hidden.get(node, operation.lower())} is not linear")
        return Passage(kind, degree, behind)


def operation_of(node: Node) -> str:
    """The operation of a node of autograd's graph: "Mul" of MulBackward0."""
    return re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])


def share_product(
    node: Node, inputs: Sequence[Passage], refuse: Callable[[str], InputError]
) -> int:
    """Give each factor of spikes an equal share of a product; its degree."""
    first, second = len(inputs) - 2, len(inputs) - 1
    degrees = inputs[first].degree, inputs[second].degree
    parts = [0 if degree is None else degree for degree in degrees]
    degree = sum(parts)
    if None in degrees or not degree:
        raise refuse("a product of sums whose terms are products of unlike many spikes")

    def shared(gradients: tuple[Tensor | None, ...], _: Any) -> tuple[Tensor | None, ...]:
        shares = list(gradients)
        for place, part in ((first, parts[0]), (second, parts[1])):
            gradient = shares[place]
            if gradient is not None:
                shares[place] = gradient * (part / degree)
        return tuple(shares)

    node.register_hook(shared)
    return degree


def share_among_fired(node: Node, refuse: Callable[[str], InputError]) -> None:
    """Give each spike of a window of maximum pooling an equal share."""
    kernel, stride, padding = node._saved_kernel_size, node._saved_stride, node._saved_padding
    if any(size != 1 for size in node._saved_dilation):
        raise refuse("maximum pooling with dilation")
    options = (kernel, stride or kernel, padding, node._saved_ceil_mode, True, 1)

    def shared(_: Any, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        if gradient is None:
            return (None,)
        with torch.enable_grad():
            spikes = node._saved_self.detach().requires_grad_()
            fired = functional.avg_pool2d(spikes, *options)  # how many of each window
        share_of_each = gradient / fired.detach().clamp(min=1)
        return (torch.autograd.grad(fired, spikes, share_of_each)[0],)

    node.register_hook(shared)
