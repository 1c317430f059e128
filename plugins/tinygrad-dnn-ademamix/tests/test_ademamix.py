"""AdEMAMix: the paper's recurrence in float64, its limits, its state."""

import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td

HERE = Path(__file__).parent
CASES = json.loads((HERE / "golden.json").read_text())["cases"]
ARRAYS = np.load(HERE / "golden.npz", allow_pickle=False)


@pytest.fixture
def float64():
    before = td.backend.floatx()
    td.backend.set_floatx("float64")
    yield
    td.backend.set_floatx(before)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", CASES)
def test_paper(float64, name, jitted):
    optimizer = td.optimizers.get("ademamix", **CASES[name]["arguments"])
    weight = td.Variable(ARRAYS["inputs/weight"], trainable=True)

    def step(gradient):
        optimizer.apply([gradient], [weight])

    step = td.jit(step) if jitted else step
    for gradient, expected in zip(ARRAYS["inputs/gradients"], ARRAYS[f"{name}/path"], strict=True):
        step(td.tensor(gradient))
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_float32(name):
    optimizer = td.optimizers.get("ademamix", **CASES[name]["arguments"])
    weight = td.Variable(ARRAYS["inputs/weight"].astype("float32"), trainable=True)
    for gradient in ARRAYS["inputs/gradients"].astype("float32"):
        optimizer.apply([td.tensor(gradient)], [weight])
    np.testing.assert_allclose(weight.numpy(), ARRAYS[f"{name}/path"][-1], rtol=3e-5, atol=1e-6)


def test_configuration():
    optimizer = td.optimizers.get("ademamix", alpha=2.0, alpha_warmup=10, clipnorm=1.0)
    said = json.loads(json.dumps(td.optimizers.serialize(optimizer)))
    assert said["class_name"] == "ademamix"
    assert td.optimizers.get(said).get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"beta_1": 1.0}, r"AdEMAMix: beta_1 must be a number in \[0, 1\), not 1.0"),
        ({"beta_1": 0.0, "beta_3_warmup": 5}, r"beta_1 must be a number in \(0, 1\)"),
        ({"beta_3": 0.0}, r"beta_3 must be a number in \(0, 1\)"),
        ({"alpha": -1}, "alpha must be a number of at least 0"),
        ({"alpha_warmup": 0}, "alpha_warmup must be an integer of at least 1"),
    ],
)
def test_arguments_out_of_range(arguments, told):
    with pytest.raises(ValueError, match=told):
        td.optimizers.get("ademamix", **arguments)
