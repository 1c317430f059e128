"""Random small models of everything that is registered, with what they learn by and data for them, each by a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dnn as td

L = td.layers
registry = td.registry
Draw = np.random.Generator
Shape = tuple[int, ...]


def pick(draw: Draw, options: Any) -> Any:
    """Return one of some things."""
    return options[int(draw.integers(len(options)))]


def chance(draw: Draw, p: float) -> bool:
    """Return True so often."""
    return bool(draw.random() < p)


# -- layers ------------------------------------------------------------------------------------------------------------

VECTOR, SEQUENCE, IMAGE = 1, 2, 3
ANY = (VECTOR, SEQUENCE, IMAGE)
FUNCTIONS = (td.tanh, td.abs, td.square, td.sin, td.sign)
# glu needs an even number of features, threshold has arguments without defaults, exp of a great number is none.
ACTIVATIONS = [name for name in registry.activations.names() if name not in ("glu", "threshold", "exponential")]
# Of matrices alone, as its error says.
REGULARIZERS = [name for name in registry.regularizers.names() if name != "orthogonalregularizer"]
INITIALIZERS = [name for name in registry.initializers.names() if name not in ("zeros", "identity", "constant")]


def _of_weights(draw: Draw) -> dict[str, Any]:
    """Return options of a layer with a kernel and a bias."""
    options: dict[str, Any] = {"activation": pick(draw, ACTIVATIONS)} if chance(draw, 0.7) else {}
    options |= {"use_bias": False} if chance(draw, 0.2) else {}
    options |= {"kernel_initializer": pick(draw, INITIALIZERS)} if chance(draw, 0.5) else {}
    options |= {"kernel_regularizer": pick(draw, REGULARIZERS)} if chance(draw, 0.25) else {}
    options |= {"kernel_constraint": pick(draw, registry.constraints.names())} if chance(draw, 0.2) else {}
    options |= {"bias_regularizer": "l2"} if chance(draw, 0.1) and options.get("use_bias", True) else {}
    options |= {"activity_regularizer": "l1"} if chance(draw, 0.1) else {}
    return options | ({"trainable": False} if chance(draw, 0.08) else {})


def _of_dense(draw: Draw, shape: Shape) -> dict[str, Any]:
    matrix = {"kernel_regularizer": "orthogonalregularizer"} if chance(draw, 0.05) else {}
    return {"units": int(draw.integers(1, 9)), **_of_weights(draw), **matrix}


def _of_rate(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {"rate": float(draw.uniform(0.05, 0.6))}


def _of_conv(draw: Draw, shape: Shape) -> dict[str, Any]:
    options = {"filters": int(draw.integers(1, 4)), "kernel_size": int(draw.integers(1, min(shape[:2]) % 4 + 2))}
    if max(options["kernel_size"], 1) > min(shape[:2]) or chance(draw, 0.5):
        options["padding"] = "same"
    if chance(draw, 0.3):
        options["strides"] = 2
    elif chance(draw, 0.2):
        options["dilation_rate"], options["padding"] = 2, "same"
    return {**_of_weights(draw), **options}


def _of_pool(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {
        "pool_size": int(draw.integers(1, min(3, *shape[:2]) + 1)), "padding": pick(draw, ("valid", "same")),
        "strides": pick(draw, (None, 1, 2)),
    }  # fmt: skip


def _of_batchnorm(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {
        "momentum": float(draw.uniform(0.5, 0.99)), "center": chance(draw, 0.8), "scale": chance(draw, 0.8),
        "trainable": chance(draw, 0.9),
    }  # fmt: skip


def _of_size(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {"height": int(draw.integers(1, shape[0] + 1)), "width": int(draw.integers(1, shape[1] + 1))}


def _of_permute(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {"dims": tuple(int(axis) + 1 for axis in draw.permutation(len(shape)))}


def _of_reshape(draw: Draw, shape: Shape) -> dict[str, Any]:
    size = int(np.prod(shape))
    factor = pick(draw, [n for n in range(1, 5) if size % n == 0])
    return {"target_shape": pick(draw, [(-1,), (factor, -1), (-1, factor), (factor, size // factor)])}


def _of_normalization(draw: Draw, shape: Shape) -> dict[str, Any]:
    last = shape[-1]
    options = {"mean": draw.normal(size=last).tolist(), "variance": draw.uniform(0.5, 2.0, last).tolist()}
    return {**options, "invert": chance(draw, 0.2)}


def _of_operation(draw: Draw, shape: Shape) -> dict[str, Any]:
    name = pick(draw, ("tanh", "add", "multiply", "maximum"))
    array = draw.normal(size=shape[-1]).astype(td.backend.floatx())
    return {"operation": name, **({} if name == "tanh" else {"arguments": [None, array]})}


def _nothing(draw: Draw, shape: Shape) -> dict[str, Any]:
    return {}


Options = Callable[[Draw, Shape], dict[str, Any]]
# By registered name: the numbers of axes of a sample that it takes, and what draws its arguments.
LAYERS: dict[str, tuple[tuple[int, ...], Options]] = {
    "activation": (ANY, lambda draw, shape: {"activation": pick(draw, ACTIVATIONS)}),
    "alphadropout": (ANY, _of_rate),
    "averagepooling2d": ((IMAGE,), _of_pool),
    "batchnormalization": (ANY, _of_batchnorm),
    "centercrop": ((IMAGE,), _of_size),
    "conv2d": ((IMAGE,), _of_conv),
    "dense": (ANY, _of_dense),
    "dropout": (ANY, _of_rate),
    "elu": (ANY, lambda draw, shape: {"alpha": float(draw.uniform(0.1, 2.0))}),
    "flatten": (ANY, _nothing),
    "gaussiandropout": (ANY, _of_rate),
    "gaussiannoise": (ANY, lambda draw, shape: {"stddev": float(draw.uniform(0.0, 0.5))}),
    "globalaveragepooling2d": ((IMAGE,), lambda draw, shape: {"keepdims": chance(draw, 0.3)}),
    "lambda": (ANY, lambda draw, shape: {"function": pick(draw, FUNCTIONS)}),
    "layernormalization": (ANY, lambda draw, shape: {"center": chance(draw, 0.7), "scale": chance(draw, 0.7)}),
    "leakyrelu": (ANY, _nothing),
    "maxpooling2d": ((IMAGE,), _of_pool),
    "normalization": (ANY, _of_normalization),
    "operation": (ANY, _of_operation),
    "permute": (ANY, _of_permute),
    "prelu": (ANY, _nothing),
    "randombrightness": ((IMAGE,), lambda draw, shape: {"factor": 0.3, "value_range": (0.0, 1.0)}),
    "randomcontrast": ((IMAGE,), lambda draw, shape: {"factor": 0.3}),
    "randomcrop": ((IMAGE,), _of_size),
    "randomflip": ((IMAGE,), lambda draw, shape: {"mode": pick(draw, ("horizontal", "vertical"))}),
    "randomrotation": ((IMAGE,), lambda draw, shape: {"factor": 0.2}),
    "randomtranslation": ((IMAGE,), lambda draw, shape: {"height_factor": 0.2, "width_factor": 0.3}),
    "randomzoom": ((IMAGE,), lambda draw, shape: {"height_factor": 0.3}),
    "relu": (ANY, lambda draw, shape: {"negative_slope": float(draw.uniform(0, 0.3)), "threshold": 0.1}),
    "repeatvector": ((VECTOR,), lambda draw, shape: {"n": int(draw.integers(1, 4))}),
    "rescaling": (ANY, lambda draw, shape: {"scale": float(draw.normal()), "offset": float(draw.normal())}),
    "reshape": (ANY, _of_reshape),
    "resizing": (
        (IMAGE,),
        lambda draw, shape: {
            "height": int(draw.integers(1, 9)), "width": int(draw.integers(1, 9)),
            "interpolation": pick(draw, ("nearest", "bilinear")),
        },
    ),
    "rrelu": (ANY, _nothing),
    "softmax": (ANY, _nothing),
    "spatialdropout1d": ((SEQUENCE,), _of_rate),
    "spatialdropout2d": ((IMAGE,), _of_rate),
    "zeropadding2d": ((IMAGE,), lambda draw, shape: {"padding": int(draw.integers(0, 3))}),
}  # fmt: skip
MERGING = ("add", "average", "concatenate", "maximum", "minimum", "multiply", "subtract")
# It holds the place of an input, and is made by td.Input.
WITHOUT_ARGUMENTS = ("inputlayer",)


def layer_for(draw: Draw, shape: Shape, favourite: str) -> Any:
    """Return a random layer that takes samples of a shape, rather often the favourite, which takes any."""
    fitting = [name for name, (axes, _) in LAYERS.items() if len(shape) in axes]
    name = favourite if chance(draw, 0.2) else pick(draw, fitting)
    return registry.layers.get(name, **LAYERS[name][1](draw, shape))


# -- what they learn by ------------------------------------------------------------------------------------------------

# By kind of target: the activation of the last layer, the losses, and metrics.
LEARNING: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "labels": ("softmax", ("sparse_categorical_crossentropy",), ("accuracy", "sparse_top_k_categorical_accuracy")),
    "one-hot": (
        "softmax",
        ("categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "kl_divergence"),
        ("accuracy", "f1_score", "categorical_crossentropy", "top_k_categorical_accuracy"),
    ),
    "yes or no": (
        "sigmoid", ("binary_crossentropy", "binary_focal_crossentropy", "hinge", "squared_hinge"),
        ("accuracy", "auc", "precision", "recall", "true_positives"),
    ),
    "numbers": (
        "softplus",
        ("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "huber", "log_cosh",
         "mean_squared_logarithmic_error", "cosine_similarity", "poisson"),
        ("mean_absolute_error", "root_mean_squared_error", "r2_score", "cosine_similarity"),
    ),
}  # fmt: skip

SCHEDULES: dict[str, dict[str, Any]] = {
    "cosinedecay": {"initial_learning_rate": 0.01, "decay_steps": 9, "warmup_target": 0.02, "warmup_steps": 2},
    "cosinedecayrestarts": {"initial_learning_rate": 0.01, "first_decay_steps": 3},
    "cyclic": {"base_lr": 0.001, "max_lr": 0.01, "step_size_up": 2},
    "exponentialdecay": {"initial_learning_rate": 0.01, "decay_steps": 2, "decay_rate": 0.7, "staircase": True},
    "inversetimedecay": {"initial_learning_rate": 0.01, "decay_steps": 2, "decay_rate": 0.7},
    "linearwarmup": {"warmup_target": 0.01, "warmup_steps": 4},
    "onecycle": {"max_lr": 0.01, "total_steps": 40},
    "piecewiseconstantdecay": {"boundaries": [2, 5], "values": [0.01, 0.005, 0.001]},
    "polynomialdecay": {"initial_learning_rate": 0.01, "decay_steps": 7},
    "powerdecay": {"initial_learning_rate": 0.01, "decay_steps": 2, "decay_rate": 0.7},
    "productschedule": {"schedules": [0.01, 0.5]},
    "sequentialschedule": {"schedules": [0.01, 0.002], "milestones": [3]},
}
CLIPPING = ({}, {}, {"clipnorm": 0.5}, {"clipvalue": 0.05}, {"global_clipnorm": 0.5}, {"normalize_gradients": True})


def optimizer(draw: Draw) -> Any:
    """Return a random optimizer."""
    name = pick(draw, registry.optimizers.names())
    rate: Any = float(10 ** draw.uniform(-4, -1.5))
    if chance(draw, 0.4):
        schedule = pick(draw, list(SCHEDULES))
        rate = registry.schedulers.get(schedule, **SCHEDULES[schedule])
    options = {"learning_rate": rate, **pick(draw, CLIPPING)}
    options |= {"weight_decay": 0.01} if chance(draw, 0.2) else {}
    options |= {"use_ema": True, "ema_overwrite_frequency": pick(draw, (None, 2))} if chance(draw, 0.15) else {}
    options |= {"gradient_accumulation_steps": 2} if chance(draw, 0.15) else {}
    options |= {"loss_scale_factor": 64.0} if chance(draw, 0.1) and name != "lossscaleoptimizer" else {}
    return registry.optimizers.get(name, **options)


# -- models ------------------------------------------------------------------------------------------------------------


class Network:
    """A random model: the same at each ``build``, and data for it.

    Args:
        draw: What it is drawn by.
        deepest: It has at most so many layers between inputs and outputs.
        favourite: The layer that is drawn most often; it must take samples of any shape.

    Attributes:
        dtype: Of its weights and inputs: this thread's floating-point type.
    """

    def __init__(self, draw: Draw, deepest: int = 6, favourite: str = "dense") -> None:
        self.seed = int(draw.integers(2**31))
        self.deepest = deepest
        self.favourite = favourite
        self.dtype = td.backend.floatx()
        self.kinds: list[str] = []
        self.shapes: list[Shape] = []
        self.weighted = chance(draw, 0.3)

    def build(self, **options: Any) -> td.Model:
        """Return a new model, compiled; ``options`` go to ``compile``, before what was drawn."""
        td.utils.set_random_seed(self.seed % 1000)
        draw = np.random.default_rng(self.seed)
        model = self._graph(draw) if chance(draw, 0.5) else self._row(draw)
        losses = [pick(draw, LEARNING[kind][1]) for kind in self.kinds]
        metrics = [[pick(draw, LEARNING[kind][2])] if chance(draw, 0.6) else [] for kind in self.kinds]
        key = "weighted_metrics" if self.weighted else "metrics"
        several = len(losses) > 1
        drawn = {
            "optimizer": optimizer(draw), "loss": losses if several else losses[0],
            key: metrics if several else metrics[0],
        }  # fmt: skip
        model.compile(**{**drawn, **options})
        return model

    def _input_shape(self, draw: Draw) -> Shape:
        kind = pick(draw, (VECTOR, VECTOR, SEQUENCE, IMAGE))
        if kind == IMAGE:
            return (int(draw.integers(3, 8)), int(draw.integers(3, 8)), int(draw.integers(1, 4)))
        return tuple(int(n) for n in draw.integers(1, 7, size=kind))

    def _end(self, draw: Draw, name: str = "out") -> tuple[Any, str]:
        """Return the last layer of an output, and the kind of its targets; a history is the same for the same name."""
        kind = pick(draw, list(LEARNING))
        units = int(draw.integers(6, 8)) if kind in ("labels", "one-hot") else int(draw.integers(1, 4))
        return L.Dense(units, activation=LEARNING[kind][0], name=name), kind

    def _row(self, draw: Draw) -> td.Model:
        shape = self._input_shape(draw)
        model = td.Sequential([td.Input(shape)])
        self.shapes = [shape]
        for _ in range(int(draw.integers(self.deepest))):
            model.add(layer_for(draw, model.output_shape[1:] if model.layers else shape, self.favourite))
        if len((model.output_shape if model.layers else (0, *shape))[1:]) > 1:
            model.add(L.Flatten())
        last, kind = self._end(draw)
        model.add(last)
        self.kinds = [kind]
        return model

    def _graph(self, draw: Draw) -> td.Model:
        self.shapes = [self._input_shape(draw) for _ in range(1 + chance(draw, 0.3))]
        inputs = [td.Input(shape) for shape in self.shapes]
        pool: list[Any] = list(inputs)
        used: list[tuple[Any, Shape]] = []
        for _ in range(int(draw.integers(1, self.deepest + 1))):
            x = pool[-1] if chance(draw, 0.7) else pick(draw, pool)
            shape = x.shape[1:]
            again = [layer for layer, taken in used if taken == shape]
            partners = [y for y in pool if y.shape == x.shape]
            kind = draw.random()
            if again and kind < 0.15:
                pool.append(pick(draw, again)(x))
            elif kind < 0.4:
                pool.append(registry.layers.get(pick(draw, MERGING))([x, pick(draw, partners)]))
            elif kind < 0.5:
                pool.append(pick(draw, (lambda x: x * 0.5 + 1.0, lambda x: x * x, lambda x: 1.0 - x))(x))
            elif kind < 0.6:
                first = layer_for(draw, shape, self.favourite)
                inner = td.Sequential([td.Input(shape), first, L.Dense(int(draw.integers(1, 5)))])
                pool.append(inner(x))
                used.append((inner, shape))
            else:
                layer = layer_for(draw, shape, self.favourite)
                pool.append(layer(x))
                used.append((layer, shape))
        ends = [pool[-1]]
        if len(inputs) > 1 or chance(draw, 0.3):  # nothing is left over that no output depends on
            flat = [L.Flatten()(x) if len(x.shape) > 2 else x for x in (pool[-1], *inputs)]
            ends = [L.Concatenate()(flat)]
        if len(ends[0].shape) > 2:
            ends = [L.Flatten()(ends[0])]
        if chance(draw, 0.2):
            ends = ends * 2
        outputs = []
        self.kinds = []
        for number, x in enumerate(ends):
            last, kind = self._end(draw, f"out{number}")
            outputs.append(last(x))
            self.kinds.append(kind)
        return td.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])

    def data(self, model: td.Model, samples: int, seed: int = 0) -> tuple[Any, Any, np.ndarray]:
        """Return inputs, targets and sample weights, in the form that ``fit`` takes them."""
        draw = np.random.default_rng([self.seed, seed])
        x = [
            (draw.uniform(size=(samples, *shape)) if len(shape) == IMAGE else draw.normal(size=(samples, *shape)))
            for shape in self.shapes
        ]
        ends = model.output_shape if isinstance(model.output_shape, list) else [model.output_shape]
        y = [self._targets(draw, kind, samples, shape[-1]) for kind, shape in zip(self.kinds, ends, strict=True)]
        x = [each.astype(self.dtype) for each in x]
        weight = draw.uniform(0.5, 2.0, samples).astype(self.dtype)
        return x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], weight

    def _targets(self, draw: Draw, kind: str, samples: int, units: int) -> np.ndarray:
        labels = draw.integers(0, units, samples)
        if kind == "labels":
            return labels
        if kind == "one-hot":
            return np.eye(units, dtype=self.dtype)[labels]
        if kind == "yes or no":
            return draw.integers(0, 2, (samples, units)).astype(self.dtype)
        return draw.uniform(0.5, 2.0, (samples, units)).astype(self.dtype)

    def batch(self, model: td.Model, samples: int, seed: int = 0) -> tuple[Any, ...]:
        """Return one batch: x, y, and sample weights in some networks."""
        x, y, weight = self.data(model, samples, seed)
        return (x, y, weight) if self.weighted else (x, y)


def described(model: td.Model) -> str:
    """Return what a model is made of, one layer a line."""
    lines = []
    for layer in model.layers:
        config = {key: value for key, value in layer.get_config().items() if key not in ("name", "dtype")}
        lines.append(f"  {type(layer).__name__} {config}"[:400])
    said = registry.optimizers.serialize(model.optimizer)
    return "\n".join([f"{type(model).__name__} of {model.input_shape}", *lines, f"  {said}"[:600]])
