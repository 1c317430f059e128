"""Models as ONNX files: onnxruntime gives what they predict, for every layer, activation and length of the batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.export import networks
from tests.golden import functional_networks

pytest.importorskip("onnx.reference", reason="onnx is not installed: pip install tinygrad-dnn[onnx]")
onnx = sys.modules["onnx"]
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed, and nothing else runs the files")
# Of the norm.
TOLERANCE = 1e-5
BATCHES = (1, 2, 9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def session(path: Path) -> Any:
    """Return what runs a file, on one thread."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def as_given(model: td.Model, x: list[np.ndarray]) -> Any:
    """Return inputs in the form that a model takes."""
    return dict(zip(model.input, x, strict=True)) if isinstance(model.input, dict) else x if len(x) > 1 else x[0]


def assert_same(model: td.Model, path: Path, tolerance: float = TOLERANCE) -> None:
    """Compare a file with what its model predicts, for several lengths of the batch."""
    run = session(path)
    assert [x.name for x in run.get_inputs()] == model.input_names
    assert {x.shape[0] for x in run.get_inputs()} == {"batch"}
    for batch in BATCHES:
        x = networks.data(model, batch)
        made = run.run(None, dict(zip(model.input_names, x, strict=True)))
        predicted = [np.asarray(y) for y in td.nested.leaves(model.predict(as_given(model, x), verbose=0))]
        assert len(made) == len(predicted)
        for found, expected in zip(made, predicted, strict=True):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_every_layer_is_tried() -> None:
    assert set(networks.LAYERS) == set(td.registry.layers.names())


@pytest.mark.parametrize(("name", "number"), networks.CASES)
def test_layer(name: str, number: int, path: Path, backend: str) -> None:
    model = networks.of_layer(name, number)
    td.export.onnx(model, path)
    assert_same(model, path)


ACTIVATIONS = {"threshold": {"threshold": 0.5, "default_value": -1.0}}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", td.registry.activations.names())
def test_activation(name: str, dtype: str, path: Path) -> None:
    function = td.activations.get(name, **ACTIVATIONS.get(name, {}))
    model = td.Sequential([td.Input(shape=(6,), dtype=dtype, name="x"), td.layers.Activation(function, dtype=dtype)])
    td.export.onnx(model, path)
    if (name, dtype) == ("gelu", "float64"):  # onnxruntime has no erf in double, ONNX's own one in single precision
        (x,) = networks.data(model, 9)
        (made,) = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"x": x})
        np.testing.assert_allclose(made, model.predict(x, verbose=0), rtol=1e-5)
    else:
        assert_same(model, path, TOLERANCE if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("network", functional_networks.NETWORKS, ids=lambda network: network.__name__)
def test_graphs_of_layers(network: Any, path: Path) -> None:
    model = networks.with_weights(network(td, functional_networks.data())[0])
    td.export.onnx(model, path)
    assert_same(model, path)
    outputs = [y.name for y in session(path).get_outputs()]
    assert outputs == model.output_names


@pytest.mark.parametrize("opset", [18, 21])
def test_a_file_says_what_it_is(opset: int, path: Path) -> None:
    model = td.Sequential([td.Input(shape=(4,), name="x"), td.layers.Dense(3, name="y")], name="net")
    td.export.onnx(model, path, opset=opset)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.producer_name, proto.producer_version) == ("tinygrad_dnn", td.__version__)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", opset)]
    assert proto.graph.name == "net"
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    np.testing.assert_array_equal(weights["y/kernel"], model.get_layer("y").kernel.numpy())


def test_what_depends_on_no_input_is_computed_once(path: Path) -> None:
    model = networks.with_weights(td.Sequential([td.layers.BatchNormalization(input_shape=(4,))]))
    td.export.onnx(model, path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Sub", "Mul", "Add"]


def test_pooling_is_onnx_pooling(path: Path) -> None:
    model = td.Sequential([td.layers.MaxPooling2D(2, input_shape=(4, 4, 1)), td.layers.AveragePooling2D(2)])
    td.export.onnx(model, path)
    operations = [node.op_type for node in onnx.load(path).graph.node]
    assert "MaxPool" in operations
    assert "AveragePool" in operations
    assert "Gather" not in operations


class Own(td.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.hidden = td.layers.Dense(4, activation="elu")

    def call(self, inputs: Any) -> Any:
        return {"sum": inputs["a"] + self.hidden(inputs["b"]), "first": inputs["a"][:, ::-1]}


def test_a_model_of_ones_own_is_built_for_the_shapes_given(path: Path) -> None:
    model = Own()
    td.export.onnx(model, path, {"a": (4,), "b": (3,)})
    run = session(path)
    a, b = (np.random.default_rng(0).normal(size=(5, n)).astype(np.float32) for n in (4, 3))
    names = [x.name for x in run.get_inputs()]
    expected = model({"a": a, "b": b})
    found = run.run(None, dict(zip(names, (a, b), strict=True)))
    for made, wanted in zip(found, td.nested.leaves(expected), strict=True):
        np.testing.assert_allclose(made, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


# What a user may write of a batch of vectors.
FUNCTIONS = {
    "means over the batch": lambda x: x - td.mean(x, axis=0),
    "its length as a number": lambda x: x * float(x.shape[0]) + x.shape[0],
    "numbers of samples": lambda x: x * td.reshape(td.arange(x.shape[0], dtype="float32"), (-1, 1)),
    "constants of its length": lambda x: x + td.ones_like(x) * 3.0,
    "joined twice": lambda x: td.concatenate([x, x], axis=0)[: x.shape[0]] + x[0],
    "samples in reverse": lambda x: td.flip(x, 0) + x[::-1],
    "running sums": lambda x: td.cumsum(x, axis=1) + td.cumsum(x),
    "the best": lambda x: x * td.cast(td.argmax(x, axis=1)[:, None], "float32") + td.cast(td.argmin(x), "float32"),
    "chosen columns": lambda x: td.take(x, [2, 0, -1], axis=1),
    "chosen elements": lambda x: td.reshape(x, (-1, 2, 3))[:, [0, 1], [2, 0]],
    "new axes and places": lambda x: x[:, None, -1] + x[..., 1:5:2],
    "divisions": lambda x: td.floor_divide(x, 0.3) + td.remainder(x, 0.3) + td.remainder(-x, -0.7),
    "whole numbers": lambda x: td.cast(td.floor_divide(td.cast(x * 9, "int64"), 4), "float32") + td.cast(
        td.remainder(td.cast(x * 9, "int64"), -4), "float32"
    ),
    "logarithms": lambda x: td.log1p(td.abs(x) * 1e-6) * 1e6 + td.expm1(x * 1e-6) * 1e6 + td.log(x * x),
    "waves": lambda x: td.sin(x) * td.cos(x) + td.erf(x) + td.sign(x) + td.floor(x),
    "tests": lambda x: td.where(td.logical_and(x > 0, td.logical_not(td.equal(x, 1.0))), x, td.isfinite(x)) + 0.5,
    "counts": lambda x: x * td.cast(td.sum(x > 0, axis=1, keepdims=True), "float32") + td.cast(td.any(x > 2), "int64"),
    "extremes": lambda x: td.max(x, axis=1, keepdims=True) - td.min(x, axis=0) + td.logsumexp(x, axis=1)[:, None],
    "powers": lambda x: td.power(td.abs(x) + 1.0, x) + td.sqrt(td.abs(x)) - td.norm(x, axis=1, keepdims=True),
    "products": lambda x: td.matmul(td.matmul(x, td.transpose(x)), x),
    "surroundings": lambda x: td.pad(x, [(0, 0), (1, 2)], 7.0),
    "repetitions": lambda x: td.tile(x, (1, 2)) + td.tile(x, (3, 2))[: x.shape[0]],
    "not a number": lambda x: td.where(td.isnan(x + np.array([np.nan, 0, 0, 1, 1, 1], np.float32)), x, x * 2),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_of_ones_own(function: Any, path: Path, backend: str) -> None:
    x = td.Input(shape=(6,), name="x")
    model = td.Model(x, td.layers.Lambda(function, name="f")(x))
    td.export.onnx(model, path)
    run = session(path)
    for batch in BATCHES:
        (data,) = networks.data(model, batch)
        expected = model(data).detach().numpy()
        (found,) = run.run(None, {"x": data})
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) <= TOLERANCE * np.linalg.norm(expected)


def lambda_model(function: Any) -> td.Model:
    x = td.Input(shape=(4,), name="x")
    return td.Model(x, td.layers.Lambda(function, lambda shape: shape, name="f")(td.layers.Dense(4)(x)), name="net")


def gradient(x: td.Tensor) -> td.Tensor:
    with td.enable_grad():
        leaf = x.detach().requires_grad_()
        (slope,) = td.grad(td.ops.getitem(leaf, (slice(None), [0, 0, 1, 2])).sum(), [leaf])
    return slope


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * td.random.uniform(x.shape, seed=1), "it draws random numbers at inference"),
        (lambda x: x * float(x.numpy().max()), "the values of a Tensor are looked at"),
        (lambda x: x if x.shape[0] > 10 else x * 2, "depends on the length of the batch by more than a number for"),
        (lambda x: x[: x.shape[0] // 2], "depends on the length of the batch by more"),
        (lambda x: td.squeeze(x[: x.shape[0] - 6]), "depends on the length of the batch by more"),
        (td.squeeze, r"of a batch of one it gives shape \(4,\), where \(1, 4\) would follow"),
        (lambda x: x + np.random.default_rng().normal(size=4), "depends on the length of the batch by more"),
        (gradient, "its operation 'scatter_add' has no counterpart in ONNX"),
        (lambda x: td.pad(x, [(0, x.shape[0]), (0, 0)]), "it surrounds the batch by zeros, as many as there are"),
    ],
)
def test_refuses_by_layer_and_reason(function: Any, reason: str, path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^export.onnx: Lambda 'f' of model 'net' cannot be written, .*{reason}"):
        td.export.onnx(lambda_model(function), path)
    assert not path.exists()


def test_a_layer_inside_models_is_found(path: Path) -> None:
    looking = td.layers.Lambda(lambda x: x * x.numpy(), name="deep")
    inner = td.Sequential([td.layers.Dense(4, input_shape=(4,)), looking])
    x = td.Input(shape=(4,))
    with pytest.raises(ValueError, match="Lambda 'deep' of model 'net' cannot be written, since the values"):
        td.export.onnx(td.Model(x, td.layers.Add()([x, inner(x)]), name="net"), path)


def test_a_dropout_told_to_train_is_refused(path: Path) -> None:
    x = td.Input(shape=(4,))
    model = td.Model(x, td.layers.Dropout(0.5, name="d")(x, training=True), name="net")
    with pytest.raises(ValueError, match="since it draws random numbers at inference"):
        td.export.onnx(model, path)


def test_recording_changes_nothing(path: Path) -> None:
    x = td.Input(shape=(4,))
    y = td.layers.BatchNormalization()(x, training=True)
    model = td.Model(x, td.layers.Dropout(0.5)(y))
    before = model.get_weights()
    td.export.onnx(model, path)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"opset": 17}, ValueError, r"export.onnx: opset must be .*\[18, "),
        ({"opset": "18"}, ValueError, "export.onnx: opset must be"),
        ({"input_shape": [(4,), (4,)]}, ValueError, "input_shape gives 2 shapes and model 'm' has 1 inputs"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type, message: str, path: Path) -> None:
    model = td.Sequential([td.layers.Dense(2, input_shape=(4,))], name="m")
    with pytest.raises(error, match=message):
        td.export.onnx(model, path, **arguments)


def test_shapes_that_are_not_known(path: Path) -> None:
    with pytest.raises(ValueError, match=r"model 'm' is not built: call it on data first, or give input_shape"):
        td.export.onnx(td.Sequential([td.layers.Dense(2)], name="m"), path)
    x = td.Input(shape=(None, 4), name="x")
    model = td.Model(x, td.layers.Dense(2, name="y")(x), name="m")
    with pytest.raises(ValueError, match=r"input 0 of model 'm' has shape \(None, None, 4\), .* give input_shape"):
        td.export.onnx(model, path)
    td.export.onnx(model, path, (5, 4))
    assert session(path).get_inputs()[0].shape == ["batch", 5, 4]
    with pytest.raises(TypeError, match=r"export.onnx: it takes a model, not Dense"):
        td.export.onnx(td.layers.Dense(1), path)  # type: ignore[arg-type]


def test_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"^export.onnx needs onnx: pip install 'tinygrad-dnn\[onnx\]'\.$"):
        td.export.onnx(td.Sequential([td.layers.Dense(1, input_shape=(2,))]), path)


def test_an_old_file_stays_where_writing_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="cannot be written"):
        td.export.onnx(lambda_model(lambda x: x * float(x.numpy().max())), path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]


def test_every_primitive_is_translated_or_known_not_to_be() -> None:
    from tinygrad_dnn.export.translation import TRANSLATIONS
    from tinygrad_dnn.ops import elementwise, index, linalg, random, reduce, shape, window

    cast = sys.modules["tinygrad_dnn.ops.cast"]
    modules = (cast, elementwise, index, linalg, random, reduce, shape, window)
    primitives = {x for module in modules for x in vars(module).values() if isinstance(x, type(shape.RESHAPE))}
    left = {"assign", "uniform", "scatter_add", "fold", "convolve_transposed", "convolve_kernel"}
    assert {primitive.name for primitive in primitives - set(TRANSLATIONS)} == left


def test_bytes_half_precision_and_ensembles(path: Path) -> None:
    k = td.layers
    of_bytes = td.Sequential([td.Input(shape=(4, 4, 3), dtype="uint8", name="x"), k.Rescaling(1 / 255), k.Flatten()])
    x = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    td.export.onnx(of_bytes, path)
    np.testing.assert_allclose(session(path).run(None, {"x": x})[0], of_bytes.predict(x, verbose=0), rtol=1e-6)
    half = [k.Dense(3, activation="gelu", dtype="float16"), k.Softmax(dtype="float16")]
    model = td.Sequential([td.Input(shape=(4,), dtype="float16", name="x"), *half], dtype="float16")
    td.export.onnx(model, path)
    assert_same(model, path, 4e-3)
    members = [td.Sequential([k.Dense(3, activation="softmax", input_shape=(4,))]) for _ in range(3)]
    ensemble = td.models.Ensemble(members)
    data = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = ensemble.predict(data, verbose=0)
    td.export.onnx(ensemble, path)
    run = session(path)
    (found,) = run.run(None, {run.get_inputs()[0].name: data})
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_too_large_for_a_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_dnn.export.exporting._LARGEST", 100)
    with pytest.raises(ValueError, match=r"model 'm' holds .* GiB, and one ONNX file less than 2: export it in parts"):
        td.export.onnx(td.Sequential([td.layers.Dense(30, input_shape=(4,))], name="m"), path)
