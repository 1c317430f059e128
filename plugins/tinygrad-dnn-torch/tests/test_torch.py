"""PyTorch's dialect against what PyTorch 2.13 computed: golden.json and .npz."""

import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())
with np.load(HERE / "golden.npz", allow_pickle=False) as arrays:
    for key in arrays.files:
        owner, field = key.split("/")
        (GOLDEN["inputs"] if owner == "inputs" else GOLDEN["cases"][owner])[field] = arrays[key]
INPUTS, CASES = GOLDEN["inputs"], GOLDEN["cases"]


def of(kind):
    return [name for name in CASES if name.startswith(f"{kind}_")]


@pytest.fixture
def float64():
    before = td.backend.floatx()
    td.backend.set_floatx("float64")
    yield
    td.backend.set_floatx(before)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", of("optimizer"))
def test_optimizer(float64, name, jitted):
    case = CASES[name]
    optimizer = td.optimizers.get(case["name"], **case["arguments"])
    assert td.optimizers.get(td.optimizers.serialize(optimizer)).get_config() == optimizer.get_config()
    weights = [td.Variable(INPUTS[f"weight_{i}"], trainable=True) for i in range(2)]
    step = td.jit(lambda grads: optimizer.apply(grads, weights)) if jitted else lambda g: optimizer.apply(g, weights)
    for t in range(INPUTS["steps"]):
        if t == INPUTS["change"]:
            optimizer.learning_rate = float(optimizer.learning_rate) * 0.1
        step([td.tensor(INPUTS[f"grads_{i}"][t]) for i in range(2)])
        for i, weight in enumerate(weights):
            np.testing.assert_allclose(weight.numpy(), case[f"path_{i}"][t], rtol=1e-9, atol=1e-12, err_msg=f"step {t}")


@pytest.mark.parametrize("name", sorted({CASES[name]["name"] for name in of("optimizer")} - {"torch.adamw"}))
def test_decay_spares_what_is_excluded(name):
    w, b = (td.Variable([1.0, 2.0], trainable=True, name=n) for n in ("kernel", "bias"))
    optimizer = td.optimizers.get(name, learning_rate=0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([td.tensor([0.0, 0.0])] * 2, [w, b])
    assert (b.numpy() == [1.0, 2.0]).all()
    assert (w.numpy() < [1.0, 2.0]).all()


@pytest.mark.parametrize("name", of("schedule"))
def test_schedule(float64, name):
    case = CASES[name]
    schedule = td.schedulers.get(case["name"], **case["arguments"])
    steps = np.arange(len(case["rates"]))
    np.testing.assert_allclose(schedule(td.tensor(steps)).numpy(), case["rates"], rtol=1e-9, atol=1e-15)
    again = td.schedulers.get(json.loads(json.dumps(td.schedulers.serialize(schedule))))
    np.testing.assert_array_equal(again(td.tensor(steps)).numpy(), schedule(td.tensor(steps)).numpy())
    assert float(schedule(10**9)) >= 0


def assert_moments(values, case):
    """Compare two samples' moments, within five standard errors of their difference."""
    values = np.asarray(values, np.float64).ravel()
    parts = 1 / values.size + 1 / case["of"]
    assert abs(values.mean() - case["mean"]) < 5 * case["std"] * parts**0.5
    variance = case["std"] ** 2
    assert abs(values.var() - variance) < 5 * ((case["fourth"] - variance**2) * parts) ** 0.5
    fourth = ((values - values.mean()) ** 4).mean()
    assert abs(fourth / case["fourth"] - 1) < 0.05  # which tells a normal from a truncated one and a uniform


@pytest.mark.parametrize("name", of("initializer"))
def test_initializer(name):
    case = CASES[name]
    initializer = td.initializers.get(case["name"], **case["arguments"], seed=1)
    values = initializer((2000, 500))
    assert_moments(values, case)
    if "normal" not in name or "trunc" in name:
        span = case["greatest"] - case["least"]
        assert abs(values.min() - case["least"]) < 1e-3 * span
        assert abs(values.max() - case["greatest"]) < 1e-3 * span
    again = td.initializers.get(json.loads(json.dumps(td.initializers.serialize(initializer))))
    np.testing.assert_array_equal(again((3, 4)), initializer((3, 4)))
    assert initializer((3, 4), dtype="float64").dtype == "float64"


@pytest.mark.parametrize(("name", "shape"), [("linear", (100,)), ("conv2d", (5, 5, 4))])
def test_what_layers_begin_with(name, shape):
    td.utils.set_random_seed(0)
    arguments = {"units": 10_000} if name == "linear" else {"filters": 10_000, "kernel_size": 3}
    layer = td.layers.get(f"torch.{name}", **arguments)
    layer.build((None, *shape))
    kernel, bias = layer.get_weights()
    assert_moments(kernel, CASES[f"{name}_weight"])
    assert_moments(bias, CASES[f"{name}_bias"])
    again = td.layers.get(json.loads(json.dumps(td.layers.serialize(layer))))
    assert again.get_config() == layer.get_config()


def test_a_bias_needs_its_layer():
    with pytest.raises(ValueError, match="for the biases of layers that have one"):
        td.initializers.get("torch.linear")((3,))


def test_batch_normalization(float64):
    case = CASES["batch_normalization"]
    layer = td.layers.get("torch.batch_normalization")
    for batch, trained in zip(case["batches"], case["trained"], strict=True):
        np.testing.assert_allclose(layer(batch, training=True).numpy(), trained, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_mean.numpy(), case["mean"], rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), case["variance"], rtol=1e-12)
    np.testing.assert_allclose(layer(case["batches"][0]).numpy(), case["inference"], rtol=1e-12)
    again = td.layers.get(json.loads(json.dumps(td.layers.serialize(layer))))
    assert again.get_config() == layer.get_config()
    assert again.momentum == layer.momentum


@pytest.mark.parametrize("name", ["layer_normalization", "prelu"])
def test_layer(float64, name):
    case = CASES[name]
    layer = td.layers.get(f"torch.{name}")
    np.testing.assert_allclose(layer(case["x"]).numpy(), case["y"], rtol=1e-9)
    assert td.layers.get(td.layers.serialize(layer)).get_config() == layer.get_config()


def test_leaky_relu(float64):
    case = CASES["leaky_relu"]
    np.testing.assert_allclose(td.activations.get("torch.leaky_relu")(td.tensor(case["x"])).numpy(), case["y"])


@pytest.mark.parametrize("name", of("plateau"))
def test_reduce_lr_on_plateau(float64, name):
    case = CASES[name]
    callback = td.registry.callbacks.get("torch.reduce_lr_on_plateau", monitor="loss", **case["arguments"])
    model = td.Sequential([td.layers.Dense(1)])
    model.compile(td.optimizers.SGD(0.5))
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(case["values"]):
        callback.on_epoch_end(epoch, {"loss": float(value)})
        rates.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "told"),
    [
        ("optimizers", "torch.sgd", {"nesterov": True}, "nesterov needs a momentum"),
        ("optimizers", "torch.sgd", {"momentum": -1}, "momentum must be a number of at least 0"),
        ("optimizers", "torch.adagrad", {"lr_decay": -1}, "lr_decay must be a number of at least 0"),
        ("optimizers", "torch.nadam", {"decoupled_weight_decay": 1}, "must be True or False"),
        ("schedulers", "torch.step", {"learning_rate": 1, "step_size": 0}, "step_size must be an integer of at"),
        ("schedulers", "torch.multi_step", {"learning_rate": 1, "milestones": [-1]}, "a list of integers"),
        ("schedulers", "torch.linear", {"learning_rate": 1, "start_factor": 0}, "start_factor must be a number"),
        ("initializers", "torch.kaiming_normal", {"mode": "fan"}, "mode must be"),
        ("initializers", "torch.trunc_normal", {"a": 1, "b": 1}, "b must be a number above 1"),
        ("layers", "torch.batch_normalization", {"momentum": 2}, "momentum must be a number in"),
        ("callbacks", "torch.reduce_lr_on_plateau", {"threshold": -1}, "threshold must be a number of at least 0"),
    ],
)
def test_arguments_out_of_range(kind, name, arguments, told):
    with pytest.raises(ValueError, match=told):
        getattr(td.registry, kind).get(name, **arguments)
