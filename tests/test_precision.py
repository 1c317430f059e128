"""Dtype policies: the setting, what layers keep and compute in, against Keras and PyTorch's autocast, and training."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn.ops.cast import widened

GOLDEN = storage.load("mixed_precision")
LAYERS = [name for name, case in GOLDEN.cases.items() if "given" in case]
NARROW = ("float16", "bfloat16")
# The distance between 1 and the next number.
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
layers = td.layers


# -- the setting -----------------------------------------------------------------------------------------------------


def test_the_setting_lasts_and_the_block_ends() -> None:
    assert td.mixed_precision.global_policy().name == "float32"
    with td.mixed_precision("float16") as policy:
        assert policy == td.mixed_precision.global_policy() == td.mixed_precision.DTypePolicy("mixed_float16")
        with td.mixed_precision("bfloat16"):
            assert layers.Dense(1).compute_dtype == "bfloat16"
        assert layers.Dense(1).compute_dtype == "float16"
    assert layers.Dense(1).dtype_policy.name == "float32"
    try:
        td.mixed_precision("float16")
        assert layers.Dense(1).compute_dtype == "float16"
        td.mixed_precision("float32")
        assert layers.Dense(1).compute_dtype == "float32"
    finally:
        td.mixed_precision.set_global_policy(None)


def test_a_block_that_raises_ends_too() -> None:
    with pytest.raises(KeyError), td.mixed_precision("float16"):
        raise KeyError
    assert td.mixed_precision.global_policy().name == "float32"


def test_a_setting_entered_twice_ends_twice() -> None:
    with td.mixed_precision("float16"):
        half = td.mixed_precision("bfloat16")
        td.mixed_precision.set_global_policy("float64")
        with half:
            assert layers.Dense(1).compute_dtype == "bfloat16"
        assert layers.Dense(1).compute_dtype == "float64"
        with half, half:
            pass
        assert layers.Dense(1).compute_dtype == "float64"
    assert layers.Dense(1).compute_dtype == "float32"


def test_the_names_of_keras() -> None:
    names = td.mixed_precision
    assert names.Policy is names.DTypePolicy is td.precision.DTypePolicy
    try:
        for set_policy in (names.set_global_policy, names.set_dtype_policy):
            set_policy("mixed_float16")
            assert names.dtype_policy() == names.global_policy() == names.Policy() == names.Policy("mixed_float16")
            set_policy(names.Policy("float32"))
            assert names.global_policy().name == "float32"
    finally:
        names.set_global_policy(None)
    policy = names.DTypePolicy.from_config(names.DTypePolicy("mixed_bfloat16").get_config())
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == ("mixed_bfloat16", "bfloat16", "float32")
    assert policy != "mixed_bfloat16"
    assert len({policy, names.Policy("mixed_bfloat16"), names.Policy("float32")}) == 2


def test_without_a_policy_layers_follow_floatx() -> None:
    try:
        td.backend.set_floatx("float64")
        assert layers.Dense(1).dtype_policy.name == "float64"
    finally:
        td.backend.set_floatx("float32")


def test_the_policy_belongs_to_a_thread() -> None:
    found = []
    with td.mixed_precision("float16"):
        thread = threading.Thread(target=lambda: found.append(layers.Dense(1).compute_dtype))
        thread.start()
        thread.join()
    assert found == ["float32"]


@pytest.mark.parametrize("policy", ["half", "mixed_float32", "int32", "mixed_", 16, "float8"])
def test_no_policies(policy: Any) -> None:
    with pytest.raises(ValueError, match=r"^mixed_precision takes 'float16', 'bfloat16', .*, not "):
        td.mixed_precision(policy)
    with pytest.raises(ValueError, match="mixed_precision takes"):
        td.mixed_precision.set_global_policy(policy)
    assert td.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize("dtype", ["mixed_float32", "mixed_float64", "mixed_int8", "bfloat16", "complex64"])
def test_layers_refuse_what_is_no_policy(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"^layer 'own': dtype must be a numeric type, not '{dtype}'"):
        layers.Dense(1, dtype=dtype, name="own")


def test_without_ml_dtypes_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import tinygrad_dnn as td\n"
        "for make in (lambda: td.mixed_precision('bfloat16'), lambda: td.zeros((2,), 'bfloat16'),\n"
        "             lambda: td.layers.Dense(1, dtype='mixed_bfloat16')):\n"
        "    try: make()\n"
        "    except ImportError as error: print(error)\n"
        "with td.mixed_precision('float16'): print(td.layers.Dense(1)(td.ones((1, 2))).dtype)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *errors, last = run.stdout.splitlines()
    assert len(errors) == 3
    assert all('pip install "tinygrad-dnn[bfloat16]"' in error for error in errors)
    assert last == "float16"


# -- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_what_those_of_keras_give(backend: str, name: str) -> None:
    case = GOLDEN.cases[name]
    layer = getattr(layers, case["class"])(**case["config"], dtype=case["policy"])
    given = td.tensor(GOLDEN.inputs[case["given"]])
    layer.build((None, *given.shape[1:]))
    weights = [case[f"weight_{i}"] for i in range(len(case["variable_dtypes"]))]
    layer.set_weights(weights)
    output = layer(given, training=case["training"])
    assert (output.dtype.name, layer.compute_dtype) == (case["dtype"], case["compute_dtype"])
    assert [w.dtype.name for w in layer.weights] == case["variable_dtypes"] == ["float32"] * len(weights)
    # Keras on JAX rounds each operation's result, and this package some only once: a few units in the last place of
    # the largest number on the way.
    unit = EPSILON[case["dtype"]]
    ours = output.numpy().astype(np.float32)
    np.testing.assert_allclose(ours, case["output"], rtol=2 * unit, atol=2 * unit)
    for i, weight in enumerate(layer.weights):
        if not weight.trainable:
            np.testing.assert_allclose(weight.numpy(), case[f"moved_{i}"], rtol=2e-6)


def network(case: dict[str, Any], dtype: str) -> td.Sequential:
    model = td.Sequential(
        [
            layers.Dense(16, activation="elu", dtype=dtype),
            layers.LayerNormalization(epsilon=1e-5, dtype=dtype),
            layers.Dense(3, activation="softmax", dtype=dtype),
        ]
    )
    model.build((None, 6))
    model.set_weights([case[f"weight_{i}"] for i in range(6)])
    return model


def gradients(case: dict[str, Any], dtype: str, scale: float = 1.0) -> tuple[float, list[np.ndarray]]:
    """Return a network's loss and its gradients, which were scaled on their way."""
    model = network(case, dtype)
    outputs = model(td.tensor(GOLDEN.inputs["rows"]), training=True)
    loss = td.losses.SparseCategoricalCrossentropy()(td.tensor(GOLDEN.inputs["classes"]), outputs)
    assert loss.dtype == "float32"
    found = td.grad(loss * scale, model.trainable_weights)
    assert all(g.dtype == "float32" for g in found)
    return loss.item(), [g.numpy() / scale for g in found]


def apart(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Return the distance of gradients, all together, as a part of the second ones' norm."""
    difference = np.concatenate([(a - b).ravel() for a, b in zip(ours, theirs, strict=True)])
    return float(np.linalg.norm(difference) / np.linalg.norm(np.concatenate([b.ravel() for b in theirs])))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_s_gradients_are_as_near_the_exact_ones_as_those_of_keras(backend: str, policy: str) -> None:
    exact, theirs = GOLDEN.cases["float32_network"], GOLDEN.cases[f"{policy}_network"]
    loss, ours = gradients(exact, policy)
    expected, of_keras = ([case[f"gradient_{i}"] for i in range(6)] for case in (exact, theirs))
    away = apart(of_keras, expected)
    # The figures are what 16 bits cost: less than a unit in the last place of each number on the way, but not nothing.
    unit = EPSILON[policy.removeprefix("mixed_")]
    assert unit / 16 < apart(ours, expected) < 2 * max(away, unit)
    assert apart(ours, of_keras) < 4 * unit
    assert abs(loss - exact["loss"]) < 2 * max(abs(theirs["loss"] - exact["loss"]), unit)


def test_a_network_s_gradients_are_as_near_the_exact_ones_as_those_of_autocast(backend: str) -> None:
    exact, theirs = GOLDEN.cases["float32_network"], GOLDEN.cases["torch_bfloat16_network"]
    loss, ours = gradients(exact, "mixed_bfloat16")
    expected, of_torch = ([case[f"gradient_{i}"] for i in range(6)] for case in (exact, theirs))
    assert apart(ours, expected) < 2 * apart(of_torch, expected)
    assert abs(loss - exact["loss"]) < EPSILON["bfloat16"]
    # Autocast, too, gives a Linear's and this LayerNorm's results in 16 bits and the loss in float32.
    assert theirs["dtypes"] == {"hidden": "bfloat16", "normed": "bfloat16", "logits": "bfloat16", "loss": "float32"}


def test_float32_is_what_it_was(backend: str) -> None:
    case = GOLDEN.cases["float32_network"]
    loss, ours = gradients(case, "float32")
    assert loss == pytest.approx(case["loss"], rel=1e-6)
    assert apart(ours, [case[f"gradient_{i}"] for i in range(6)]) < 1e-6


def test_scaling_the_loss_changes_no_digit_of_a_gradient_that_fits(backend: str) -> None:
    case = GOLDEN.cases["float32_network"]
    _, plain = gradients(case, "mixed_bfloat16")
    _, scaled = gradients(case, "mixed_bfloat16", scale=2.0**15)
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_array_equal(a, b)


RANDOM_LAYERS: list[Any] = [
    layers.Dropout(0.5, seed=1),
    layers.AlphaDropout(0.5, seed=1),
    layers.GaussianNoise(0.5, seed=1),
    layers.GaussianDropout(0.5, seed=1),
    layers.RReLU(seed=1),
]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("layer", RANDOM_LAYERS, ids=lambda layer: type(layer).__name__)
def test_random_layers_draw_what_they_draw_in_float32(backend: str, layer: Any, dtype: str) -> None:
    x = td.tensor(np.linspace(-2, 2, 4000, dtype=np.float32).reshape(4, 1000))
    cls, config = type(layer), layer.get_config()
    narrow = cls.from_config({**config, "dtype": f"mixed_{dtype}"})(x, training=True)
    wide = cls.from_config(config)(x, training=True)
    assert narrow.dtype == dtype
    np.testing.assert_allclose(narrow.numpy().astype(np.float32), wide.numpy(), rtol=4 * EPSILON[dtype], atol=0.02)


@pytest.mark.parametrize("dtype", NARROW)
def test_raw_data_keep_their_digits_until_they_are_small(backend: str, dtype: str) -> None:
    data = np.array([[1e6, 1e6 + 8], [1e6 + 2, 1e6 + 10]], np.float32)
    normalization = layers.Normalization(dtype=f"mixed_{dtype}")
    normalization.adapt(data)
    rescaling = layers.Rescaling(1.0, offset=-1e6, dtype=f"mixed_{dtype}")
    assert normalization(data).dtype == rescaling(data).dtype == dtype
    assert normalization(data).tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert rescaling(data).tolist() == [[0.0, 8.0], [2.0, 10.0]]
    with td.mixed_precision(dtype):
        model = td.Sequential([td.Input(shape=(2,)), layers.Rescaling(1.0, offset=-1e6), layers.Flatten()])
        x = td.Input(shape=(2,))
        graph = td.Model(x, layers.Rescaling(1.0, offset=-1e6)(x))
    assert model(data).tolist() == graph(data).tolist() == [[0.0, 8.0], [2.0, 10.0]]
    assert x.dtype == graph.input_dtype == model.input_dtype == "float32"


@pytest.mark.parametrize("dtype", NARROW)
def test_image_layers_give_the_type_they_compute_in(backend: str, dtype: str) -> None:
    images = np.arange(96, dtype=np.float32).reshape(2, 4, 4, 3)
    for layer in (
        layers.RandomFlip(seed=1, dtype=f"mixed_{dtype}"),
        layers.RandomRotation(0.1, seed=1, dtype=f"mixed_{dtype}"),
        layers.CenterCrop(2, 2, dtype=f"mixed_{dtype}"),
        layers.Resizing(2, 2, dtype=f"mixed_{dtype}"),
        layers.ZeroPadding2D(dtype=f"mixed_{dtype}"),
    ):
        assert layer(images, training=True).dtype == dtype
    assert layers.Resizing(2, 2, dtype=f"mixed_{dtype}")(images.astype(np.uint8)).dtype == "uint8"


class Scale(td.Layer):
    """A layer as a user writes it, who thinks of no types."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), name="kernel")

    def call(self, inputs: Any) -> Any:
        return (inputs * self.factor) @ self.kernel + self.factor.sum()


@pytest.mark.parametrize("dtype", NARROW)
def test_a_layer_of_the_user_s_computes_in_the_policy_s_type(backend: str, dtype: str) -> None:
    with td.mixed_precision(dtype):
        layer = Scale()
    x = td.ones((3, 4))
    scaled = layer(x)
    assert (td.cast(x, dtype) * layer.factor).dtype == (layer.kernel.T @ td.cast(x.T, dtype)).dtype == dtype
    assert (x * layer.factor).dtype == "float32"
    assert td.where(td.cast(x, dtype) > 0, layer.factor, td.cast(x, dtype)).dtype == dtype
    gradient = td.grad(scaled.sum(), layer.kernel)
    assert gradient.dtype == layer.kernel.dtype == "float32"
    assert gradient.tolist() == [[3.0, 3.0]] * 4


def test_a_weight_of_another_type_is_left_in_it() -> None:
    class Counting(td.Layer):
        def build(self, input_shape: Any) -> None:
            self.count = self.add_weight(dtype="int64", trainable=False, name="count")
            self.exact = self.add_weight(dtype="float64", name="exact")

    layer = Counting(dtype="mixed_float16")
    layer.build((None, 2))
    assert layer.count._autocast is layer.exact._autocast is None


def test_activity_and_weight_penalties_are_float32(backend: str) -> None:
    layer = layers.Dense(
        300, kernel_initializer=td.initializers.Constant(50.0), kernel_regularizer="l2", activity_regularizer="l2",
        dtype="mixed_float16",
    )  # fmt: skip
    layer(td.ones((2, 4)))
    assert [loss.dtype.name for loss in layer.losses] == ["float32", "float32"]
    # 200 squared, for 300 units, is more than float16 can hold.
    assert [loss.item() for loss in layer.losses] == pytest.approx([0.01 * 200**2 * 300, 0.01 * 50**2 * 1200])


def test_the_policy_of_a_layer_may_be_set() -> None:
    layer = layers.Dense(2)
    layer.build((None, 3))
    layer.dtype_policy = "mixed_float16"
    assert layer(td.ones((1, 3))).dtype == layer.compute_dtype == layer.input_dtype == "float16"
    assert (layer.dtype, layer.variable_dtype) == ("float32", "float32")
    layer.dtype_policy = td.mixed_precision.DTypePolicy("float32")
    assert layer(td.ones((1, 3))).dtype == "float32"
    with pytest.raises(ValueError, match="has weights of float32 already, and the policy 'float64' wants float64"):
        layer.dtype_policy = "float64"
    assert layer.dtype_policy.name == "float32"
    assert layer(td.ones((1, 3))).dtype == "float32"


def test_the_policy_is_part_of_the_configuration() -> None:
    layer = layers.Dense(2, dtype="mixed_bfloat16")
    assert layer.get_config()["dtype"] == "mixed_bfloat16"
    pickled = pickle.loads(pickle.dumps(layer))  # noqa: S301
    for again in (layers.Dense.from_config(layer.get_config()), copy.deepcopy(layer), pickled):
        assert again.dtype_policy == layer.dtype_policy
    assert layers.Dense(2, dtype="float64").get_config()["dtype"] == "float64"
    head = layers.Dense(2, dtype=td.mixed_precision.DTypePolicy("float32"))
    assert head.get_config()["dtype"] == "float32"


def test_policies_go_to_keras_and_back() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    given = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "odd", "units": 2, "dtype": policy}}
    layer = td.interchange.layer_from_keras(given)
    assert layer.dtype_policy.name == "mixed_float16"
    with td.mixed_precision("bfloat16"):
        model = td.Sequential([td.Input(shape=(3,)), layers.Dense(2), layer])
    config = td.interchange.model_to_keras(model)["config"]
    assert config["dtype"] == "mixed_bfloat16"
    assert [one["config"]["dtype"] for one in config["layers"]] == ["float32", "mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("dtype", NARROW)
def test_a_model_on_another_backend_goes_on(dtype: str) -> None:
    model = classifier(dtype)
    x, y = data()
    model.fit(x, y, batch_size=16, verbose=0, shuffle=False)
    other = copy.deepcopy(model)
    with td.backend.use("strict"):
        other.to("strict").fit(x, y, batch_size=16, verbose=0, shuffle=False)
    model.fit(x, y, batch_size=16, verbose=0, shuffle=False)
    for a, b in zip(state_of(model), state_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# -- operations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", NARROW)
def test_sums_and_products_are_computed_in_float32(backend: str, dtype: str) -> None:
    ones = td.ones((70000,), dtype)
    assert ones.mean().item() == 1.0
    assert (ones * 3).var().item() == 0.0
    assert td.ones((4096,), dtype).sum().item() == 4096.0  # one at a time, bfloat16 ends at 256, float16 at 2048
    assert (td.ones((1, 4096), dtype) @ td.ones((4096, 1), dtype)).item() == 4096.0
    assert td.norm(td.full((4096,), 8.0, dtype)).item() == 512.0
    assert td.logsumexp(td.zeros((4096,), dtype)).item() == pytest.approx(np.log(4096), rel=EPSILON[dtype])
    assert td.cumsum(td.ones((4096,), dtype))[-1].item() == 4096.0
    images, kernel = td.ones((1, 64, 64, 1), dtype), td.ones((64, 64, 1, 1), dtype)
    assert td.ops.window.conv(images, kernel).item() == 4096.0
    assert td.ops.window.average_pool(images * 1000, 64).item() == pytest.approx(1000, rel=EPSILON[dtype])
    for x in (ones.mean(), td.norm(ones), td.std(ones), td.logsumexp(ones), td.cumsum(ones[:9])):
        assert x.dtype == dtype
    # The gradient of a sum's inputs too: of 4096 rows, for a bias.
    bias = td.tensor(np.zeros(2), dtype, requires_grad=True)
    assert td.grad((td.zeros((4096, 2), dtype) + bias).sum(), bias).tolist() == [4096.0, 4096.0]


OPERATIONS: dict[str, Any] = {
    "add": lambda x: x + 1.5,
    "radd": lambda x: 2 + x,
    "subtract": lambda x: 1.0 - x,
    "multiply": lambda x: x * x * 0.5,
    "divide": lambda x: 1.0 / x,
    "remainder": lambda x: x % 0.75,
    "power": lambda x: x**2.5 + x**2 + 2.0**x,
    "negative": lambda x: -x,
    "abs": lambda x: td.abs(x),
    "exp": lambda x: td.exp(x) + td.expm1(x),
    "log": lambda x: td.log(x) + td.log1p(x),
    "sqrt": lambda x: td.sqrt(x),
    "sin": lambda x: td.sin(x) + td.cos(x),
    "tanh": lambda x: td.tanh(x),
    "erf": lambda x: td.erf(x),
    "maximum": lambda x: td.maximum(x, 0.75) + td.minimum(1.0, x),
    "clip": lambda x: td.clip(x, 0.5, 1.0),
    "where": lambda x: td.where(x > 0.75, x, 0.0),
    "max": lambda x: td.max(x, 0) + td.min(x, 0),
    "mean": lambda x: td.mean(x, 0) + td.sum(x) + td.std(x),
    "matmul": lambda x: x @ td.transpose(x),
    "getitem": lambda x: x[:, 1] + x[td.tensor([0, 1]), 0],
    "reshape": lambda x: td.reshape(x, (-1,)),
    "concatenate": lambda x: td.concatenate([x, x * 2.0]),
    "pad": lambda x: td.pad(x, [(1, 0), (0, 1)], 1.0),
    "stack": lambda x: td.stack([x, x]),
    "tile": lambda x: td.tile(x, (2, 1)),
    "gelu": lambda x: td.activations.gelu(x),
    "softmax": lambda x: td.activations.softmax(x),
    "log_softmax": lambda x: td.activations.log_softmax(x),
    "elu": lambda x: td.activations.elu(x - 1.0),
    "sigmoid": lambda x: td.activations.sigmoid(x),
}


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_the_type_in_value_and_gradient(backend: str, name: str, dtype: str) -> None:
    values = np.array([[0.5, 0.625, 0.875], [1.0, 1.25, 1.75]], np.float32)  # numbers of both types
    narrow, wide = td.tensor(values, dtype, requires_grad=True), td.tensor(values, requires_grad=True)
    y, expected = OPERATIONS[name](narrow), OPERATIONS[name](wide)
    assert y.dtype == dtype
    tolerance = 8 * EPSILON[dtype]
    np.testing.assert_allclose(y.numpy().astype(np.float32), expected.numpy(), rtol=tolerance, atol=tolerance)
    gradient, exact = td.grad(y.sum(), narrow), td.grad(expected.sum(), wide)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient.numpy().astype(np.float32), exact.numpy(), rtol=tolerance, atol=tolerance)


def test_two_types_of_16_bits_meet_in_float32(backend: str) -> None:
    half, brain = td.ones((2,), "float16"), td.ones((2,), "bfloat16")
    assert (half + brain).dtype == td.concatenate([half, brain]).dtype == "float32"
    assert (brain + td.ones((2,))).dtype == td.concatenate([brain, td.ones((2,))]).dtype == "float32"
    assert (brain + td.ones((2,), "float64")).dtype == "float64"
    whole = td.arange(2)
    assert (brain + whole).dtype == (brain * True).dtype == td.concatenate([brain, whole]).dtype == "bfloat16"
    assert (brain > half).dtype == "bool"
    assert repr(brain) == "Tensor([1, 1], dtype=bfloat16)"
    assert td.random.uniform((3,), dtype="bfloat16").dtype == "bfloat16"
    assert td.initializers.HeNormal()((3, 4), dtype="bfloat16").dtype == "bfloat16"
    assert td.Variable(1.0, "bfloat16", trainable=True).requires_grad


@pytest.mark.parametrize("dtype", NARROW)
def test_widening_keeps_the_logits(backend: str, dtype: str) -> None:
    logits = td.tensor([[30.0, -30.0, 0.0]], dtype, requires_grad=True)
    probabilities = td.activations.softmax(logits)
    wide = widened(probabilities)
    assert (wide.dtype.name, wide._logits[0], wide._logits[1].dtype.name) == ("float32", "softmax", "float32")
    loss = td.losses.SparseCategoricalCrossentropy()(td.tensor([1]), probabilities)
    assert loss.item() == pytest.approx(60.0, rel=1e-5)  # which 16 bits of a probability would have lost
    np.testing.assert_allclose(td.grad(loss, logits).tolist(), [[1.0, -1.0, 0.0]], atol=1e-7)
    logits = td.tensor([[1.0, 2.0]], dtype)
    probabilities = td.activations.softmax(logits)
    with td.no_grad():
        logits.assign(logits * 0.0)
    assert widened(probabilities)._logits is None
    whole = td.ones((2,))
    assert widened(whole) is whole


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_is_rounded_once(backend: str, name: str, dtype: str) -> None:
    x = td.tensor(np.random.default_rng(4).normal(scale=4, size=(50, 40)), dtype)
    function = getattr(td.activations, name)
    np.testing.assert_array_equal(function(x).numpy(), td.cast(function(td.cast(x, "float32")), dtype).numpy())


@pytest.mark.parametrize("dtype", NARROW)
def test_losses_and_metrics_are_computed_in_float32(backend: str, dtype: str) -> None:
    targets, outputs = td.zeros((2, 3)), td.full((2, 3), 300.0, dtype)
    assert td.losses.MeanSquaredError()(targets, outputs).item() == pytest.approx(300.0**2, rel=EPSILON[dtype])

    def own(y_true: td.Tensor, y_pred: td.Tensor) -> td.Tensor:
        assert y_pred.dtype == "float32"
        return td.mean((y_true - y_pred) ** 2, -1)

    with td.mixed_precision(dtype):
        model = td.Sequential([td.Input(shape=(3,)), layers.Dense(3, kernel_initializer="ones")])
    model.compile("sgd", own, metrics=["mse", own], jit_compile=False)
    values = model.evaluate(np.full((2, 3), 100.0), np.zeros((2, 3)), verbose=0)
    assert values == pytest.approx([300.0**2] * 3, rel=EPSILON[dtype])


# -- training ----------------------------------------------------------------------------------------------------------


def classifier(dtype: str, **arguments: Any) -> td.Sequential:
    td.utils.set_random_seed(5)
    with td.mixed_precision(dtype):
        model = td.Sequential(
            [
                td.Input(shape=(4, 4, 1)),
                layers.Conv2D(4, 2, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(16, activation="elu", kernel_regularizer="l2"),
                layers.BatchNormalization(),
                layers.Dropout(0.1),
                layers.Dense(8, activation="gelu"),
                layers.LayerNormalization(),
                layers.PReLU(),
                layers.Dense(2, activation="softmax"),
            ]
        )
    model.compile(
        td.optimizers.Nadam(0.01, global_clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"],
        **arguments,
    )  # fmt: skip
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(2).normal(size=(96, 4, 4, 1)).astype(np.float32)
    return x, (x.mean(axis=(1, 2, 3)) > 0).astype(np.int64)


def state_of(model: td.Sequential) -> list[np.ndarray]:
    return [x.numpy() for x in (*model.weights, *model.optimizer.variables)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", NARROW)
def test_programs_do_what_single_operations_do(backend: str, dtype: str) -> None:
    x, y = data()
    states, histories = [], []
    for arguments in ({"run_eagerly": True}, {"jit_compile": "auto"}, {"jit_compile": True}):
        model = classifier(dtype, **arguments)
        histories.append(model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"])
        states.append(state_of(model))
        assert all(state.dtype != dtype for state in states[-1])
    assert histories[0] == histories[1]
    for eager, replayed in zip(*states[:2], strict=True):
        np.testing.assert_array_equal(replayed, eager)
    # Machine code rounds otherwise in float32, what lies near the middle of two numbers of 16 bits then jumps, and
    # training goes on from there: the first epoch is still the same to a few digits.
    assert histories[2][0] == pytest.approx(histories[0][0], rel=EPSILON[dtype])


@pytest.mark.parametrize("dtype", NARROW)
def test_models_in_files_and_copies(backend: str, tmp_path: Path, dtype: str) -> None:
    x, y = data()
    model = classifier(dtype)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model")
    loaded = td.models.load_model(tmp_path / "model")
    cloned = td.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    assert expected.dtype == dtype
    for other in (loaded, cloned, copy.deepcopy(model)):
        assert other.dtype_policy == model.dtype_policy
        assert [layer.dtype_policy for layer in other.layers] == [layer.dtype_policy for layer in model.layers]
        assert all(w.dtype == "float32" for w in other.weights)
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_a_fused_model_keeps_its_policy(backend: str) -> None:
    with td.mixed_precision("float16"):
        model = td.Sequential([td.Input(shape=(3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
    fused = td.fuse(model)
    assert [layer.dtype_policy.name for layer in fused.layers] == ["mixed_float16"] * 2
    assert fused.dtype_policy.name == "mixed_float16"
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(fused(x).numpy(), model(x).numpy(), atol=4 * EPSILON["float16"])


def test_one_layer_may_compute_in_float32(backend: str) -> None:
    with td.mixed_precision("float16"):
        x = td.Input(shape=(3,))
        hidden = layers.Dense(4)(x)
        outputs = layers.Dense(2, activation="softmax", dtype="float32")(hidden)
        model = td.Model(x, outputs)
    assert (hidden.dtype, outputs.dtype) == ("float16", "float32")
    assert model(np.zeros((1, 3))).dtype == "float32"
    assert model.predict(np.zeros((2, 3)), verbose=0).dtype == np.float32
    assert model.dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize("dtype", NARROW)
def test_training_comes_as_far_as_in_float32(dtype: str) -> None:
    (x, y), (x_test, y_test) = td.datasets.sample.load_data()
    x, x_test = (a.reshape(len(a), -1).astype(np.float32) / 255 for a in (x[:2000], x_test))

    def accuracy(policy: str, seed: int) -> float:
        td.utils.set_random_seed(seed)
        with td.mixed_precision(policy):
            model = td.Sequential([td.Input(shape=(784,)), layers.Dense(32, "elu"), layers.Dense(10, "softmax")])
        model.compile(td.optimizers.Nadam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y[:2000], epochs=2, batch_size=64, verbose=0)
        return float(model.evaluate(x_test, y_test, verbose=0)[1])

    seeds = range(3)
    exact = np.array([accuracy("float32", seed) for seed in seeds])
    found = np.array([accuracy(dtype, seed) for seed in seeds])
    assert exact.min() > 0.7
    # Rounding moves single samples of the 1,000; the seeds move more.
    assert abs(found.mean() - exact.mean()) < 0.01


def test_no_policy_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^mixed_precision takes .*, not None"):
        td.mixed_precision(None)  # type: ignore[arg-type]
