"""Dynamic loss scaling: against Keras step by step, what a skipped step leaves alone, state, files, programs."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tests.optimizers.trajectories import TOLERANCE, away

GOLDEN = storage.load("mixed_precision")
TRAJECTORIES = {name: case for name, case in GOLDEN.cases.items() if name.startswith("scaled_")}
BROKEN = {step: (name, float(value)) for step, name, value in GOLDEN.inputs["broken"]}
NAMES = ("kernel", "bias")


def weights() -> list[td.Variable]:
    return [td.Variable(GOLDEN.inputs[f"start_{name}"], trainable=True, name=name) for name in NAMES]


def scaled(inner: Any = "sgd", **arguments: Any) -> td.optimizers.LossScaleOptimizer:
    return td.optimizers.LossScaleOptimizer(inner, **{"initial_scale": 16.0, "dynamic_growth_steps": 3, **arguments})


def gradients(step: int, scale: float, broken: bool = True) -> list[td.Tensor]:
    """Return the scaled gradients of a golden step."""
    found = {name: GOLDEN.inputs[name][step] * np.float32(scale) for name in NAMES}
    if broken and step in BROKEN:
        name, value = BROKEN[step]
        found[name].flat[0] = value
    return [td.tensor(found[name]) for name in NAMES]


# -- against Keras ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_every_step_is_that_of_keras(backend: str, name: str) -> None:
    case = TRAJECTORIES[name]
    optimizer = scaled(getattr(td.optimizers, case["class"])(**case["config"]))
    variables = weights()
    for step in range(len(case["scale"])):
        optimizer.apply(gradients(step, float(optimizer.dynamic_scale)), variables)
        said = [float(optimizer.dynamic_scale), int(optimizer.step_counter), int(optimizer.iterations)]
        assert said == [case["scale"][step], case["counter"][step], case["iterations"][step]], step
        for variable, key in zip(variables, NAMES, strict=True):
            assert away(variable.numpy(), case[key][step]) < TOLERANCE, (step, key)


def test_the_trajectories_of_keras_skip_and_double() -> None:
    scales = TRAJECTORIES["scaled_adam"]["scale"]
    steps = set((scales[1:] / scales[:-1]).tolist())
    assert steps == {0.5, 1.0, 2.0}
    assert len(TRAJECTORIES) == 6


# -- what a skipped step leaves alone --------------------------------------------------------------------------------

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9}),
    ("Adam", {"use_ema": True, "ema_overwrite_frequency": 2, "weight_decay": 0.1}),
    ("Nadam", {"global_clipnorm": 1.0}),
    ("RMSprop", {"gradient_accumulation_steps": 2}),
    ("Muon", {}),
    ("Adafactor", {}),
    ("ScheduleFreeAdamW", {}),
    ("Lamb", {"clipnorm": 1.0}),
    ("Ftrl", {}),
]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(("cls", "options"), KINDS, ids=[cls for cls, _ in KINDS])
def test_a_skipped_step_changes_the_scale_and_nothing_else(
    backend: str, cls: str, options: dict[str, Any], value: float
) -> None:
    optimizer, variables = scaled(getattr(td.optimizers, cls)(**options)), weights()
    for step in range(2):
        optimizer.apply(gradients(step, 16.0), variables)
    state = [x for x in optimizer.variables if x is not optimizer.dynamic_scale and x is not optimizer.step_counter]
    before = [x.numpy() for x in (*variables, *state)]
    broken = gradients(2, 16.0)
    host = broken[1].numpy()
    host[1] = value
    optimizer.apply([broken[0], td.tensor(host)], variables)
    for old, x in zip(before, (*variables, *state), strict=True):
        np.testing.assert_array_equal(x.numpy(), old, err_msg=x.path)
    assert (float(optimizer.dynamic_scale), int(optimizer.step_counter)) == (8.0, 0)
    # And the next one goes on from there, as if there had been none between.
    optimizer.apply(gradients(3, 8.0), variables)
    straight, others = scaled(getattr(td.optimizers, cls)(**options)), weights()
    for step in (0, 1, 3):
        straight.apply(gradients(step, 16.0, broken=False), others)
    for x, other in zip(variables, others, strict=True):
        np.testing.assert_array_equal(x.numpy(), other.numpy())


def test_the_first_step_may_be_skipped(backend: str) -> None:
    optimizer, variables = scaled("adam"), weights()
    optimizer.apply([g * float("inf") for g in gradients(0, 1.0)], variables)
    assert int(optimizer.iterations) == 0
    for x, name in zip(variables, NAMES, strict=True):
        np.testing.assert_array_equal(x.numpy(), GOLDEN.inputs[f"start_{name}"])
    assert all(not x.numpy().any() for slots in optimizer._slots.values() for x in slots.state.values())


def test_a_weight_without_a_gradient_is_left_alone(backend: str) -> None:
    optimizer, variables = scaled("adam"), weights()
    optimizer.apply([None, gradients(0, 16.0)[1]], variables)
    np.testing.assert_array_equal(variables[0].numpy(), GOLDEN.inputs["start_kernel"])
    assert (variables[1].numpy() != GOLDEN.inputs["start_bias"]).all()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_other_types_keep_them(backend: str, dtype: str) -> None:
    weight = td.Variable([1.0, -1.0], dtype, trainable=True)
    optimizer = scaled(td.optimizers.SGD(0.5))
    optimizer.apply([td.tensor([16.0, 8.0], dtype)], [weight])
    assert weight.dtype == dtype
    assert weight.tolist() == [0.5, -1.25]


def test_an_empty_weight_has_a_finite_gradient(backend: str) -> None:
    weight = td.Variable(np.zeros((0, 3), np.float32), trainable=True)
    optimizer = scaled("sgd")
    optimizer.apply([td.zeros((0, 3))], [weight])
    assert int(optimizer.iterations) == 1


def test_the_scale_is_neither_0_nor_infinite(backend: str) -> None:
    optimizer, weight = scaled("sgd", dynamic_growth_steps=1), td.Variable([1.0], trainable=True)
    optimizer.dynamic_scale.assign(2.0**126)
    optimizer.apply([td.tensor([1.0])], [weight])
    assert float(optimizer.dynamic_scale) == 2.0**126
    optimizer.dynamic_scale.assign(2.0**-126)
    optimizer.apply([td.tensor([float("nan")])], [weight])
    assert float(optimizer.dynamic_scale) == 2.0**-126


# -- small gradients survive -----------------------------------------------------------------------------------------


def learn_from_small_gradients(optimizer: td.optimizers.Optimizer) -> float:
    """Return how far a weight comes whose gradient, 2e-8, is less than half of float16's smallest number, 6e-8."""
    weight = td.Variable([1.0], trainable=True)
    for _ in range(10):
        # Both factors are numbers of float16, and their product is not.
        x = td.tensor(np.float16([1.5e-4]))
        loss = td.cast((td.cast(weight, "float16") * x * x).sum(), "float32")
        optimizer.apply([td.grad(optimizer.scale_loss(loss), weight)], [weight])
    return 1.0 - weight.item()


def test_gradients_too_small_for_float16_survive(backend: str) -> None:
    rate = 1e4
    expected = 10 * rate * float(np.float16(1.5e-4)) ** 2
    assert expected == pytest.approx(2.25e-3, rel=1e-3)
    found = learn_from_small_gradients(td.optimizers.LossScaleOptimizer(td.optimizers.SGD(rate)))
    assert found == pytest.approx(expected, rel=2e-3)
    assert learn_from_small_gradients(td.optimizers.SGD(rate)) == 0.0


# -- what it shares with the other optimizer -------------------------------------------------------------------------


def test_it_stands_for_the_other_optimizer() -> None:
    inner = td.optimizers.SGD(0.1, use_ema=True, weight_decay=0.5, clipvalue=2.0)
    optimizer, variables = scaled(inner), weights()
    optimizer.learning_rate = 0.25
    assert float(inner.learning_rate) == float(optimizer.learning_rate) == 0.25
    optimizer.build(variables)
    assert optimizer.use_ema
    assert optimizer.clipvalue == 2.0
    assert optimizer.iterations is inner.iterations
    assert [x.shape for x in optimizer.averages(variables)] == [(4, 3), (3,)]
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert variables[1] in inner._undecayed
    assert variables[0] not in inner._undecayed
    optimizer.apply(gradients(0, 16.0), variables)
    optimizer.finalize_variable_values(variables)
    assert optimizer.variables[2:] == inner.variables
    with pytest.raises(AttributeError, match="no attribute 'loudness'"):
        optimizer.loudness  # noqa: B018


def pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))  # noqa: S301


@pytest.fixture
def on_host() -> Iterator[None]:
    """Make Tensors on the host, whose arrays can be pickled."""
    with td.backend.use("numpy"):
        yield


@pytest.mark.usefixtures("on_host")
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_on_by_itself(copied: Any) -> None:
    optimizer, variables = scaled("adam"), weights()
    optimizer.apply(gradients(0, 16.0), variables)
    other, others = copied((optimizer, variables))
    assert other.iterations is other.inner_optimizer.iterations
    for step in range(1, 8):
        optimizer.apply(gradients(step, float(optimizer.dynamic_scale)), variables)
    assert (int(other.iterations), float(other.dynamic_scale)) == (1, 16.0)
    for step in range(1, 8):
        other.apply(gradients(step, float(other.dynamic_scale)), others)
    for x, y in zip((*variables, *optimizer.variables), (*others, *other.variables), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_configurations() -> None:
    optimizer = scaled(td.optimizers.Adam(0.25, clipnorm=1.0), name="careful")
    config = json.loads(json.dumps(optimizer.get_config()))
    assert set(config) == {"name", "inner_optimizer", "initial_scale", "dynamic_growth_steps"}  # as Keras has it
    again = td.optimizers.LossScaleOptimizer.from_config(config)
    assert again.get_config() == optimizer.get_config()
    assert isinstance(again.inner_optimizer, td.optimizers.Adam)
    assert again.inner_optimizer.clipnorm == 1.0
    serialized = td.optimizers.serialize(optimizer)
    assert td.optimizers.get(serialized).get_config() == optimizer.get_config()


# -- training ----------------------------------------------------------------------------------------------------------


def model(optimizer: Any = None, **arguments: Any) -> td.Sequential:
    with td.mixed_precision("float16"):
        layers = [td.Input(shape=(4,)), td.layers.Dense(8, activation="elu"), td.layers.Dense(2, activation="softmax")]
        made = td.Sequential(layers)
    made.compile(optimizer or "adam", "sparse_categorical_crossentropy", **arguments)
    return made


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(64, 4)).astype(np.float32)
    return x, (x.sum(axis=1) > 0).astype(np.int64)


def seeded(**arguments: Any) -> td.Sequential:
    td.utils.set_random_seed(11)
    return model(**arguments)


def state_of(trained: td.Sequential) -> list[np.ndarray]:
    return [x.numpy() for x in (*trained.weights, *trained.optimizer.variables)]


def test_compile_wraps_the_optimizer_of_a_model_in_mixed_float16() -> None:
    made = model(td.optimizers.Adam(0.5))
    assert isinstance(made.optimizer, td.optimizers.LossScaleOptimizer)
    assert (made.optimizer.initial_scale, made.optimizer.dynamic_growth_steps) == (2.0**15, 2000)
    assert float(made.optimizer.learning_rate) == 0.5
    own = td.optimizers.LossScaleOptimizer("sgd", initial_scale=4.0)
    assert model(own).optimizer is own
    fixed = td.optimizers.SGD(loss_scale_factor=128.0)
    assert model(fixed).optimizer is fixed
    assert isinstance(model(auto_scale_loss=False).optimizer, td.optimizers.Adam)
    for policy in ("bfloat16", "float32"):
        with td.mixed_precision(policy):
            plain = td.Sequential([td.layers.Dense(1)])
        plain.compile("adam", "mse")
        assert isinstance(plain.optimizer, td.optimizers.Adam)


@pytest.mark.filterwarnings("error")
def test_a_training_begins_by_lowering_a_scale_that_is_too_large(backend: str) -> None:
    trained = seeded()
    trained.optimizer.dynamic_scale.assign(2.0**24)
    before = trained.get_weights()
    x, y = data()
    trained.train_on_batch(x, y)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    history = trained.fit(x, y, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert 2.0**10 < float(trained.optimizer.dynamic_scale) < 2.0**24
    skipped = 24 - np.log2(float(trained.optimizer.dynamic_scale))
    assert int(trained.optimizer.iterations) == 33 - skipped
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


@pytest.mark.parametrize("jit_compile", ["auto", True])
def test_a_program_makes_the_same_steps(backend: str, jit_compile: bool | str) -> None:
    x, y = data()
    states = []
    for arguments in ({"run_eagerly": True}, {"jit_compile": jit_compile}):
        inner = td.optimizers.Adam(0.01, global_clipnorm=1.0)
        trained = seeded(optimizer=scaled(inner, initial_scale=2.0**22), **arguments)
        trained.fit(x, y, epochs=4, batch_size=16, verbose=0)
        states.append(state_of(trained))
    scale = float(trained.optimizer.dynamic_scale)
    assert 2.0**10 < scale < 2.0**22  # overflow in some, growth in others
    assert int(trained.optimizer.iterations) < 16
    for eager, replayed in zip(*states, strict=True):
        if jit_compile is True:  # machine code rounds otherwise
            np.testing.assert_allclose(replayed, eager, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(replayed, eager)
    runs = [entry.run for jitted in (trained._programs or {}).values() for entry in jitted._entries.values()]
    assert len(runs) == 1
    assert runs[0] is not None


def test_a_saved_model_goes_on_bit_for_bit(backend: str, tmp_path: Path) -> None:
    x, y = data()
    trained = seeded(optimizer=scaled("adam", initial_scale=2.0**20))
    trained.fit(x, y, epochs=2, batch_size=16, verbose=0, shuffle=False)
    trained.save(tmp_path / "model")
    loaded = td.models.load_model(tmp_path / "model")
    assert loaded.dtype_policy == trained.dtype_policy
    assert [layer.compute_dtype for layer in loaded.layers] == ["float16", "float16"]
    for a, b in zip(state_of(trained), state_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    for each in (trained, loaded):
        each.fit(x, y, epochs=2, batch_size=16, verbose=0, shuffle=False)
    for a, b in zip(state_of(trained), state_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_that_does_not_scale_its_loss_comes_out_of_a_file_like_that(tmp_path: Path) -> None:
    x, y = data()
    trained = model("adam", auto_scale_loss=False)
    trained.fit(x, y, verbose=0)
    trained.save(tmp_path / "model")
    loaded = td.models.load_model(tmp_path / "model")
    assert isinstance(loaded.optimizer, td.optimizers.Adam)
    for a, b in zip(state_of(trained), state_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


class StopError(Exception):
    """Ends a training."""


def test_a_broken_off_training_is_resumed_bit_for_bit(backend: str, tmp_path: Path) -> None:
    x, y = data()

    class Breaking(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise StopError

    def trained(*callbacks: Any) -> td.Sequential:
        made = seeded(optimizer=scaled("adam", initial_scale=2.0**20))
        backup = td.callbacks.BackupAndRestore(tmp_path / "backup")
        made.fit(x, y, epochs=5, batch_size=16, verbose=0, callbacks=[backup, *callbacks])
        return made

    straight = seeded(optimizer=scaled("adam", initial_scale=2.0**20))
    straight.fit(x, y, epochs=5, batch_size=16, verbose=0)
    with pytest.raises(StopError):
        trained(Breaking())
    for a, b in zip(state_of(straight), state_of(trained()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_learning_rate_that_a_callback_lowered_does_not_make_it_another_training(tmp_path: Path) -> None:
    x, y = data()

    class Breaking(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise StopError

    def fit(*callbacks: Any) -> td.Sequential:
        made = seeded()
        schedule = td.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
        backup = td.callbacks.BackupAndRestore(tmp_path / "backup")
        made.fit(x, y, epochs=3, verbose=0, callbacks=[schedule, backup, *callbacks])
        return made

    with pytest.raises(StopError):
        fit(Breaking())
    assert float(fit().optimizer.learning_rate) == pytest.approx(0.01 / 3)


@pytest.mark.parametrize("other", [td.optimizers.Adam(beta_1=0.5), td.optimizers.SGD()], ids=["argument", "class"])
def test_another_optimizer_inside_makes_it_another_training(tmp_path: Path, other: Any) -> None:
    x, y = data()

    class Breaking(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise StopError

    backup = td.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(StopError):
        seeded().fit(x, y, epochs=3, verbose=0, callbacks=[backup, Breaking()])
    with pytest.raises(ValueError, match="the optimizer"):
        seeded(optimizer=other).fit(
            x, y, epochs=3, verbose=0, callbacks=[td.callbacks.BackupAndRestore(tmp_path / "backup")]
        )


def test_a_file_may_not_hide_a_pattern_in_the_other_optimizer(tmp_path: Path) -> None:
    made = model(td.optimizers.Muon(exclude_layers=["(a+)+b"]))
    made.fit(*data(), verbose=0)
    with pytest.raises(ValueError, match="too involved"):
        made.save(tmp_path / "model")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_scale": 0.0}, "initial_scale"),
        ({"initial_scale": float("inf")}, "initial_scale"),
        ({"initial_scale": "large"}, "initial_scale"),
        ({"dynamic_growth_steps": 0}, "dynamic_growth_steps"),
        ({"dynamic_growth_steps": 1.5}, "dynamic_growth_steps"),
        ({"inner_optimizer": td.optimizers.SGD(loss_scale_factor=2.0)}, "'sgd' scales the loss itself"),
        ({"inner_optimizer": td.optimizers.LossScaleOptimizer("sgd")}, "'lossscaleoptimizer' scales the loss itself"),
        ({"inner_optimizer": None}, "must be an optimizer or a name, not None"),
        ({"inner_optimizer": "sgdd"}, "'sgdd' is not a known optimizer"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        td.optimizers.LossScaleOptimizer(**{"inner_optimizer": "sgd", **arguments})


def test_bad_gradients_change_nothing() -> None:
    optimizer, variables = scaled("sgd"), weights()
    with pytest.raises(ValueError, match="1 gradients were given for 2 weights"):
        optimizer.apply([td.zeros((4, 3))], variables)
    with pytest.raises(ValueError, match="gradient of shape"):
        optimizer.apply([td.zeros((4, 3)), td.zeros((4,))], variables)
    assert (int(optimizer.step_counter), float(optimizer.dynamic_scale)) == (0, 16.0)
