"""Constructor arguments of everything registered: what is out of its range is refused by name, before it can do harm.

One rule holds for every argument that is a number, of what is registered now or later; the table has the ranges.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

NAN, INF = math.nan, math.inf
# For arguments without a default, by their names.
EXAMPLES: dict[str, Any] = {
    "activation": "relu", "backup_dir": "backup", "base_lr": 0.1, "boundaries": [1.0], "decay_rate": 0.5,
    "decay_steps": 10, "dims": (1,), "filepath": "model.safetensors",
    "factor": 0.1, "filename": "log.csv", "filters": 2, "first_decay_steps": 5, "function": abs, "height": 4,
    "height_factor": 0.25, "initial_learning_rate": 0.1, "kernel_size": 3, "max_lr": 0.2, "milestones": [5], "n": 2,
    "operation": "tanh", "rate": 0.25, "scale": 2.0, "schedule": abs, "schedules": [0.1, 0.2], "shape": (2,),
    "stddev": 0.25, "target_shape": (2,), "total_steps": 9, "units": 3, "values": [1.0, 2.0], "warmup_steps": 5,
    "warmup_target": 0.1, "width": 4, "width_factor": 0.25,
}  # fmt: skip
# Arguments that go together, by class.
TOGETHER: dict[str, dict[str, Any]] = {"InputLayer": {"shape": (2,)}, "Normalization": {"mean": 0.0, "variance": 1.0}}
# Numbers for which None says something too, as in Keras.
NONE_SAYS_SOMETHING = {
    "constraints.maxnorm.axis", "constraints.minmaxnorm.axis", "constraints.unitnorm.axis", "layers.normalization.axis",
    "optimizers.muon.adam_weight_decay", "optimizers.muon.rms_rate", "optimizers.muon.weight_decay",
}  # fmt: skip

SEEDS = [-1, 2**63, 0.5, "x", True, NAN]
AXES = [1.5, "last", True, NAN]
PAIRS = [0, -1, 2.5, "2", (1, 2, 3), (2, 0), NAN, True]
RATES = [1, 1.0, 1.5, -0.1, INF]
OUT_OF_RANGE: dict[str, dict[str, list[Any]]] = {
    # -- initializers
    "constant": {"value": [[1.0]]},
    "randomnormal": {"stddev": [-0.1], "seed": SEEDS},
    "truncatednormal": {"stddev": [-0.1], "seed": SEEDS},
    "randomuniform": {"maxval": [-0.1], "seed": SEEDS},
    "variancescaling": {"scale": [0, -1.0], "mode": ["fan", 3, None], "distribution": ["gauss", None], "seed": SEEDS},
    "orthogonal": {"seed": SEEDS},
    **{f"{name}{kind}": {"seed": SEEDS} for name in ("glorot", "he", "lecun") for kind in ("normal", "uniform")},
    # -- regularizers and constraints
    "l1": {"l1": [-0.1]},
    "l2": {"l2": [-0.1]},
    "l1l2": {"l1": [-0.1], "l2": [-0.1]},
    "orthogonalregularizer": {"factor": [-0.1], "mode": ["row", None]},
    "maxnorm": {"max_value": [-1.0], "axis": [*AXES, [0, "1"], [0.5]]},
    "minmaxnorm": {"min_value": [-1.0], "max_value": [-0.5], "rate": [-0.1, 1.1], "axis": [*AXES, [0, "1"]]},
    "unitnorm": {"axis": [*AXES, [0, "1"]]},
    # -- optimizers and losses
    "sgd": {
        "learning_rate": [-0.1], "momentum": [-0.1, 1.1], "clipnorm": [0, -1.0, NAN, INF, "x"],
        "clipvalue": [0, -1.0, NAN, "x"], "global_clipnorm": [0, -1.0, NAN, "x"], "weight_decay": [-0.1, NAN, "x"],
        "ema_momentum": [-0.1, 1.1], "ema_overwrite_frequency": [0, -1, 1.5, "x"],
        "gradient_accumulation_steps": [0, -1, 1.5, "x"],
    },
    "adam": {"beta_1": [-0.1, 1.1], "beta_2": [-0.1, 1.1], "epsilon": [-1e-7]},
    # -- layers
    "dense": {"units": [0, -1, 2.5, "3", True]},
    "conv2d": {
        "filters": [0, -1, 2.5, "3", True], "kernel_size": PAIRS, "strides": PAIRS, "dilation_rate": PAIRS,
        "padding": ["causal", 1, None], "groups": [2, 0], "data_format": ["channels_first", "nchw", 0],
    },
    **{
        cls: {"pool_size": PAIRS, "strides": PAIRS, "padding": ["full", 1, None], "data_format": ["nchw", 0]}
        for cls in ("maxpooling2d", "averagepooling2d")
    },
    "globalaveragepooling2d": {"data_format": ["nchw", 0]},
    "zeropadding2d": {"padding": [-1, 1.5, "same", True, (1, 2, 3), ((1, -1), (0, 0))], "data_format": ["nchw", 0]},
    "dropout": {"rate": RATES, "noise_shape": [3, (2.5,), (-1, 1), "x"], "seed": SEEDS},
    "alphadropout": {"rate": RATES, "noise_shape": [3, (2.5,), (-1, 1), "x"], "seed": SEEDS},
    "gaussiandropout": {"rate": RATES, "seed": SEEDS},
    "gaussiannoise": {"stddev": [-0.1], "seed": SEEDS},
    "spatialdropout1d": {"rate": RATES, "seed": SEEDS},
    "spatialdropout2d": {"rate": RATES, "seed": SEEDS, "data_format": ["nchw", 0, ""]},
    "batchnormalization": {"momentum": [-0.1, 1.1], "epsilon": [-1e-3], "axis": [*AXES, [1]]},
    "layernormalization": {"epsilon": [-1e-3], "axis": [*AXES, [1.5]]},
    "normalization": {"axis": [*AXES, [1.5]], "mean": ["x", NAN, [1.0, INF]], "variance": [-1.0, NAN]},
    "rescaling": {"scale": ["x", NAN, None], "offset": ["x", NAN, None]},
    "relu": {"max_value": [-1.0, NAN, "6", True], "negative_slope": [-0.1], "threshold": [-0.1]},
    "leakyrelu": {"negative_slope": [-0.1]},
    "elu": {"alpha": [-0.1]},
    "prelu": {"shared_axes": [*AXES, [1.5]]},
    "rrelu": {"lower": [-0.1, 0.5], "upper": [0.1], "seed": SEEDS},
    "softmax": {"axis": [1.5]},
    "concatenate": {"axis": [1.5]},
    "reshape": {"target_shape": [(-1, -1), (-2,), (1.5,), "x", NAN, None]},
    "permute": {"dims": [(0, 1), (1, 1), (2,), (1.5,), "x", NAN, None]},
    "repeatvector": {"n": [0, -1, 2.5]},
    "inputlayer": {"shape": [784, (2.5,), (-1,), "x", NAN], "batch_size": [-1, 2.5, "x", NAN]},
    "flatten": {"input_shape": [784, (2.5,), (-1,), "x", NAN]},
    # -- callbacks
    "earlystopping": {
        "patience": [-1, 1.5], "start_from_epoch": [-1, 1.5], "mode": ["down", None], "monitor": [3, None],
        "baseline": [NAN, INF, "x", True], "verbose": [3, -1],
    },
    "reducelronplateau": {
        "patience": [-1, 1.5], "cooldown": [-1, 1.5], "factor": [0, 1, 1.5, -0.1], "min_lr": [-0.1], "verbose": [3, -1],
        "mode": ["down", None], "monitor": [3, None],
    },
    "learningratescheduler": {"verbose": [3, -1]},
    "csvlogger": {"filename": [3, None, NAN], "separator": ["", "::", 3, None]},
    "lambdacallback": {"on_epoch_end": [3, "print", NAN], "on_train_begin": [3]},
    "tensorboard": {
        "log_dir": [3, None, NAN], "histogram_freq": [-1, 1.5], "update_freq": [0, -1, 2.5, "step", None, True],
        "profile_batch": [2], "embeddings_freq": [1],
    },
    "backupandrestore": {
        "backup_dir": [3, None, ""], "save_freq": [0, -1, 2.5, "step", None, True, False], "keep": [0, -1, 1.5, None],
        "double_checkpoint": ["yes", 1, None], "delete_checkpoint": ["no", 0, None],
    },
    "modelcheckpoint": {
        "filepath": [3, None, "", "{}", "{0}", "{epoch.real}", "{"], "monitor": [3, None], "mode": ["down", None],
        "verbose": [3, -1], "save_freq": [0, -1, 2.5, "step", None, True], "save_best_only": ["yes", None],
        "save_weights_only": ["yes", None], "initial_value_threshold": [NAN, INF, "x", True],
    },
}  # fmt: skip
KINDS = (
    "initializers", "optimizers", "schedulers", "regularizers", "constraints", "losses", "layers", "callbacks",
)  # fmt: skip
# An error that speaks of an argument without its name.
IN_OTHER_WORDS = {"boundarie": "boundary"}
# Where True is not taken for 1.
WITHOUT_TRUTH_VALUES = ("initializers", "schedulers", "regularizers", "constraints", "layers", "callbacks")


def classes(*kinds: str) -> dict[str, type]:
    """Return the classes of some kinds that are registered, by kind and name."""
    found = {}
    for kind in kinds:
        registry = getattr(td.registry, kind)
        entries = {f"{kind}.{name}": registry._entry(name).obj for name in registry.names()}
        found |= {name: made for name, made in entries.items() if isinstance(made, type)}
    return found


CLASSES, METRICS = classes(*KINDS), classes("metrics")


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name, with those that it hands on to the classes it is derived from."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = inspect.signature(base.__init__).parameters
            found = {**own, **found}
            if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
                break
    return {key: p for key, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and key != "self"}


def required(cls: type) -> dict[str, Any]:
    """Return values for the arguments that have no default."""
    missing = [key for key, p in parameters(cls).items() if p.default is p.empty]
    assert set(missing) <= set(EXAMPLES), f"EXAMPLES needs values for {missing}, arguments of {cls.__name__}"
    return {key: EXAMPLES[key] for key in missing} | TOGETHER.get(cls.__name__, {})


def assert_refused(cls: type, argument: str, value: Any) -> None:
    """Check that a value is refused in one sentence with the class, the argument, and what came."""
    with pytest.raises((TypeError, ValueError)) as caught:
        cls(**{**required(cls), argument: value})
    sentence = str(caught.value)
    assert cls.__name__.lower() in sentence.lower().replace("_", ""), sentence
    assert argument in sentence, sentence
    came = [value, *value] if isinstance(value, (list, tuple)) else [value]
    assert any(repr(each) in sentence for each in came), sentence
    assert "\n" not in sentence
    assert sentence.endswith("."), sentence


def numbers() -> Iterator[tuple[str, tuple[type, str, float]]]:
    """Yield each argument that is a number by default: its full name, its class, its name, and the default."""
    for name, cls in CLASSES.items():
        for argument, p in parameters(cls).items():
            default = EXAMPLES.get(argument) if p.default is p.empty else p.default
            if isinstance(default, (int, float)) and not isinstance(default, bool):
                yield f"{name}.{argument}", (cls, argument, default)


NUMBERS = dict(numbers())


def test_each_class_is_made_by_its_examples() -> None:
    for cls in CLASSES.values():
        cls(**required(cls))
    assert len(NUMBERS) > 60


@pytest.mark.parametrize("value", [NAN, -INF, INF, np.float32(NAN), "x", None, [1.5, "x"], {}], ids=repr)
@pytest.mark.parametrize("where", NUMBERS)
def test_what_is_no_finite_number_is_refused_where_one_is_wanted(where: str, value: Any) -> None:
    cls, argument, _ = NUMBERS[where]
    if value is None and where in NONE_SAYS_SOMETHING:
        cls(**{**required(cls), argument: None})
    elif argument != "learning_rate" or not isinstance(value, (str, dict)):  # these say which schedule
        assert_refused(cls, argument, value)


@pytest.mark.parametrize(
    "where",
    [where for where in NUMBERS if where.startswith(WITHOUT_TRUTH_VALUES) and not where.endswith(".verbose")],
)
def test_a_truth_value_is_no_number(where: str) -> None:
    cls, argument, _ = NUMBERS[where]
    assert_refused(cls, argument, True)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [(name, argument, bad) for name, rows in OUT_OF_RANGE.items() for argument, row in rows.items() for bad in row],
)
def test_what_is_out_of_range_is_refused_by_name(name: str, argument: str, value: Any) -> None:
    (cls,) = (cls for key, cls in CLASSES.items() if key.endswith(f".{name}"))
    assert_refused(cls, argument, value)


STRANGE = [
    "many", "", None, [], [1, 2], (None,), {}, {"a": 1}, {1}, b"x", 1 + 2j, True, -1, 0.5, 10**400, NAN, object(), int,
    np.array(0.5), np.array(3), np.array([1]), np.ones(3), td.ones(3),
]  # fmt: skip


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: repr(value)[:30])
def test_whatever_comes_is_taken_or_refused_by_the_argument_s_name(value: Any) -> None:
    told = {}
    for cls in {**CLASSES, **METRICS}.values():
        for argument in parameters(cls):
            try:
                cls(**{**required(cls), argument: value})
            except (TypeError, ValueError) as error:
                told[f"{cls.__name__}: {argument}"] = argument.rstrip("s"), str(error)
    assert not {
        where: sentence for where, (word, sentence) in told.items()
        if (word not in sentence and IN_OTHER_WORDS.get(word, word) not in sentence) or "ambiguous" in sentence
    }  # fmt: skip
    assert len(told) > 10


@pytest.mark.parametrize("value", ["no", 7, None, np.ones(3)], ids=repr)
@pytest.mark.parametrize("where", [*CLASSES, *METRICS])
def test_what_is_no_truth_value_is_refused_where_one_is_wanted(where: str, value: Any) -> None:
    cls = {**CLASSES, **METRICS}[where]
    for argument, p in parameters(cls).items():
        if p.annotation == "bool":
            with pytest.raises(ValueError, match=argument):
                cls(**{**required(cls), argument: value})


@pytest.mark.parametrize("value", [5, ["a"], object(), np.ones(3), td.ones(3)], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("where", [*CLASSES, *METRICS])
def test_a_name_is_a_text(where: str, value: Any) -> None:
    cls = {**CLASSES, **METRICS}[where]
    if "name" in parameters(cls):
        with pytest.raises(TypeError, match=r"name must be a text or None, not"):
            cls(**{**required(cls), "name": value})
        assert isinstance(cls(**{**required(cls), "name": None}).name, str)


@pytest.mark.parametrize("where", NUMBERS)
def test_numpy_s_numbers_are_numbers(where: str) -> None:
    cls, argument, default = NUMBERS[where]
    cls(**{**required(cls), argument: np.int64(default) if isinstance(default, int) else np.float32(default)})
