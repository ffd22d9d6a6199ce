"""Event-driven ProcessModels for Lava's stock Conv and Dense Processes, bit-equal to its own fixed-point models."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from numpy.typing import NDArray

from backends.kernels import add_conv, add_dense


def unfold(weight: NDArray[Any], stride: int, padding: int) -> tuple[NDArray[Any], int, int, int]:
    """Find the pooling folded into a kernel: k×k tiles of equal weights, stride and padding multiples of k.

    Parameters
    ----------
    weight : (O, KH, KW, C)

    Returns
    -------
    weight, stride, padding, pool : such that sum pooling, then this kernel, equals the kernel given; pool may be 1
    """
    rows, columns = weight.shape[1:3]
    common = gcd(rows, columns, stride, padding)
    for pool in range(common, 1, -1):
        if common % pool == 0:
            tile = weight[:, ::pool, ::pool]
            if np.array_equal(tile.repeat(pool, axis=1).repeat(pool, axis=2), weight):
                return tile, stride // pool, padding // pool, pool
    return weight, stride, padding, 1


class AbstractEventConvModel(PyLoihiProcessModel):
    """Adds the weight block of every incoming spike to next step's current.

    Handles what this project builds: binary spikes, square stride and padding, no dilation, one group, sums that stay
    below 2²³ (checked when a Network is constructed), so that the stock model's wrap at 24 bits never happens.
    """

    blocks: NDArray[Any] | None = None
    weight: NDArray[Any]

    def run_spk(self) -> None:
        """Send the current of the last step's spikes, then accumulate this step's."""
        if self.blocks is None:
            # Lava's Conv convolves; its kernel, flipped, is the correlation kernel.
            kernel = self.weight[:, ::-1, ::-1]
            kernel, self.step, self.border, self.pool = unfold(kernel, int(self.stride[0]), int(self.padding[0]))
            self.blocks = np.ascontiguousarray(kernel.transpose(3, 1, 2, 0))
            del self.weight  # as large again
        self.a_out.send(self.a_buf)
        self.a_buf[:] = 0
        add_conv(self.s_in.recv(), self.blocks, self.step, self.border, self.pool, self.a_buf)


class AbstractEventDenseModel(PyLoihiProcessModel):
    """Adds the weights of every incoming spike to next step's current."""

    blocks: NDArray[Any] | None = None
    weights: NDArray[Any]

    def run_spk(self) -> None:
        """Send the current of the last step's spikes, then accumulate this step's."""
        if self.blocks is None:
            self.blocks = np.ascontiguousarray(self.effective_weights().T)
            del self.weights  # as large again
        self.a_out.send(self.a_buff)
        self.a_buff[:] = 0
        add_dense(self.s_in.recv(), self.blocks, self.a_buff)

    def effective_weights(self) -> NDArray[Any]:
        """(out, in) weights as they act on a spike."""
        return self.weights


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class EventConvModelFixed(AbstractEventConvModel):
    """int8 weights, int32 currents."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    weight: NDArray[Any] = LavaPyType(np.ndarray, np.int8)
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, np.int32)
    kernel_size: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    stride: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    padding: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    dilation: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    groups: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    num_message_bits: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    weight_exp: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    num_weight_bits: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class EventConvModelFloat(EventConvModelFixed):
    """float32 weights and currents."""

    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.float32)
    weight: NDArray[Any] = LavaPyType(np.ndarray, np.float32)
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, np.float32)


@implements(proc=Dense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class EventDenseModelFixed(AbstractEventDenseModel):
    """int8 weights, given doubled with `weight_exp=-1` as the stock model needs them; int32 currents."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    weights: NDArray[Any] = LavaPyType(np.ndarray, np.int16)
    a_buff: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    num_message_bits: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)

    def effective_weights(self) -> NDArray[np.int8]:
        """(out, in) int8: the doubled weights, halved again."""
        return np.right_shift(self.weights, -self.proc_params["weight_exp"]).astype(np.int8)


@implements(proc=Dense, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class EventDenseModelFloat(AbstractEventDenseModel):
    """float32 weights and currents."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.float32)
    weights: NDArray[Any] = LavaPyType(np.ndarray, np.float32)
    a_buff: NDArray[np.float32] = LavaPyType(np.ndarray, np.float32)
    num_message_bits: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
