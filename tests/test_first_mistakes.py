"""What people who know Keras or PyTorch try first, and get wrong first."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td


def fourth_power(y_true: td.Tensor, y_pred: td.Tensor) -> td.Tensor:
    return ((y_true - y_pred) ** 4).mean(axis=-1)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_loss_and_a_metric_of_ones_own_see_targets_of_the_outputs_shape(backend: str, shape: tuple[int, ...]) -> None:
    model = td.Sequential([td.layers.Dense(1, kernel_initializer="ones", input_shape=(1,))])
    model.compile("sgd", fourth_power, metrics=[fourth_power])
    y = np.array([3.0, 4.0], np.float32).reshape(shape)
    loss, metric = model.evaluate(np.array([[1.0], [1.0]]), y, verbose=0)
    assert loss == pytest.approx((2.0**4 + 3.0**4) / 2)
    assert metric == pytest.approx(loss)


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))  # noqa: S301  # bytes of our own


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_of_a_model_goes_on_where_the_original_was(copied: Any) -> None:
    with td.backend.use("numpy"):  # whether a device's arrays can be pickled is their library's matter
        random = np.random.default_rng(0)
        x, y = random.normal(size=(40, 3)), random.normal(size=(40, 1))
        model = td.Sequential([td.layers.Dense(4, activation="tanh"), td.layers.Dense(1)])
        model.compile(td.optimizers.Adam(0.01, weight_decay=0.1), "mse")
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        model.optimizer.exclude_from_weight_decay([model.layers[0].kernel])
        twin = copied(model)
        for each in (model, twin):
            each.fit(x, y, epochs=2, shuffle=False, verbose=0)
        for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert len(model.optimizer.variables) == len(twin.optimizer.variables)


def test_a_weight_is_not_replaced_behind_the_optimizers_back(backend: str) -> None:
    layer = td.layers.Dense(1, kernel_initializer="zeros", name="dense")
    layer.build((None, 2))
    with pytest.raises(AttributeError, match=r"layer 'dense': its weight 'kernel' cannot be replaced.*kernel\.assign"):
        layer.kernel = td.ones((2, 1))
    assert layer.kernel.tolist() == [[0.0], [0.0]]


def test_a_forgotten_super_init_is_named(backend: str) -> None:
    class Forgetful(td.layers.Layer):
        def __init__(self) -> None:
            self.factor = 2

    class Hasty(td.optimizers.Optimizer):
        def __init__(self) -> None:
            self.rate = 1

    with pytest.raises(AttributeError, match=r"layer class Forgetful .* must call super\(\).__init__\(\) first"):
        Forgetful()(td.ones((1, 1)))
    with pytest.raises(AttributeError, match=r"optimizer class Hasty .* must call super\(\).__init__\(\)"):
        Hasty().apply([td.ones(1)], [td.Variable([1.0], trainable=True)])


def test_the_older_names_of_a_batchs_moments_are_called(backend: str) -> None:
    class Old(td.callbacks.Callback):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.seen.append(f"begin {batch}")

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(f"end {batch} {'loss' in logs}")

    old = Old()
    model = td.Sequential([td.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=2, callbacks=[old], verbose=0)
    assert old.seen == ["begin 0", "end 0 True", "begin 1", "end 1 True"]


def test_layers_in_a_row_refuse_several_inputs_in_words(backend: str) -> None:
    model = td.Sequential([td.layers.Dense(1)], name="row")
    model.compile("sgd", "mse")
    several = [np.ones((4, 2)), np.ones((4, 3))]
    for _ in range(2):
        with pytest.raises(ValueError, match=r"model 'row' takes one input and got several, of shapes .*draw a Model"):
            model.fit(several, np.ones((4, 1)), verbose=0)
        model.build((None, 2))
    with pytest.raises(TypeError, match=r"predict: model 'text' must return Tensors, not str"):
        type("Text", (td.Model,), {"call": lambda self, inputs: "text"})(name="text").predict(np.ones((2, 2)))


def test_kerass_other_names(backend: str) -> None:
    model = td.Sequential([td.layers.Dense(1), td.layers.BatchNormalization()])
    model.build((None, 2))
    assert all(a is b for a, b in zip(model.variables, model.weights, strict=True))
    assert len(model.trainable_variables) == 4
    assert len(model.non_trainable_variables) == 2
    assert issubclass(td.layers.Dense, td.Layer)
    w = td.Variable([1.0], trainable=True)
    td.optimizers.SGD(0.5).apply_gradients(zip([td.ones(1)], [w], strict=True))
    assert w.tolist() == [0.5]
