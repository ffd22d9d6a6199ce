"""What recording leaves behind, pictures and names, too; and what it refuses: one line each, and
never half a file.
"""

import json
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snntorch import utils
from torch import Tensor, nn

import spikesam
from spikesam.common.errors import InputError
from spikesam.pipeline import explain
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.images.pictures import NAME
from spikesam.pipeline.record.record import record
from tests.pipeline.record.hand_written import Net
from tests.pipeline.record.recorded import NAMES, B, T, images, net, record_images, run


def test_nothing_of_the_model_changes(tmp_path: Path) -> None:
    model, batch, seen = net(), images(), []
    model.lif1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected, before = (
        run(model, batch),
        {name: value.clone() for name, value in model.state_dict().items()},
    )
    hooks = [
        (len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()
    ]
    with record(model, tmp_path) as recording:
        assert torch.equal(run(model, batch), expected)
        recording.finish()
    assert hooks == [
        (len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()
    ]
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(seen) == 2 * T


def test_everything_after_it_takes_the_file(tmp_path: Path) -> None:
    model = net()
    with record(model, tmp_path / "new", dataset="noise") as recording:
        for size in (20, 3):
            batch = images(size)
            spikes = run(model, batch)
            recording.tap("input", batch > 1, layout="TB...")
            recording.finish(spikes, labels=torch.arange(size) % 4, index=np.arange(size) * 2)
    path = tmp_path / "new" / "raster.h5"
    assert [file.name for file in path.parent.iterdir()] == ["raster.h5"]
    assert recording.path == path
    with recording.raster as raster, spikesam.explain(path, out=tmp_path / "maps.h5") as maps:
        raster.verify()
        header = raster.header
        assert (len(raster.labels), header.dataset, header.timesteps, header.seed) == (
            23,
            "noise",
            T,
            0,
        )
        assert (header.precision, header.backend, header.device) == (
            "float32",
            "torch-model",
            "cpu",
        )
        assert [(spec.number, spec.name) for spec in raster.layers] == [
            (0, "input"),
            (1, "lif1"),
            (2, "lif2"),
        ]
        assert [spec.kind for spec in raster.layers] == ["input", "conv", "dense"]
        assert raster.labels.tolist() == [*(n % 4 for n in range(20)), 0, 1, 2]
        assert raster.samples.index.tolist() == [*range(0, 40, 2), 0, 2, 4]
        assert raster.steps_that_matter("input") == T
        assert json.loads(raster.header.config) == {"modules": {"lif1": "lif1", "lif2": "lif2"}}
        assert np.array_equal(raster["input"][20:], (batch > 1).numpy())
        assert np.allclose(
            maps["lif1"].sum[20:], spikesam.sam(raster["lif1"][20:]).sum(0), rtol=1e-5
        )
    explain.main(
        [str(path), "--out", str(tmp_path / "again.h5"), "--figures", str(tmp_path / "figures")]
    )
    assert any((tmp_path / "figures").glob("*.png"))


def test_modules_are_named_by_the_caller(tmp_path: Path) -> None:
    chosen: Any
    for chosen, names in (
        ({"lif2": "out"}, ["out"]),
        (["lif2", "lif1"], ["lif1", "lif2"]),
    ):  # as they fire
        with record(model := net(), tmp_path, chosen, overwrite=True) as recording:
            run(model, images())
            recording.finish()
        assert list(recording.raster) == names


def test_functional_neurons_are_tapped(tmp_path: Path) -> None:
    fc, expected = nn.Linear(72, 6).eval(), []
    with record(fc, tmp_path, layers=[], layer_delay=1) as recording:
        for image in images():
            spikes = fc(image.flatten(1)) > 0
            recording.tap("fc1", spikes)
            expected.append(spikes.numpy())
        for name, layout, axis in (("all", "BT...", 1), ("last", "B...T", 2)):
            recording.tap(name, torch.from_numpy(np.stack(expected, axis)), layout=layout)
        recording.finish(np.stack(expected))
    with recording.raster as raster:
        assert (list(raster), raster.header.layer_delay) == (["fc1", "all", "last"], 1)
        for name in raster:
            assert np.array_equal(raster[name][:][..., 0, 0], np.stack(expected))
        assert raster.readout.tolist() == np.stack(expected).sum(0).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_fire_0_and_1_too(tmp_path: Path, dtype: torch.dtype) -> None:
    model = Net().to(dtype)
    with record(model, tmp_path) as recording:
        spikes = torch.stack([model(image) for image in images().to(dtype)])
        recording.finish(spikes)
    assert spikes.dtype == dtype
    assert 0 < spikes.sum() < spikes.numel()
    assert np.array_equal(recording.raster["lif2"][:][..., 0, 0], spikes.bool())


def test_gradients_do_not_hinder(tmp_path: Path) -> None:
    model = net()
    with torch.enable_grad(), record(model, tmp_path) as recording:
        spikes = run(model, images())
        recording.finish(spikes)
        spikes.sum().backward()
    assert model.conv1.weight.grad is not None


def test_state_that_nobody_reset_is_warned_of(tmp_path: Path) -> None:
    model, batch = net(), images()
    with record(model, tmp_path) as recording:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            recording.finish(run(model, batch))
        with pytest.warns(
            UserWarning, match="layer 'lif[12]': begins a batch with the membrane that an earlier"
        ):
            recording.finish(torch.stack([model(image) for image in batch]))


def twice_a_step(model: Any, recording: Any) -> None:
    utils.reset(model)
    for image in images():
        model.lif2(model.fc2(model.lif1(model.lif1(model.conv1(image))).flatten(1)))
    recording.finish()


def first(model: Any) -> Tensor:
    utils.reset(model)
    return model.lif1(model.conv1(images()[0]))


def exception(model: Any, recording: Any) -> None:
    for _ in range(20):  # more than a shard
        recording.finish(run(model, images()))
    raise spikesam.InputError("of the user's own")


def tapped(name: str, spikes: Any, **options: Any) -> Callable[[Any, Any], None]:
    def fault(model: Any, recording: Any) -> None:
        recording.tap(name, spikes, **options)
        recording.finish(run(model, images()))

    return fault


def finished_with(*batches: dict[str, Any]) -> Callable[[Any, Any], None]:
    def fault(model: Any, recording: Any) -> None:
        for arguments in batches:
            run(model, images())
            recording.finish(**arguments)

    return fault


def in_one_call(model: Any) -> Any:
    """The model with a forward over all steps, (T, B, …)."""
    step, reset = (
        model.forward,
        model.reset if isinstance(model, Net) else lambda: utils.reset(model),
    )

    def forward(batch: Tensor) -> Tensor:
        reset()
        return torch.stack([step(image) for image in batch])

    model.forward = forward
    return model


FAULTS: list[tuple[Callable[[Any, Any], Any], str]] = [
    (
        lambda model, recording: None,
        "record: nothing was recorded; run the model, then call recording.finish",
    ),
    (
        lambda model, recording: recording.finish(),
        "finish: got no spikes since the batch began; run the model before",
    ),
    (
        lambda model, recording: run(model, images()),
        r"record: the last batch was not ended; call recording.finish\(",
    ),
    (
        lambda model, recording: (run(model, images()), recording.finish(), run(model, images())),
        "record: the last batch was not ended",
    ),
    (
        lambda model, recording: (in_one_call(model)(images()), model(images())),
        r"record: the model was called again before recording.finish\(\): call finish\(\) after "
        r"each batch",
    ),
    (
        twice_a_step,
        "layer 'lif1': got 10 steps, expected 5 as layer 'lif2', so it may be called 2 times a "
        "step; give",
    ),
    (
        lambda model, recording: model.lif1(
            model.fc2(first(model).flatten(1))
        ),  # used for two layers
        r"layer 'lif1': got a step of 3 × \(4, 1, 1\) after one of 3 × \(5, 4, 4\); end a batch",
    ),
    (
        lambda model, recording: [
            recording.finish(run(model, images(steps=steps))) for steps in (T, T + 1)
        ],
        "finish: got 6 steps, expected 5 as in the first batch",
    ),
    (
        lambda model, recording: [model(images(size)[0]) for size in (B, B + 1)],
        r"layer 'lif1': got a step of 4 × \(5, 4, 4\) after one of 3 × \(5, 4, 4\)",
    ),
    (
        lambda model, recording: (first(model), recording.finish()),
        "layer 'lif2': module 'lif2' was not called; leave it out with layers=",
    ),
    (
        lambda model, recording: (recording.tap("fc", torch.zeros(B, 4)), recording.finish()),
        "layer 'lif1': module 'lif1' was not called; leave it out with layers=",
    ),
    (lambda model, recording: model(torch.rand(B, 2, 6, 6, device="meta")), "."),
    (tapped("a b", torch.zeros(B, 4)), "layer 'a b': expected a name such as 'conv1'"),
    (
        tapped("fc", torch.zeros(T, B + 1, 4), layout="TB..."),
        "layer 'lif1': got 3 samples, expected 4 as layer 'fc'",
    ),
    (
        tapped("fc", torch.zeros(T + 1, B, 4), layout="TB..."),
        "layer 'fc': got 6 steps, expected 5 as layer 'lif1'",
    ),
    (
        tapped("fc", torch.zeros(0, B, 4), layout="TB..."),
        r"layer 'fc': got shape \(0, 3, 4\), in which T = 0,",
    ),
    (
        tapped("fc", torch.zeros(0, 4)),
        r"layer 'fc': got a step of shape \(0, 4\), expected no side of 0",
    ),
    (
        tapped("fc", torch.zeros(B, 4), layout="T"),
        "layout: got 'T', expected one of B..., TB..., BT..., B...T",
    ),
    (
        tapped("fc", torch.zeros(T, B, 4)),
        r"layer 'fc': got shape \(5, 3, 4\), expected one step, .* with layout=",
    ),
    (
        tapped("fc", torch.zeros(T, B), layout="TB..."),
        r"layer 'fc': got shape \(3,\) of a step, expected \(B, K\),",
    ),
    (
        tapped("fc", torch.full((T, B, 4), 0.5), layout="TB..."),
        "layer 'fc': got values in 0.5 … 0.5 that are neither",
    ),
    (
        tapped("lif1", torch.zeros(T, B, 4), layout="TB..."),
        "layer 'lif1': got two of this name; give names with",
    ),
    (
        finished_with({"labels": [1, 2]}),
        r"finish: labels: got shape \(2,\) of int64, expected 3 whole numbers",
    ),
    (
        finished_with({"labels": [1.0, 2.0, 0.0]}),
        "finish: labels: got real numbers, expected 3 whole ones",
    ),
    (finished_with({"index": [1, 2, -2]}), r"finish: index: got -2 to 2, expected -1 to"),
    (
        finished_with({"output": torch.zeros(2, 4)}),
        r"output: got shape \(2, 4\), expected class scores of \(3, K\)",
    ),
    (finished_with({"output": torch.zeros(6, 3, 4)}), r"output: .* or of every step, \(5, 3, K\)"),
    (
        finished_with({"output": torch.full((3, 4), torch.nan)}),
        "output: got NaN or infinity, expected scores",
    ),
    (finished_with({"output": torch.zeros(3, 0)}), "output: got no class, expected scores"),
    (
        finished_with({"output": {}}),
        "output: got dict of nothing, expected 'logits' in it, or a tensor",
    ),
    (
        finished_with({"output": torch.zeros(3, 4)}, {}),
        "finish: got no output, expected 4 classes as in the",
    ),
    (
        finished_with({}, {"output": torch.zeros(3, 4)}),
        "finish: got 4 classes, expected no output as in the",
    ),
    (exception, "of the user's own"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_a_fault_is_one_line_and_leaves_nothing(
    tmp_path: Path, fault: Callable[..., Any], message: str
) -> None:
    model, out, refusals = net(), tmp_path / "new", (spikesam.InputError, RuntimeError)
    with pytest.raises(refusals, match=f"^{message}") as caught, record(model, out) as recording:
        fault(model, recording)
    assert isinstance(caught.value, spikesam.InputError) or "device" in str(caught.value)
    assert "\n" not in str(caught.value) or not isinstance(caught.value, spikesam.InputError)
    assert not out.exists()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_two_calls_in_a_batch_of_neurons_that_are_still_looked_for_are_refused(
    tmp_path: Path,
) -> None:
    model, message = (
        in_one_call(Net()),
        "finish: got 10 steps in 2 calls of the model, expected one",
    )
    with pytest.raises(spikesam.InputError, match=message), record(model, tmp_path) as recording:
        recording.finish((model(images()), model(images())))


def after(change: Callable[[Any], object]) -> Callable[[], nn.Module]:
    def changed() -> nn.Module:
        change(model := net())
        return model

    return changed


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: "model", {}, "record: model is 'model', expected a torch.nn.Module"),
        (
            after(nn.Module.train),
            {},
            r"record: the model is in training mode, in which .*; call model.eval\(\) before",
        ),
        (after(lambda model: model.fc2.train()), {}, "record: module 'fc2' is in training mode"),
        (
            lambda: nn.DataParallel(net()),
            {},
            "record: the model is DataParallel, .*; record its .module instead",
        ),
        (after(lambda model: model.lif1.compile()), {}, "record: module 'lif1' is compiled"),
        (
            lambda: torch.compile(net()),
            {},
            "record: the model is compiled, .* record the model that it was made",
        ),
        (
            net,
            {"layers": "lif1"},
            r"""layers is 'lif1', expected several names, such as \["lif1"\]""",
        ),
        (
            net,
            {"layers": ["lif3"]},
            "layers: no module 'lif3' in Written; did you mean lif2 or lif1",
        ),
        (
            net,
            {"layers": ["xyz"]},
            "layers: no module 'xyz' in Written; did you mean conv1 or lif1 or",
        ),
        (net, {"layers": {"lif1": "a b"}}, "layer 'a b': expected a name such as 'conv1'"),
        (net, {"layers": {"lif1": "a", "lif2": "a"}}, "layer 'a': got two of this name"),
        (net, {"layout": "TBC"}, "layout: got 'TBC', expected one of B"),
        (net, {"counts": "all"}, "record: counts is 'all', expected one of fired, ternary or None"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    tmp_path: Path, model: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(spikesam.InputError, match=message):
        record(model(), tmp_path / "new", **options).__enter__()
    assert not any(tmp_path.iterdir())


def test_earlier_work_is_replaced_only_if_asked_and_only_by_a_whole_file(tmp_path: Path) -> None:
    model, batch = net(), images()

    def record_images(samples: int, **options: Any) -> Any:
        with record(model, tmp_path, **options) as recording:
            recording.finish(run(model, batch[:, :samples]))
            if samples == B:
                raise KeyboardInterrupt
        return recording

    record_images(1)
    with pytest.raises(
        spikesam.InputError, match=r"raster\.h5: already exists; .* replace it with overwrite=True"
    ):
        record_images(2)
    with pytest.raises(KeyboardInterrupt):
        record_images(B, overwrite=True)
    assert spikesam.open_raster(tmp_path / "raster.h5").n_samples == 1
    (tmp_path / "raster.h5").unlink()
    (tmp_path / "raster.parts").mkdir()  # of a run that was killed
    for name in ("job.json", "00000000.range"):
        (tmp_path / "raster.parts" / name).touch()
    with pytest.raises(
        spikesam.InputError, match=r"raster\.parts: a run that has not finished left this; "
    ):
        record_images(2)
    assert record_images(2, overwrite=True).raster.n_samples == 2
    assert [path.name for path in tmp_path.iterdir()] == ["raster.h5"]


def test_a_recording_is_read_and_written_at_its_time(tmp_path: Path) -> None:
    model = net()
    with record(model, tmp_path) as recording:
        recording.finish(run(model, images()))
        with pytest.raises(
            spikesam.InputError, match="is not finished; read it when the block of record"
        ):
            _ = recording.raster
    for late in (recording.finish, lambda: recording.tap("a", torch.zeros(B, 2))):
        with pytest.raises(
            spikesam.InputError, match="the recording has ended, expected a call within the block"
        ):
            late()


def test_memory_does_not_grow_with_the_number_of_batches(tmp_path: Path) -> None:
    """What Python and NumPy hold between batches; torch holds nothing."""
    spikes, held = torch.rand(T, 16, 1 << 15) < 0.5, []
    tracemalloc.start()
    with record(nn.Identity().eval(), tmp_path, layers=[]) as recording:
        for _ in range(8):
            recording.tap("fc", spikes, layout="TB...")
            recording.finish()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    packed = spikes.numel() / 8  # bytes of a batch
    assert held[-1] - held[2] < packed / 2


def test_figures_show_images_as_they_were_before_their_normalisation_and_names(
    tmp_path: Path,
) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (B, 6, 6, 3), np.uint8)
    normalised = torch.tensor((shown / 255 - 0.5) / 0.25).movedim(3, 1)
    record_images(tmp_path, normalised, class_names=NAMES, input_normalisation=(0.5, 0.25))
    with spikesam.open_raster(tmp_path / "raster.h5") as raster:
        subjects = recorded_subjects(raster, raster.predictions)
    assert len(subjects) == 2 * B
    for sample, subject in enumerate(subjects):
        assert np.array_equal(np.rint(subject.image * 255), shown[sample % B])
    assert [subject.true for subject in subjects[:3]] == ["cat (0)", "dog", "bird"]


def test_without_images_nothing_lies_there_and_nothing_old_stays(tmp_path: Path) -> None:
    record_images(tmp_path, torch.rand(B, 1, 6, 6))
    assert (tmp_path / NAME).is_file()
    record_images(tmp_path, None, overwrite=True)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("shown", "options", "message"),
    [
        (
            None,
            {"class_names": ["cat", "dog"]},
            "class_names: got 2 names, expected one for each of 4 classes",
        ),
        (torch.rand(B + 1, 3, 6, 6), {}, "finish: images: got 4, expected 3, as many as fired"),
        (
            torch.rand(B, 5, 6, 6),
            {},
            r"finish: images: got \(3, 5, 6, 6\) float32, expected images",
        ),
        (5, {}, r"finish: images: got \(\) int64, expected images"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, shown: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        record_images(tmp_path / "out", shown, **options)
    assert not (tmp_path / "out").exists()


def test_a_zip_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / NAME
    mine.write_bytes(b"PK\3\4" + bytes(26) + b"holiday.jpg")
    model, batch = net(), images()
    for overwrite in (False, True):
        with (
            pytest.raises(InputError, match=r"pictures.zip: is not of spikesam, and would be"),
            record(model, tmp_path, overwrite=overwrite),
        ):
            raise AssertionError("began")
    assert mine.read_bytes().endswith(b"holiday.jpg") and [*tmp_path.iterdir()] == [mine]
    mine.unlink()
    for _ in range(2):  # those of a recording are replaced
        with record(model, tmp_path, overwrite=True) as recording:
            recording.finish(run(model, batch), images=batch[0][:, :1])
    assert mine.exists()
