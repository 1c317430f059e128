"""Initializers: distributions, fans, seeds, orthogonality, refusals, names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import initializers

GOLDEN = storage.load("initializers")
KURTOSIS = {"uniform": 1.8, "truncated_normal": 2.3652, "untruncated_normal": 3.0}
PLAIN = {"random_normal": "untruncated_normal", "random_uniform": "uniform", "truncated_normal": "truncated_normal"}
RANDOM = [
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Orthogonal",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
]  # fmt: skip


def cumulative(distribution: str, z: np.ndarray) -> np.ndarray:
    """Return the part of a distribution of standard deviation 1 that lies below each of ``z``, increasing."""
    if distribution == "uniform":
        return np.clip(z / (2 * math.sqrt(3)) + 0.5, 0, 1)
    if distribution == "untruncated_normal":
        return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])
    below = math.erf(math.sqrt(2))
    sigma = 1 / GOLDEN.inputs["truncated_std"]
    return np.array([0.5 * (1 + math.erf(value / sigma / math.sqrt(2)) / below) for value in z])


@pytest.mark.parametrize("name", sorted(GOLDEN.cases))
def test_distribution_is_the_one_keras_draws_from(name: str) -> None:
    case = GOLDEN.cases[name]
    values = getattr(initializers, case["class"])(**case["config"])(case["shape"]).astype(np.float64).ravel()
    distribution = case.get("distribution") or PLAIN[name]
    n, std = values.size, case["std"]
    # Six standard errors of the mean and of the standard deviation: chance fails one such test in a thousand million.
    assert abs(values.mean()) < 6 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 6 * math.sqrt((KURTOSIS[distribution] - 1) / (4 * n))
    assert abs(KURTOSIS[distribution] - case["measured_kurtosis"]) < 0.005
    if case["bound"] is not None:
        largest = np.abs(values).max() / case["bound"]
        # 60,000 draws of these densities come closer than 1 in 1,000 to the bound, but for one time in e^13.
        assert 0.999 < largest <= 1 + 1e-7
    # Kolmogorov and Smirnov: chance exceeds 2.5 once in 130,000 times.
    z = np.sort(values) / std
    distance = np.abs(cumulative(distribution, z) - (np.arange(n) + 0.5) / n).max()
    assert distance * math.sqrt(n) < 2.5


def test_fans() -> None:
    for case in GOLDEN.inputs["fans"]:
        assert initializers.compute_fans(case["shape"]) == tuple(case["fans"])


def test_width_follows_the_fans_of_a_kernel() -> None:
    values = initializers.VarianceScaling(3.0, "fan_out", "uniform")((3, 3, 16, 32))
    assert 0.99 < np.abs(values).max() / math.sqrt(9 / 288) <= 1 + 1e-7


def test_normal_means_truncated_normal() -> None:
    assert initializers.VarianceScaling(distribution="normal").get_config()["distribution"] == "truncated_normal"


@pytest.mark.parametrize("name", RANDOM)
def test_unseeded_draws_afresh_and_follows_the_thread_s_seed(name: str) -> None:
    initializer = getattr(initializers, name)()
    td.utils.set_random_seed(3)
    first, second = initializer((4, 5)), initializer((4, 5))
    assert (first != second).all()
    td.utils.set_random_seed(3)
    np.testing.assert_array_equal(getattr(initializers, name)()((4, 5)), first)
    td.utils.set_random_seed(4)
    assert (initializer((4, 5)) != first).all()


@pytest.mark.parametrize("name", RANDOM)
def test_seeded_draws_the_same_each_time(name: str) -> None:
    initializer = getattr(initializers, name)(seed=7)
    first = initializer((4, 5), "float64")
    td.random.uniform((3,))
    np.testing.assert_array_equal(initializer((4, 5), "float64"), first)
    np.testing.assert_array_equal(initializer((4, 5)), first.astype(np.float32))
    assert (getattr(initializers, name)(seed=8)((4, 5)) != first).all()


def test_drawing_leaves_numpy_s_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    initializers.HeNormal()((10, 10))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (2, 3, 4, 5), (1, 1)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = initializers.Orthogonal(gain=2.0)(shape, "float64")
    assert values.shape == shape
    matrix = values.reshape(-1, shape[-1])
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_all_orthogonal_matrices_are_equally_likely() -> None:
    orthogonal, count = initializers.Orthogonal(), 4000
    entries = np.array([orthogonal((3, 3), "float64") for _ in range(count)])
    # A row of such a matrix is a random direction: each entry has mean 0, variance 1/3 and fourth moment 1/5.
    assert np.abs(entries.mean(axis=0)).max() < 6 * math.sqrt(1 / 3 / count)
    assert np.abs((entries**2).mean(axis=0) - 1 / 3).max() < 6 * math.sqrt((1 / 5 - 1 / 9) / count)
    assert abs((np.linalg.det(entries) > 0).mean() - 0.5) < 6 * 0.5 / math.sqrt(count)


def test_constants() -> None:
    np.testing.assert_array_equal(initializers.Zeros()((2, 3)), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(initializers.Ones()((2,), "int32"), np.ones(2, np.int32))
    np.testing.assert_array_equal(initializers.Constant(0.25)(()), np.float32(0.25))
    np.testing.assert_array_equal(initializers.Identity(3.0)((2, 3)), 3 * np.eye(2, 3))
    assert initializers.Ones()((2,), "int32").dtype == np.int32
    assert initializers.Identity(0.5)((2, 2)).dtype == np.float32


@pytest.mark.parametrize("name", sorted(td.registry.initializers.names()))
def test_shape_and_element_type(name: str) -> None:
    initializer = td.initializers.get(name)
    shapes = [(2, 3), (0, 4), [4, 2]] if name == "identity" else [(2, 3), (0, 4), [4, 2], (2, 3, 4), (np.int64(2), 2)]
    for shape in shapes:
        for dtype in ("float16", "float32", "float64", np.dtype("float64")):
            values = initializer(shape, dtype)
            assert (type(values), values.shape, values.dtype) == (np.ndarray, tuple(shape), np.dtype(dtype))
    assert initializer((2, 2)).dtype == td.backend.floatx()
    if name not in ("identity", "orthogonal"):
        assert isinstance(initializer(()), np.ndarray)
    if getattr(initializer, "seed", ...) is None and not isinstance(initializer, initializers.Constant):
        assert name == "identity" or (initializer((3, 3)) != 0).all()


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("VarianceScaling", {"scale": 0.0}, "VarianceScaling: scale must be a number above 0, not 0.0"),
        ("VarianceScaling", {"scale": "2"}, "VarianceScaling: scale must be a number above 0, not '2'"),
        ("VarianceScaling", {"mode": "fan"}, "mode must be 'fan_in', 'fan_out' or 'fan_avg', not 'fan'"),
        ("VarianceScaling", {"distribution": "gauss"}, "distribution must be 'uniform', 'truncated_normal'"),
        ("RandomNormal", {"stddev": -1.0}, "RandomNormal: stddev must be a number of at least 0, not -1.0"),
        ("TruncatedNormal", {"mean": math.nan}, "TruncatedNormal: mean must be a finite number, not nan"),
        ("RandomUniform", {"minval": 1.0, "maxval": 0.0}, "maxval must be a number of at least minval"),
        ("Orthogonal", {"gain": math.inf}, "Orthogonal: gain must be a finite number, not inf"),
        ("HeNormal", {"seed": -1}, "HeNormal: seed must be None or an integer from 0 to"),
        ("HeNormal", {"seed": 1.5}, "HeNormal: seed must be None or an integer from 0 to"),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(initializers, name)(**kwargs)


def test_what_cannot_be_made_is_refused() -> None:
    for shape in ((-1, 2), 3, None, (2.0, 3)):
        with pytest.raises(ValueError, match="HeNormal: a shape is a tuple of integers of at least 0, not"):
            initializers.HeNormal()(shape)
    with pytest.raises(ValueError, match=r"Orthogonal: a shape is .* with at least 2 axes"):
        initializers.Orthogonal()((3,))
    with pytest.raises(ValueError, match=r"Identity .* 2 axes"):
        initializers.Identity()((2, 2, 2))
    with pytest.raises(TypeError, match="GlorotUniform draws floating-point numbers, not int32"):
        initializers.GlorotUniform()((2, 2), "int32")
    with pytest.raises(NotImplementedError, match="Initializer does not define __call__"):
        initializers.Initializer()((2, 2))


@pytest.mark.parametrize("name", sorted(td.registry.initializers.names()))
def test_config_makes_the_same_again(name: str) -> None:
    made = td.initializers.get(name)
    for original in (made, type(made)(seed=5)) if hasattr(made, "scale") else (made,):
        again = td.initializers.get(td.initializers.serialize(original))
        assert type(again) is type(original)
        assert again.get_config() == original.get_config()


def test_names() -> None:
    aliases = {
        "xavier_uniform": "GlorotUniform", "xavier_normal": "GlorotNormal", "kaiming_uniform": "HeUniform",
        "kaiming_normal": "HeNormal", "normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros",
        "one": "Ones", "variance_scaling": "VarianceScaling", "lecun_normal": "LecunNormal",
    }  # fmt: skip
    for alias, name in aliases.items():
        assert type(initializers.get(alias)) is getattr(initializers, name)
        if alias not in ("normal", "uniform", "zero", "one"):  # these are names for get alone, as in Keras
            assert getattr(initializers, alias) is getattr(initializers, name)
    assert initializers.get("he_normal", seed=3).seed == 3


def test_listing_the_module_shows_initializers_alone() -> None:
    assert "he_normal" in dir(initializers)
    assert not {"np", "annotations", "random", "base", "scaling"} & set(dir(initializers))


# -- why weights are not all alike at the start ------------------------------------------------------------------------


CORNERS = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]], np.float32)
SIGNS_AGREE = np.array([1, 1, 0, 0], np.float32)


def trained(initializer: Any) -> tuple[td.Sequential, np.ndarray]:
    """Return a network that was to learn in which corners of a square the signs agree, and which it gets right."""
    times = [24, 8, 16, 16]  # were all corners as frequent, the gradients of units that are alike would cancel out
    dense = td.layers.Dense
    model = td.Sequential(
        [
            dense(6, activation="sigmoid", kernel_initializer=initializer),
            dense(4, activation="tanh", kernel_initializer=initializer),
            dense(1, activation="sigmoid", kernel_initializer=initializer),
        ]
    )
    model.compile(td.optimizers.Adam(0.05), "binary_crossentropy")
    x, y = CORNERS.repeat(times, axis=0), SIGNS_AGREE.repeat(times)
    model.fit(x, y[:, None], epochs=150, batch_size=64, verbose=0)
    return model, (model.predict(CORNERS)[:, 0] > 0.5) == SIGNS_AGREE


@pytest.mark.parametrize("initializer", [initializers.Zeros(), initializers.Constant(0.5)])
def test_units_that_begin_alike_stay_alike(backend: str, initializer: initializers.Constant) -> None:
    model, right = trained(initializer)
    for layer in model.layers[:2]:
        kernel, bias = layer.get_weights()
        np.testing.assert_allclose(kernel, kernel[:, :1].repeat(kernel.shape[1], axis=1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, bias[0], rtol=1e-4, atol=1e-5)
    moved = np.abs(model.layers[0].get_weights()[0] - initializer.value).max()
    assert moved > 1 if initializer.value else moved == 0
    # One unit a layer, however many there are: no rising or falling function of one direction gets all corners right.
    assert not right.all()


def test_units_that_begin_apart_learn_different_things(backend: str) -> None:
    model, right = trained(initializers.GlorotUniform(seed=1))
    kernel, _ = model.layers[0].get_weights()
    assert np.ptp(kernel, axis=1).min() > 1
    assert right.all()
