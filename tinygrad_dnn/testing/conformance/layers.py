"""The checks of layers: shapes, gradients for inputs and weights, training mode, weights, files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dnn import models, ops, registry
from tinygrad_dnn.layers import Input
from tinygrad_dnn.ops import random
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import (
    EXTREMES,
    expect_equal,
    expect_finite,
    expect_gradients,
    first_difference,
    slopes,
)
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject, takes
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

# The first of these that a layer takes is its input: features, a sequence, images, several inputs.
_SHAPES: tuple[Any, ...] = ((3, 4), (2, 3, 4), (2, 3, 4, 2), [(3, 4), (3, 4)])


def shapes(subject: Subject) -> Any:
    """Return the shape of a batch that it takes, or a list of shapes: as declared, or the first that works."""
    if subject.inputs is not None:
        return subject.inputs
    refusals = []
    for shape in _SHAPES:
        try:
            subject.make()(_as_given([tensor(x) for x in _drawn(shape)]))
        except (ValueError, IndexError) as error:
            refusals.append(" ".join(str(error).split()))
        else:
            return shape
    raise CheckError(
        f"it takes none of the shapes {', '.join(map(str, _SHAPES))} (of the last: {refusals[-1].rstrip('.')})",
        "a layer for one of them", "declare its input's shape, with the batch: conformance = {'inputs': (2, 5, 3)}",
    )  # fmt: skip


def _drawn(shape: Any, seed: int = 3) -> list[np.ndarray]:
    numbers = np.random.default_rng(seed)
    each = shape if isinstance(shape, list) else [shape]
    return [np.asarray(numbers.normal(0.3, 1.5, size=one), np.float32) for one in each]


def _as_given(tensors: Sequence[Tensor]) -> Any:
    """Return one input as it is and several as a list, as layers take them."""
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _built(subject: Subject, shape: Any, made: Any = None, **more: Any) -> Any:
    """Return a layer that is built for a shape, its trainable weights random."""
    layer = subject.make(**more) if made is None else made
    layer(_as_given([tensor(x) for x in _drawn(shape)]))
    numbers = np.random.default_rng(4)
    for weight in layer.trainable_weights:
        weight.assign(numbers.normal(0.5, 0.5, size=weight.shape).astype(weight.dtype))
    return layer


class _Held:
    """A layer as a function of its inputs and trainable weights that draws and remembers the same at each call."""

    def __init__(self, layer: Any, inputs: int, training: bool) -> None:
        self.layer, self.inputs, self.training = layer, inputs, training
        self.weights = list(layer.trainable_weights)
        streams = [generator.state for generator in layer._parts().generators.values()]
        self.kept = [(v, v.numpy()) for v in (*layer.non_trainable_weights, *streams)]

    def __call__(self, *tensors: Tensor) -> Tensor:
        for variable, value in self.kept:
            variable.assign(value)
        # A weight is differentiated as one of the arguments: for the call, every place that holds it holds that.
        undo = _replaced(self.layer, self.weights, tensors[self.inputs :])
        try:
            output: Tensor = self.layer(_as_given(tensors[: self.inputs]), training=self.training)
        finally:
            undo()
        return output


def _replaced(layer: Any, old: Sequence[Any], new: Sequence[Any]) -> Any:
    """Let a layer's attributes hold other Tensors in the place of its weights; return what puts them back."""
    changed = []
    for each, _ in layer._flatten():
        for key, value in list(vars(each).items()):
            for before, after in zip(old, new, strict=True):
                if value is before:
                    changed.append((vars(each), key, value))
                    vars(each)[key] = after

    def undo() -> None:
        for attributes, key, value in changed:
            attributes[key] = value

    return undo


@trial_of("layers")
def trial(subject: Subject, made: Any) -> Trial:
    """Call it in training and not, with gradients for the inputs and the weights, and what it remembers."""
    shape = shapes(subject)
    layer = _built(subject, shape, made)
    streams = [generator.state for generator in layer._parts().generators.values()]
    for i, state in enumerate(streams):
        state.assign(np.array([5, i, 0], np.int64))  # a stream of its own would differ from object to object
    training = bool(subject.claim("in_training"))

    def step(*tensors: Tensor) -> list[Tensor]:
        inputs = [x.detach().requires_grad_() for x in tensors]
        output = layer(_as_given(inputs), training=training)
        found = slopes(output, [*inputs, *layer.trainable_weights])
        after = layer(_as_given(inputs), training=False)
        return [output.detach(), *(x.detach() for x in found), after.detach()]

    return Trial(step, [tuple(_drawn(shape, seed)) for seed in (3, 7, 9)])


@check("layers")
def gradients(subject: Subject) -> None:
    """First and second derivatives for inputs and weights equal finite differences in float64, in training and not."""
    shape = shapes(subject)
    for training in (False, True):
        layer = _built(subject, shape, dtype="float64")
        held = _Held(layer, len(_drawn(shape)), training)
        arrays = [x.astype(np.float64) for x in _drawn(shape)]
        expect_gradients(
            held, [*arrays, *(weight.numpy() for weight in held.weights)],
            "mend the gradient of what you wrote yourself, or compose td's operations",
        )  # fmt: skip


@check("layers")
def output_shape(subject: Subject) -> None:
    """compute_output_shape says what call gives, for any number of samples: models are drawn with it."""
    shape = shapes(subject)
    layer = _built(subject, shape)
    several = isinstance(shape, list)
    batchless = [(None, *one[1:]) for one in (shape if several else [shape])]
    said = layer.compute_output_shape(tuple(batchless) if several else batchless[0])
    for samples in (1, 3, 5):
        feed = [tensor(x) for x in _drawn([(samples, *one[1:]) for one in (shape if several else [shape])])]
        output = layer(_as_given(feed), training=False)
        if not isinstance(output, Tensor):
            raise SkipError("it has several outputs")
        if len(output.shape) != len(said) or output.shape[0] != samples or not _agree(output.shape, said):
            raise CheckError(
                f"{samples} samples of {batchless} gave {output.shape}", f"compute_output_shape's {said}",
                "mend compute_output_shape, or leave it out: the base class finds it by a call",
            )  # fmt: skip


def _agree(shape: Sequence[int], said: Sequence[int | None]) -> bool:
    return all(b is None or a == b for a, b in zip(shape[1:], said[1:], strict=True))


@check("layers")
def dtype(subject: Subject) -> None:
    """With dtype="float64" weights and outputs are float64, else float32."""
    shape = shapes(subject)
    for dtype in ("float32", "float64"):
        layer = _built(subject, shape, dtype=dtype)
        output = layer(_as_given([tensor(x, dtype) for x in _drawn(shape)]))
        for value, what in [(output, "its output"), *((w, f"its weight {w.name}") for w in layer.trainable_weights)]:
            if value.dtype != dtype:
                raise CheckError(
                    f"with dtype={dtype!r} {what} is {value.dtype}", dtype,
                    "hand dtype to super().__init__, use add_weight, and let constants be Python's numbers",
                )  # fmt: skip


@check("layers")
def inference_is_pure(subject: Subject) -> None:
    """Not in training, the same inputs give the same outputs, and neither weights nor running values change."""
    shape = shapes(subject)
    layer = _built(subject, shape)
    feed = _as_given([tensor(x) for x in _drawn(shape)])
    before = [w.numpy() for w in layer.weights]
    first, second = (layer(feed, training=False) for _ in range(2))
    expect_equal(
        [second, *layer.weights], [first, *before], "called again with training=False it gave or kept something else",
        "the same outputs and unchanged weights", "draw, and update running values, where training is true alone",
    )  # fmt: skip


@check("layers")
def samples_apart(subject: Subject) -> None:
    """Not in training, a sample's outputs do not depend on the other samples of the batch."""
    shape = shapes(subject)
    if subject.claim("mixes_samples"):
        raise SkipError("it claims to mix samples")
    layer = _built(subject, shape)
    feed = _drawn(shape)
    whole = layer(_as_given([tensor(x) for x in feed]), training=False)
    alone = layer(_as_given([tensor(x[1:2]) for x in feed]), training=False)
    expect_equal(
        [alone], [whole[1:2]], "a sample alone gave something else", "what it gives in a batch",
        "use running values, not the batch's, where training is false", 1e-5,
    )  # fmt: skip


@check("layers")
def finite_values(subject: Subject) -> None:
    """Inputs of 0, +-1, +-1e3 and +-1e4 give finite outputs and gradients, in training and not."""
    shape = shapes(subject)
    layer = _built(subject, shape)
    for point in EXTREMES:
        for training in (False, True):
            inputs = [tensor(np.full(x.shape, point, np.float32), requires_grad=True) for x in _drawn(shape)]
            output = layer(_as_given(inputs), training=training)
            expect_finite(output, "an output is", point, "guard what is divided by, and the input of exp")
            for slope in slopes(output, [*inputs, *layer.trainable_weights]):
                expect_finite(slope, "a slope is", point, "guard what is divided by, and the input of sqrt and log")


@check("layers")
def seeded(subject: Subject) -> None:
    """With one seed two layers draw the same in training, whatever the thread's seed is; with another they differ."""
    if not takes(subject.obj, "seed"):
        raise SkipError("it takes no seed")
    shape = shapes(subject)
    feed = _as_given([tensor(x) for x in _drawn(shape)])
    drawn = []
    for thread_seed, seed in ((1, 3), (2, 3), (2, 4), (2, 5)):
        random.set_seed(thread_seed)
        drawn.append(_built(subject, shape, seed=seed)(feed, training=True))
    expect_equal(
        [drawn[1]], [drawn[0]], "two layers of seed=3 drew otherwise", "the same draws",
        "hand the seed to td.random.SeedGenerator",
    )  # fmt: skip
    if not first_difference(drawn[2:], drawn[1:3]):
        raise CheckError("seeds 3, 4 and 5 give the same", "other draws", "hand the seed to td.random.SeedGenerator")


@check("layers")
def weights_kept(subject: Subject) -> None:
    """Weights are the trainable ones and the others, each with a name of its own; freezing moves all to the others."""
    layer = _built(subject, shapes(subject))
    trainable, others = list(layer.trainable_weights), list(layer.non_trainable_weights)
    names = [w.name for w in layer.weights]
    if len(layer.weights) != len(trainable) + len(others) or len(set(names)) != len(names):
        raise CheckError(f"its weights are called {names}", "names that differ", "give add_weight a name for each")
    held = {id(w) for w in layer.weights}
    learning = {key: value for key, value in vars(layer).items() if getattr(value, "requires_grad", False)}
    loose = [key for key, value in learning.items() if id(value) not in held]
    if loose:
        raise CheckError(f"{loose[0]} is no weight of it", "all that learns in weights", "make weights with add_weight")
    layer.trainable = False
    if layer.trainable_weights or len(layer.weights) != len(names):
        raise CheckError("trainable=False left trainable weights", "none", "leave trainable to the base class")


@check("layers")
def training_flag(subject: Subject) -> None:
    """Call takes ``training`` if it acts differently in training, and the model's own mode reaches it."""
    shape = shapes(subject)
    outputs = []
    for explicit in (True, False):
        layer = _built(subject, shape)
        streams = [generator.state for generator in layer._parts().generators.values()]
        feed = _as_given([tensor(x) for x in _drawn(shape)])
        kept = [(v, v.numpy()) for v in layer.weights]
        kept += [(state, np.array([5, i, 0], np.int64)) for i, state in enumerate(streams)]
        outer = _model(layer, shape)
        outer(feed)  # which gives streams their numbers
        for mode in (True, False):
            for variable, value in kept:
                variable.assign(value)
            outputs.append((layer if explicit else outer)(feed, training=mode))
    expect_equal(
        outputs[2:], outputs[:2], "inside a model it acted in another mode", "the model's mode",
        "let call take training=False, and read it there", 1e-6,
    )  # fmt: skip


def _model(layer: Any, shape: Any) -> Any:
    """Return a model of the layer alone."""
    if not isinstance(shape, list):
        return models.Sequential([layer])
    inputs = [Input(shape=one[1:]) for one in shape]
    return models.Model(inputs, layer(inputs))


@check("layers")
def in_a_file(subject: Subject) -> None:
    """A model with it is saved and loaded, and predicts the same: its configuration, weights and running values."""
    shape = shapes(subject)
    layer = _built(subject, shape)
    model = _model(layer, shape)
    feed = _as_given([tensor(x) for x in _drawn(shape)])
    model(feed, training=bool(subject.claim("in_training")))
    expected = model(feed, training=False)
    custom = {} if registry.layers.holds(subject.obj) else {type(layer).__name__: type(layer)}
    custom |= {value.__name__: value for value in subject.arguments.values() if hasattr(value, "__name__")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        try:
            model.save(path)
            loaded = models.load_model(path, custom_objects=custom)
        except (TypeError, ValueError, KeyError, AttributeError, OSError) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise CheckError(
                f"a model with it cannot be saved and loaded ({type(error).__name__}: {text})", "a file to load from",
                "let get_config return the arguments of __init__, and make weights in build with add_weight",
            ) from error  # fmt: skip
    expect_equal(
        [loaded(feed, training=False)], [expected], "loaded from a file it gave something else", "what it gave before",
        "let get_config return all arguments, and keep all state in weights made with add_weight", 1e-6,
    )  # fmt: skip


@check("layers")
def learns(subject: Subject) -> None:
    """In a model that fit trains, each trainable weight of it changes and stays finite."""
    shape = shapes(subject)
    layer = _built(subject, shape)
    if not layer.trainable_weights:
        raise SkipError("it has no trainable weights")
    model = _model(layer, shape)
    model.compile("sgd", loss=lambda y, p: ((ops.reshape(p, (p.shape[0], -1)) - y) ** 2).mean(axis=-1))
    feed = _as_given([tensor(x) for x in _drawn(shape)])
    before = [w.numpy() for w in layer.trainable_weights]
    samples = _drawn(shape)[0].shape[0]
    model.fit(feed, np.full((samples, 1), 0.7, np.float32), epochs=2, verbose=0, shuffle=False)
    for weight, old in zip(layer.trainable_weights, before, strict=True):
        expect_finite(weight, f"after training the weight {weight.name} is", 0.0, "look at its gradient")
        if np.array_equal(weight.numpy(), old):
            raise CheckError(
                f"training left the weight {weight.name} as it was", "a weight that learns",
                "use it in call by td's operations, or make it with trainable=False",
            )  # fmt: skip
