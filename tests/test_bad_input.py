"""Bad input gets one sentence that names the culprit, what came and what was expected; and it changes nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers, losses, optimizers, callbacks = td.layers, td.losses, td.optimizers, td.callbacks
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
SPARSE = "sparse_categorical_crossentropy"


class World:
    """A model in the middle of its training, whose whole state can be compared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = td.Sequential(
            [
                layers.InputLayer(shape=(4,)), layers.Dense(6, activation="elu", name="hidden"),
                layers.BatchNormalization(name="norm"), layers.Dropout(0.2, name="drop"),
                layers.Dense(3, activation="softmax", name="out"),
            ],
            name="net",
        )  # fmt: skip
        self.model.compile("nadam", SPARSE, metrics=["accuracy"])
        self.model.fit(X, Y, batch_size=5, epochs=2, verbose=0)

    def fit(self, x: Any = X, y: Any = Y, **options: Any) -> Any:
        return self.model.fit(x, y, **{"epochs": 3, "batch_size": 5, "verbose": 0, **options})

    def state(self) -> dict[str, Any]:
        model = self.model
        streams = [layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")]
        variables = [*model.weights, *model.optimizer.variables, *streams]
        return {
            "numbers": [variable.numpy().tobytes() for variable in variables],
            "trainable": [weight.path for weight in model.trainable_weights],
            "layers": [layer.name for layer in model.layers],
            "history": model.history.history,
            "loss": model._objectives.each[0].loss,
            "optimizer": id(model.optimizer),
            "seed": td.random.get_seed(),
            "predictions": model.predict(X).tobytes(),
        }


@dataclass(frozen=True)
class Case:
    """What a user does, and the error that comes of it: its type and its sentence, a regular expression."""

    does: Callable[[World], Any]
    error: type[Exception]
    sentence: str
    # The batch that is wrong is first seen in training, so the history is that of the training that failed.
    begun: bool = False


def with_nan(place: int = 7) -> np.ndarray:
    x = X.copy()
    x[place, 2] = np.nan
    return x


def labels(**changed: Any) -> np.ndarray:
    """Return the labels, sample 4 being another."""
    y = Y.astype(changed.get("dtype", np.int64))
    y[4] = changed["to"]
    return y


def compiled(*stack: Any, loss: Any = "mse", **options: Any) -> td.Sequential:
    model = td.Sequential(list(stack), name="other")
    model.compile("sgd", loss, **options)
    return model


def frozen() -> td.Sequential:
    model = compiled(layers.InputLayer(shape=(4,)), layers.Dense(1))
    model.trainable = False
    return model


def load_cifar10(world: World, name: str, content: bytes) -> None:
    """Load CIFAR-10 from a folder with this file in it."""
    path = world.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_DNN_DATA", str(world.folder))
        td.datasets.cifar10.load_data()


def use_cupy_where_there_is_none() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", None)
        patch.setattr(td.backend, "_loaded", {"numpy": td.backend.get("numpy")})
        patch.setattr(td.backend, "_failures", {})
        td.backend.use("cupy")


DATA = {
    "labels: too great": Case(lambda w: w.fit(y=labels(to=3)), ValueError, r"integers from 0 to 2.*sample 4 holds 3"),
    "labels: negative": Case(lambda w: w.fit(y=labels(to=-1)), ValueError, r"integers from 0 to 2.*sample 4 holds -1"),
    "labels: no integers": Case(
        lambda w: w.fit(y=labels(to=0.5, dtype=float)), ValueError, r"integers from 0 to 2.*sample 4 holds 0\.5"
    ),
    "labels: tensors": Case(lambda w: w.fit(y=td.tensor(labels(to=9))), ValueError, r"sample 4 holds 9"),
    "labels: in a batch": Case(
        lambda w: w.model.train_on_batch(X, labels(to=3)), ValueError, r"crossentropy: y must hold .*sample 4 holds 3"
    ),
    "labels: in an iterable": Case(
        lambda w: w.fit([(X, labels(to=3))], None), ValueError, r"sample 4 holds 3", begun=True
    ),
    "labels: of the validation": Case(
        lambda w: w.fit(validation_data=(X, labels(to=3))),
        ValueError,
        r"fit, validation_data: sparse_.*sample 4 holds 3",
    ),
    "labels: in evaluate": Case(lambda w: w.model.evaluate(X, labels(to=3)), ValueError, r"sample 4 holds 3"),
    "labels: one-hot for the sparse loss": Case(
        lambda w: w.fit(y=np.eye(3)[Y]),
        ValueError,
        r"sparse_categorical_crossentropy: y has shape \(12, 3\).*one class a sample, of shape \(12,\)\. One-hot",
    ),
    "labels: integers for the one-hot loss": Case(
        lambda w: compiled(layers.Dense(3, activation="softmax"), loss="categorical_crossentropy").fit(X, Y, verbose=0),
        ValueError,
        r"categorical_crossentropy: y has shape \(12,\).*outputs \(12, 3\).*Integer classes go with sparse_categ",
    ),
    "labels: of the class loss": Case(
        lambda w: compiled(layers.Dense(2), loss=losses.SparseCategoricalCrossentropy(from_logits=True)).fit(
            X, Y, verbose=0
        ),
        ValueError,
        r"integers from 0 to 1, for the model has 2 outputs; sample 2 holds 2",
    ),
    "labels: binary beyond 1": Case(
        lambda w: compiled(layers.Dense(1, activation="sigmoid"), loss="binary_crossentropy").fit(X, Y, verbose=0),
        ValueError,
        r"binary_crossentropy: y must hold numbers in \[0, 1\]; sample 2 holds 2",
    ),
    "targets: of another shape": Case(
        lambda w: compiled(layers.Dense(1)).fit(X, np.zeros((12, 2)), verbose=0),
        ValueError,
        r"mean_squared_error: y_true has shape \(12, 2\) and y_pred \(12, 1\)",
    ),
    "targets: none": Case(lambda w: w.fit(y=None), ValueError, r"the loss of model 'net' needs targets"),
    "targets: NaN": Case(lambda w: w.fit(y=labels(to=np.nan, dtype=float)), ValueError, r"y holds nan at sample 4"),
    "lengths: x and y": Case(lambda w: w.fit(y=Y[:11]), ValueError, r"fit: x has 12 samples and y has 11"),
    "lengths: sample_weight": Case(
        lambda w: w.fit(sample_weight=np.ones(3)), ValueError, r"x has 12 samples and sample_weight has 3"
    ),
    "lengths: evaluate": Case(
        lambda w: w.model.evaluate(X, Y[:5]), ValueError, r"evaluate: x has 12 samples and y has 5"
    ),
    "lengths: validation_data": Case(
        lambda w: w.fit(validation_data=(X, Y[:2])), ValueError, r"validation_data: x has 12 samples and y has 2"
    ),
    "lengths: before a split": Case(
        lambda w: w.fit(y=Y[:9], validation_split=0.5), ValueError, r"fit: x has 12 samples and y has 9"
    ),
    "empty: x": Case(lambda w: w.fit(X[:0], Y[:0]), ValueError, r"fit: x has no samples \(its shape is \(0, 4\)\)"),
    "empty: predict": Case(lambda w: w.model.predict(X[:0]), ValueError, r"predict: x has no samples"),
    "empty: iterable": Case(lambda w: w.fit([], None), ValueError, r"fit: x has no samples"),
    "x: NaN": Case(lambda w: w.fit(with_nan()), ValueError, r"fit: x holds nan at sample 7, place \(2,\): replace"),
    "x: infinity": Case(lambda w: w.model.predict(X / 0.0), ValueError, r"predict: x holds -?inf at sample 0"),
    "x: NaN in a tensor": Case(lambda w: w.fit(td.tensor(with_nan())), ValueError, r"fit: x holds nan at sample 7"),
    "x: NaN in a batch": Case(
        lambda w: w.fit([(with_nan(), Y)], None), ValueError, r"fit: x holds nan at sample 7", begun=True
    ),
    "x: strings": Case(
        lambda w: w.fit(np.array(["a"] * 12)), ValueError, r"fit: x must be an array of numbers, not text"
    ),
    "x: ragged": Case(
        lambda w: w.fit([[1, 2], [3]] * 6), ValueError, r"fit: x must be .* not nested lists of unequal lengths"
    ),
    "x: a dict": Case(lambda w: w.fit({"a": X}), ValueError, r"'net' takes one input and got several, .* \{'a': "),
    "x: complex": Case(lambda w: w.fit(X * 1j), ValueError, r"fit: x must be an array of numbers, not complex64"),
    "x: a number": Case(lambda w: w.fit(3.0), ValueError, r"fit: x is a single number; its first axis must be that of"),
    "x: a file's name": Case(
        lambda w: w.fit("x.csv", None), ValueError, r"x must be an array or an iterable of batches"
    ),
    "x: missing": Case(lambda w: w.model.fit(), ValueError, r"fit: there is no x"),
    "x: too many features": Case(
        lambda w: w.fit(np.zeros((12, 5))),
        ValueError,
        r"model 'net' takes inputs of shape \(None, 4\) and got \(5, 5\)",
    ),
    "x: one sample without its axis": Case(
        lambda w: w.model.predict(X[0]), ValueError, r"model 'net' takes inputs of shape \(None, 4\) and got \(4,\)"
    ),
    "x: images for a dense layer": Case(
        lambda w: compiled(layers.Dense(3, name="first")).predict([np.zeros(4)]),
        ValueError,
        r"Dense 'first' takes inputs of shape \(batch, features\).*add an axis",
    ),
    "weights: of two axes": Case(
        lambda w: w.fit(sample_weight=np.ones((12, 2))),
        ValueError,
        r"sample_weight is one number a sample, not .*\(12, 2\)",
    ),
    "generator: dry": Case(
        lambda w: w.fit(iter(()), None),
        ValueError,
        r"fit: the data ran out after 0 batches: a generator can be gone",
        begun=True,
    ),
    "generator: with y": Case(
        lambda w: w.fit((batch for batch in [X]), Y), ValueError, r"fit: x must be an array of numbers, not generator"
    ),
    "batch: of four parts": Case(
        lambda w: w.fit([(X, Y, X, Y)], None),
        ValueError,
        r"a batch is x, \(x, y\) or \(x, y, sample_weight\), not .* 4",
        begun=True,
    ),
    "validation_data: inputs alone": Case(
        lambda w: w.fit(validation_data=X), ValueError, r"validation_data: it must be a tuple \(x, y\) or batches"
    ),
    "validation_data: a number": Case(
        lambda w: w.fit(validation_data=0.2), ValueError, r"validation_data: it must be a tuple \(x, y\) .* not float"
    ),
}

ARGUMENTS = {
    "batch_size: 0": Case(
        lambda w: w.fit(batch_size=0), ValueError, r"fit: batch_size must be an integer of at least 1, not 0"
    ),
    "batch_size: a fraction": Case(lambda w: w.fit(batch_size=2.5), ValueError, r"batch_size must be .*not 2\.5"),
    "batch_size: of the validation": Case(
        lambda w: w.fit(validation_data=(X, Y), validation_batch_size=0), ValueError, r"batch_size must be .*not 0"
    ),
    "epochs: 0": Case(lambda w: w.fit(epochs=0), ValueError, r"fit: epochs must be an integer of at least 1, not 0"),
    "epochs: a fraction": Case(lambda w: w.fit(epochs=1.5), ValueError, r"fit: epochs must be .*not 1\.5"),
    "initial_epoch: negative": Case(lambda w: w.fit(initial_epoch=-1), ValueError, r"initial_epoch must be .*not -1"),
    "validation_freq: 0": Case(lambda w: w.fit(validation_freq=0), ValueError, r"validation_freq must be .*not 0"),
    "verbose: 3": Case(lambda w: w.fit(verbose=3), ValueError, r"fit: verbose must be 0, 1, 2 or 'auto', not 3"),
    "metric: for other targets": Case(
        lambda w: compiled(layers.Dense(3), loss=SPARSE, metrics=["categorical_accuracy"]).fit(X, Y, verbose=0),
        ValueError,
        r"categorical_accuracy: y_true has shape \(12,\) and y_pred \(12, 3\)",
    ),
    "steps: 0": Case(
        lambda w: w.fit([(X, Y)], None, steps_per_epoch=0), ValueError, r"number of steps must be .*not 0"
    ),
    "steps: with arrays": Case(
        lambda w: w.fit(steps_per_epoch=2),
        ValueError,
        r"fit: steps_per_epoch is for an iterable of batches, and these data are .*leave it out",
    ),
    "validation_split: 1.5": Case(
        lambda w: w.fit(validation_split=1.5), ValueError, r"validation_split must be in \[0, 1\), not 1\.5"
    ),
    "validation_split: negative": Case(
        lambda w: w.fit(validation_split=-0.1), ValueError, r"validation_split must be in \[0, 1\), not -0\.1"
    ),
    "validation_split: nothing left": Case(
        lambda w: w.fit(X[:2], Y[:2], validation_split=0.9),
        ValueError,
        r"=0\.9 of 2 samples leaves 0 to train on and 2",
    ),
    "validation_split: of batches": Case(
        lambda w: w.fit([(X, Y)], None, validation_split=0.5), ValueError, r"fit: validation_split is for arrays"
    ),
    "class_weight: a list": Case(
        lambda w: w.fit(class_weight=[1.0, 2.0, 1.0]), ValueError, r"class_weight must be a dict from class to weight"
    ),
    "class_weight: negative": Case(
        lambda w: w.fit(class_weight={1: -2.0}), ValueError, r"weights of at least 0, not 1 the weight -2\.0"
    ),
    "class_weight: names": Case(
        lambda w: w.fit(class_weight={"cat": 2.0}), ValueError, r"integer classes .* not 'cat' the weight 2\.0"
    ),
    "class_weight: without targets": Case(
        lambda w: w.fit([X], None, class_weight={0: 1.0}), ValueError, r"fit: class_weight needs targets", begun=True
    ),
    "callback: a function": Case(
        lambda w: w.fit(callbacks=[print]), TypeError, r"a callback must be given as a name.*got .*print"
    ),
    "callback: unknown": Case(
        lambda w: w.fit(callbacks=["early_stoping"]), ValueError, r"Did you mean 'early_?stopping'"
    ),
    "compile: no optimizer": Case(
        lambda w: w.model.compile(None, "mse"), TypeError, r"compile: the model needs an optimizer"
    ),
    "compile: metrics no list": Case(
        lambda w: w.model.compile("sgd", "mse", metrics="mae"), TypeError, r"metrics must be a list, as \['mae'\]"
    ),
    "compile: loss no loss": Case(lambda w: w.model.compile("sgd", 5), TypeError, r"a loss must be given as .*got 5"),
    "fit before compile": Case(
        lambda w: td.Sequential([layers.Dense(1)], name="raw").fit(X, Y),
        RuntimeError,
        r"fit: the model 'raw' is not compiled; call model\.compile",
    ),
    "evaluate before compile": Case(
        lambda w: td.Sequential([layers.Dense(1)]).evaluate(X, Y),
        RuntimeError,
        r"evaluate: the model .* is not compiled",
    ),
    "train_on_batch before compile": Case(
        lambda w: td.Sequential([layers.Dense(1)]).train_on_batch(X, Y),
        RuntimeError,
        r"train_on_batch: .* not compiled",
    ),
    "no loss": Case(
        lambda w: compiled(layers.Dense(1), loss=None).fit(X, Y), ValueError, r"'other' was compiled without a loss"
    ),
    "loss: returns nothing": Case(
        lambda w: compiled(layers.Dense(1), loss=lambda t, p: None).fit(X, Y), TypeError, r"the loss .* returned None"
    ),
    "loss: leaves the Tensors": Case(
        lambda w: compiled(layers.Dense(1), loss=lambda t, p: np.mean(p.numpy())).fit(X, Y, verbose=0),
        ValueError,
        r"the loss of model 'other' does not depend on its trainable weights: compute it from y_pred",
    ),
    "loss: not reduced": Case(
        lambda w: compiled(layers.Dense(1), loss=losses.MeanSquaredError(reduction="none")).fit(X, Y, verbose=0),
        ValueError,
        r"the loss of model 'other' has shape \(5,\)|has shape \(12,\), and training needs one number",
    ),
    "everything frozen": Case(
        lambda w: frozen().fit(X, Y, verbose=0), ValueError, r"has no trainable weights: unfreeze a layer"
    ),
}

NAMES = {
    "name: activation": Case(lambda w: layers.Dense(2, activation="rellu"), ValueError, r"Did you mean 'relu'"),
    "name: initializer": Case(
        lambda w: layers.Dense(2, kernel_initializer="he_norml"), ValueError, r"Did you mean 'he_normal'"
    ),
    "name: regularizer": Case(lambda w: layers.Dense(2, kernel_regularizer="l22"), ValueError, r"Did you mean 'l2'"),
    "name: constraint": Case(
        lambda w: layers.Dense(2, kernel_constraint="maxnorm2"), ValueError, r"Did you mean 'max_?norm'"
    ),
    "name: optimizer": Case(
        lambda w: w.model.compile("nadm"), ValueError, r"'nadm' is not a known .*Did you mean 'nadam'"
    ),
    "name: scheduler": Case(
        lambda w: optimizers.SGD(learning_rate="exponential_decai"), ValueError, r"Did you mean 'exponential_?decay'"
    ),
    "name: loss": Case(lambda w: w.model.compile("sgd", "mean_square_error"), ValueError, r"mean_squared_error"),
    "name: metric": Case(
        lambda w: w.model.compile("sgd", "mse", metrics=["acuracy"]), ValueError, r"Did you mean 'accuracy'"
    ),
    "name: layer": Case(lambda w: td.Sequential(["densee"]), ValueError, r"Did you mean 'dense'"),
    "name: backend": Case(
        lambda w: td.backend.use("jax"), ValueError, r"unknown backend 'jax': choose one of 'numpy', 'cupy', 'strict'"
    ),
    "name: a layer of the model": Case(
        lambda w: w.model.get_layer("hiden"), ValueError, r"model 'net' has no layer 'hiden'; its layers are \['hidden'"
    ),
    "name: a moment": Case(
        lambda w: callbacks.LambdaCallback(on_epoch_finish=print), TypeError, r"'on_epoch_finish' is no moment"
    ),
}

LAYERS = {
    "units: negative": Case(lambda w: layers.Dense(-3, name="a"), ValueError, r"Dense 'a': units must be .*not -3"),
    "units: a fraction": Case(lambda w: layers.Dense(2.5), ValueError, r"units must be .*not 2\.5"),
    "rate: 1": Case(
        lambda w: layers.Dropout(1.0, name="d"), ValueError, r"Dropout 'd': rate must be .*\[0, 1\), not 1\.0"
    ),
    "rate: percent": Case(lambda w: layers.AlphaDropout(20), ValueError, r"AlphaDropout .*rate must be .*not 20"),
    "momentum: 2": Case(
        lambda w: layers.BatchNormalization(momentum=2.0),
        ValueError,
        r"BatchNormalization .*momentum must be .*not 2\.0",
    ),
    "axis: out of reach": Case(
        lambda w: layers.BatchNormalization(axis=3, name="b")(X), ValueError, r"BatchNormalization 'b': axis 3 must be"
    ),
    "features: of a built layer": Case(
        lambda w: w.model.layers[0](np.zeros((2, 9))),
        ValueError,
        r"Dense 'hidden' was built for 4 features and got .*\(2, 9\)",
    ),
    "layers: one name twice": Case(
        lambda w: w.model.add(layers.Dense(2, name="out")), ValueError, r"'net' already has a layer named 'out'"
    ),
    "layers: one layer twice": Case(
        lambda w: w.model.add(w.model.layers[0]), ValueError, r"'net' already has a layer named 'hidden'"
    ),
    "layers: none": Case(lambda w: w.model.add(lambda x: x), TypeError, r"a layer must be given as a name.*got "),
    "layers: an InputLayer in the middle": Case(
        lambda w: w.model.add(layers.InputLayer(shape=(4,), name="late")),
        ValueError,
        r"'late' is an InputLayer: it must come",
    ),
    "layers: an empty model": Case(
        lambda w: td.Sequential(name="void").predict(X), ValueError, r"'void' has no layers"
    ),
    "model: not built": Case(
        lambda w: td.Sequential([layers.Dense(1)], name="raw").count_params(), ValueError, r"'raw' has no weights yet"
    ),
    "model: no shape": Case(
        lambda w: td.Sequential([layers.Dense(1)], name="raw").output_shape, ValueError, r"model 'raw' is not built"
    ),
    "model: set_weights before it is built": Case(
        lambda w: td.Sequential([layers.Dense(1)], name="raw").set_weights([X]),
        ValueError,
        r"'raw' has 0 weights and was given 1; it is not built yet",
    ),
    "set_weights: too few": Case(
        lambda w: w.model.set_weights(w.model.get_weights()[:3]), ValueError, r"'net' has 8 weights and was given 3"
    ),
    "set_weights: a wrong shape": Case(
        lambda w: w.model.set_weights([*w.model.get_weights()[:-1], np.zeros(5)]),
        ValueError,
        r"weight 'out/bias' has shape \(3,\) and was given \(5,\)",
    ),
    "initializer: of a wrong shape": Case(
        lambda w: layers.Dense(2, name="odd", kernel_initializer=lambda shape, dtype=None: np.zeros(3))(X),
        ValueError,
        r"layer 'odd': the initializer of 'kernel' returned shape \(3,\), expected \(4, 2\)",
    ),
    "call: missing": Case(
        lambda w: type("Bare", (td.Model,), {})()(X), NotImplementedError, r"class Bare must define call"
    ),
}

TENSORS = {
    "reshape: impossible": Case(
        lambda w: td.reshape(td.zeros((2, 3)), (4, 2)),
        ValueError,
        r"reshape\(float32\[2, 3\].*\(4, 2\).* is not possible",
    ),
    "broadcast: impossible": Case(
        lambda w: td.zeros((2, 3)) + td.zeros((4,)), ValueError, r"add\(float32\[2, 3\].*float32\[4\].* is not possible"
    ),
    "matmul: impossible": Case(
        lambda w: td.zeros((2, 3)) @ td.zeros((4, 2)), ValueError, r"matmul: shapes \(2, 3\) and \(4, 2\) do not fit"
    ),
    "concatenate: impossible": Case(
        lambda w: td.concatenate([td.zeros((2, 3)), td.zeros((2, 4))]), ValueError, r"concatenate.*\[2, 3\].*\[2, 4\]"
    ),
    "index: out of range": Case(lambda w: td.zeros(3)[5], IndexError, r"5.*3"),
    "axis: out of range": Case(lambda w: td.sum(td.zeros((2, 3)), axis=2), ValueError, r"axis 2"),
    "backward: of no number": Case(
        lambda w: (td.ones(3, requires_grad=True) * 2).backward(),
        ValueError,
        r"a Tensor of shape \(3,\) needs the gradient",
    ),
    "backward: of nothing": Case(lambda w: td.ones(()).backward(), RuntimeError, r"no gradient can be taken"),
    "backward: twice": Case(lambda w: backward_twice(), RuntimeError, r"freed by an earlier backward pass"),
    "item: of several": Case(
        lambda w: td.ones(3).item(), ValueError, r"item\(\) takes a Tensor of one element.*\(3,\)"
    ),
    "truth: of several": Case(
        lambda w: bool(td.ones(3) > 0), ValueError, r"truth of a Tensor of shape \(3,\) is ambiguous"
    ),
    "tensor: of words": Case(
        lambda w: td.tensor(["a"]), TypeError, r"a Tensor is made of numbers; list \['a'\] is none"
    ),
    "tensor: ragged": Case(lambda w: td.tensor([[1], [2, 3]]), ValueError, r"nested lists of equal lengths"),
    "dtype: complex": Case(lambda w: td.zeros(2, dtype="complex64"), TypeError, r"not complex64"),
    "dtype: a gradient of integers": Case(
        lambda w: td.tensor([1, 2], requires_grad=True), TypeError, r"only floating-point Tensors have gradients.*int64"
    ),
    "assign: a wrong shape": Case(
        lambda w: td.Variable([1.0, 2.0]).assign([1.0, 2.0, 3.0]), ValueError, r"\[2\].*\[3\]|\(2,\).*\(3,\)"
    ),
}


def backward_twice() -> None:
    y = (td.ones(3, requires_grad=True) ** 2).sum()
    y.backward()
    y.backward()


OTHERS = {
    "learning rate: negative": Case(
        lambda w: optimizers.SGD(-0.1), ValueError, r"sgd: learning_rate must be .*not -0\.1"
    ),
    "learning rate: NaN": Case(
        lambda w: optimizers.Adam(float("nan")), ValueError, r"adam: learning_rate must be .*not nan"
    ),
    "learning rate: set to nothing": Case(
        lambda w: setattr(w.model.optimizer, "learning_rate", -1.0),
        ValueError,
        r"nadam: learning_rate must be .*not -1",
    ),
    "momentum: 1.5": Case(
        lambda w: optimizers.SGD(momentum=1.5), ValueError, r"sgd: momentum must be .*\[0, 1\], not 1\.5"
    ),
    "beta: 1": Case(lambda w: optimizers.Adam(beta_1=1.5), ValueError, r"adam: beta_1 must be .*not 1\.5"),
    "clipping: of two kinds": Case(
        lambda w: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), ValueError, r"sgd: clipnorm and clipvalue were given"
    ),
    "apply: too few gradients": Case(
        lambda w: w.model.optimizer.apply([td.ones((4, 6))], w.model.trainable_weights),
        ValueError,
        r"nadam: 1 gradients? .*6 weights",
    ),
    "apply: a gradient of a wrong shape": Case(
        lambda w: w.model.optimizer.apply([td.ones((2, 2))], w.model.trainable_weights[:1]),
        ValueError,
        r"nadam: .*hidden/kernel.*\(4, 6\)|nadam: .*\(2, 2\).*\(4, 6\)",
    ),
    "patience: negative": Case(
        lambda w: callbacks.EarlyStopping(patience=-1), ValueError, r"EarlyStopping: patience must be .*not -1"
    ),
    "mode: unknown": Case(
        lambda w: callbacks.EarlyStopping(mode="down"),
        ValueError,
        r"EarlyStopping: mode must be 'auto', 'min' or 'max'",
    ),
    "label_smoothing: 2": Case(
        lambda w: losses.categorical_crossentropy([[0, 1]], [[0.5, 0.5]], label_smoothing=2.0),
        ValueError,
        r"label_smoothing must be a number in \[0, 1\], not 2\.0",
    ),
    "reduction: unknown": Case(
        lambda w: losses.MeanSquaredError(reduction="average"), ValueError, r"reduction must be .*not 'average'"
    ),
    "to_categorical: a label too great": Case(
        lambda w: td.utils.to_categorical([0, 5], 3), ValueError, r"to_categorical: label 5 does not fit 3 classes"
    ),
    "seed: a word": Case(lambda w: td.utils.set_random_seed("lucky"), ValueError, r"set_random_seed takes an integer"),
    "cupy: not there": Case(
        lambda w: use_cupy_where_there_is_none(),
        RuntimeError,
        r"backend 'cupy' cannot be used here .*pip install .*go on with backend 'numpy'",
    ),
    "data file: a damaged archive": Case(
        lambda w: load_cifar10(w, "cifar-10-binary.tar.gz", b"\x1f\x8b" + bytes(1000)),
        td.datasets.DatasetError,
        r"cifar-10-binary\.tar\.gz holds 1,002 bytes, expected 170,052,171: ",
    ),
    "data file: a truncated batch": Case(
        lambda w: load_cifar10(w, "cifar-10-batches-bin/data_batch_1.bin", bytes(3073)),
        td.datasets.DatasetError,
        r"data_batch_1\.bin holds 3,073 bytes, expected 30,730,000: extract cifar-10-binary\.tar\.gz again",
    ),
}

CASES = DATA | ARGUMENTS | NAMES | LAYERS | TENSORS | OTHERS


def test_there_are_at_least_sixty_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_gets_a_sentence_and_changes_nothing(name: str, backend: str, tmp_path: Path) -> None:
    case = CASES[name]
    world = World(tmp_path)
    before = world.state()
    with pytest.raises(case.error) as caught:
        case.does(world)
    sentence = str(caught.value)
    assert re.search(case.sentence, sentence), sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", "...")), sentence
    after = world.state()
    if case.begun:
        assert after.pop("history") == {}
        del before["history"]
    assert after == before
    assert td.is_grad_enabled()
    world.fit(epochs=1)  # and all goes on
