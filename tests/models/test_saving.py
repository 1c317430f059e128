"""Models in files: what is saved comes back bit for bit, and training goes on as if nothing had been."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import tinygrad_dnn as td
from tinygrad_dnn import saving

L = td.layers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(24, 6)).astype("float32")
Y = RANDOM.integers(0, 3, 24)
TARGET = X[:, :1] * 2


def same(got: Any, wanted: Any) -> None:
    """Compare nested results bit for bit."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        for key, part in wanted.items():
            same(got[key], part)
    elif isinstance(wanted, (list, tuple)) and not all(isinstance(part, float) for part in wanted):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            same(one, other)
    else:
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted), strict=True)


def again(model: td.Model, folder: Path, **options: Any) -> td.Model:
    model.save(folder / "model.safetensors")
    return td.models.load_model(folder / "model.safetensors", **options)


def goes_on_alike(first: td.Model, second: td.Model, x: Any, y: Any, epochs: int = 2) -> None:
    """Train two models further, and compare all that can be seen of them."""
    seen = []
    for model in (first, second):
        td.utils.set_random_seed(3)
        history = model.fit(x, y, epochs=epochs, batch_size=8, verbose=0).history
        values = [v.numpy() for v in model.optimizer.variables]
        said = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
        seen.append([history, model.get_weights(), values, *said])
    same(seen[1], seen[0])


def sequential() -> td.Sequential:
    return td.Sequential(
        [td.Input(shape=(6,)), L.Dense(8, activation="elu", kernel_regularizer="l2"), L.BatchNormalization(),
         L.Dropout(0.3), L.GaussianNoise(0.1), L.Dense(3, activation="softmax")]
    )  # fmt: skip


def test_sequential_goes_on_where_it_was(backend: str, tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    model = sequential()
    rate = td.schedulers.ExponentialDecay(0.01, decay_steps=4, decay_rate=0.5)
    model.compile(td.optimizers.Nadam(rate, use_ema=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    loaded = again(model, tmp_path)
    assert loaded.name == model.name
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert int(loaded.optimizer.iterations) == 6
    same(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    same(loaded.get_weights(), model.get_weights())
    # The masks of Dropout go on, too.
    same(loaded(X, training=True).numpy(), model(X, training=True).numpy())
    goes_on_alike(model, loaded, X, Y)


def test_a_model_that_was_not_built_or_not_compiled(tmp_path: Path) -> None:
    loaded = again(td.Sequential([L.Dense(4), L.Dense(1)], name="later"), tmp_path)
    assert not loaded.built
    assert loaded.predict(X, verbose=0).shape == (24, 1)
    built = td.Sequential([L.Dense(4), L.Dense(1)])
    wanted = built.predict(X, verbose=0)
    loaded = again(built, tmp_path)
    assert not loaded._compiled
    same(loaded.predict(X, verbose=0), wanted)
    model = sequential()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert not again(model, tmp_path, compile=False)._compiled
    assert again(model, tmp_path)._compiled
    same(again(td.Sequential(name="empty"), tmp_path).name, "empty")


def graph() -> td.Model:
    """Several inputs and outputs, shared layers and models, operators with constants, training said in a call."""
    first, second = td.Input(shape=(6,), name="first"), td.Input(shape=(6,), name="second")
    shared = L.Dense(5, name="shared")
    inner = td.Sequential([L.Dense(5, activation="tanh"), L.Dropout(0.2)], name="inner")
    both = -shared(first) * 2.0 + inner(shared(second)) - np.arange(5, dtype="float32") / (1.0 + shared(first) ** 2)
    classes = L.Dense(3, activation="softmax", name="classes")(L.Dropout(0.5)(both, training=False))
    inner_end = td.Model(inner.input, inner.layers[0].output, name="half")
    value = L.Dense(1, name="value")(L.Concatenate()([inner(shared(first)), inner_end(shared(second))]))
    return td.Model({"a": first, "b": second}, {"classes": classes, "value": value}, name="graph")


def test_a_graph_with_all_that_one_can_have(backend: str, tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    model = graph()
    x = {"a": X, "b": X[::-1].copy()}
    y = {"classes": Y, "value": TARGET}
    model.compile(
        td.optimizers.AdamW(0.01, weight_decay=0.1),
        {"classes": td.losses.SparseCategoricalCrossentropy(), "value": td.losses.mean_squared_error},
        loss_weights={"classes": 1.0, "value": 0.25},
        metrics={"classes": ["acc"], "value": [td.metrics.RootMeanSquaredError(name="rms"), td.losses.huber]},
        weighted_metrics={"value": ["mae"]},
    )
    model.optimizer.exclude_from_weight_decay(var_list=[model.get_layer("value").kernel], var_names=["bias"])
    model.fit(x, y, batch_size=8, verbose=0)
    loaded = again(model, tmp_path)
    assert list(loaded.input) == ["a", "b"]
    assert loaded.output_names == ["classes", "value"]
    assert loaded.get_layer("half").layers[-1] is loaded.get_layer("inner").layers[0]
    assert loaded.get_layer("value").kernel in loaded.optimizer._undecayed
    assert loaded.get_layer("shared").kernel not in loaded.optimizer._undecayed
    same(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    goes_on_alike(model, loaded, x, y)
    # A file of the loaded model is the same file.
    model.save(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_form_of_outputs_and_of_calls_stays(tmp_path: Path) -> None:
    x = td.Input(shape=(2,))
    pair = td.Model(x, (L.Dense(1)(x), [L.Dense(2)(x)]))
    got = again(pair, tmp_path)(np.ones((1, 2)))
    assert isinstance(got, tuple)
    assert isinstance(got[1], list)
    same([part.numpy() for part in (got[0], got[1][0])], [part.numpy() for part in (pair(np.ones((1, 2)))[0],
         pair(np.ones((1, 2)))[1][0])])  # fmt: skip


def test_a_graph_that_begins_inside_another(tmp_path: Path) -> None:
    whole = sequential()
    tail = td.Model(whole.layers[1].output, whole.layers[-1].output)
    loaded = again(tail, tmp_path)
    x = RANDOM.normal(size=(3, 8)).astype("float32")
    same(loaded.predict(x, verbose=0), tail.predict(x, verbose=0))


def test_an_ensemble_whose_members_share_a_layer(backend: str, tmp_path: Path) -> None:
    shared = L.Dense(4, name="shared")
    first = td.Sequential([shared, L.Dense(1)])
    model = td.models.Ensemble([first, td.Sequential([td.Input(shape=(6,)), shared, L.Dense(1)]), first])
    model.compile(td.optimizers.SGD(0.01, momentum=0.9, clipnorm=1.0), "huber")
    model.fit(X, TARGET, batch_size=8, verbose=0)
    loaded = again(model, tmp_path)
    assert loaded.members[0] is loaded.members[2]
    assert loaded.members[0].layers[0] is loaded.members[1].layers[0]
    goes_on_alike(model, loaded, X, TARGET)


def test_float64(tmp_path: Path) -> None:
    td.backend.set_floatx("float64")
    try:
        model = td.Sequential([L.Dense(4, activation="selu", input_shape=(6,)), L.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(X, TARGET, batch_size=8, verbose=0)
        model.save(tmp_path / "model")
    finally:
        td.backend.set_floatx("float32")
    loaded = td.models.load_model(tmp_path / "model")
    assert td.backend.floatx() == "float32"
    assert {w.dtype.name for w in loaded.weights} == {"float64"}
    td.backend.set_floatx("float64")
    try:
        goes_on_alike(model, loaded, X, TARGET)
    finally:
        td.backend.set_floatx("float32")


@pytest.mark.parametrize("loaded_under", ["float32", "float64"])
@pytest.mark.parametrize("saved_under", ["float32", "float64"])
@pytest.mark.parametrize("made_under", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["nadam", "schedule", "schedulefreeadamw"])
def test_each_may_be_done_under_another_default_type(
    optimizer: str, made_under: str, saved_under: str, loaded_under: str, tmp_path: Path
) -> None:
    try:
        td.backend.set_floatx(made_under)
        schedule = td.schedulers.CosineDecay(0.1, 20)
        model = td.Sequential([L.Dense(4, activation="selu", input_shape=(6,)), L.Dense(1)])
        model.compile(td.optimizers.SGD(schedule, momentum=0.9) if optimizer == "schedule" else optimizer, "mse")
        model.fit(X, TARGET, batch_size=8, verbose=0)
        td.backend.set_floatx(saved_under)
        model.save(tmp_path / "model")
        td.backend.set_floatx(loaded_under)
        loaded = td.models.load_model(tmp_path / "model")
        for one, other in ((model.weights, loaded.weights), (model.optimizer.variables, loaded.optimizer.variables)):
            assert [v.dtype for v in one] == [v.dtype for v in other]
        for each in (model, loaded):  # but for metrics, which add up in the type under which they were made
            each.fit(X, TARGET, batch_size=8, shuffle=False, verbose=0)
        same([v.numpy() for v in loaded.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
        same(loaded.get_weights(), model.get_weights())
    finally:
        td.backend.set_floatx("float32")


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    model = sequential()
    model.layers[0].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    loaded = again(model, tmp_path)
    assert [layer.trainable for layer in loaded.layers] == [False, True, True, True, True]
    names = [w.path for w in loaded.trainable_weights]
    assert names == [w.path for w in model.trainable_weights]


def test_how_steps_run_stays(tmp_path: Path) -> None:
    model = sequential()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True, jit_compile=False)
    loaded = again(model, tmp_path)
    assert (loaded.run_eagerly, loaded._jit_compile) == (True, False)


OPTIONS: list[dict[str, Any]] = [{"gradient_accumulation_steps": 2}, {"use_ema": True}]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *itertools.product(td.registry.optimizers.names(), OPTIONS),
        # The one that is left out scales the loss itself.
        *((name, {"loss_scale_factor": 8.0}) for name in td.registry.optimizers.names() if "lossscale" not in name),
    ],
)
def test_every_optimizer_goes_on_where_it_was(name: str, option: dict[str, Any], tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    model = td.Sequential([L.Dense(4, activation="tanh", input_shape=(6,)), L.Dense(1)])
    model.compile(td.registry.optimizers.get(name, **option), "mse")
    model.fit(X, TARGET, batch_size=8, verbose=0)
    goes_on_alike(model, again(model, tmp_path), X, TARGET, epochs=1)


# -- subclasses, custom objects ---------------------------------------------------------------------------------------


class Residual(td.Model):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = L.Dense(units, activation="elu")
        self.last = L.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(inputs + self.hidden(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Scale(L.Layer):
    def __init__(self, power: float = 1.0, inner: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.power, self.inner = power, inner or L.Dense(6)

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) * self.factor**self.power

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power, "inner": self.inner}


def fourth_power(y_true: Any, y_pred: Any) -> Any:
    return ((y_true - y_pred) ** 4).mean(axis=-1)


def largest(y_true: Any, y_pred: Any) -> Any:
    return td.max(td.abs(y_true - y_pred), axis=-1)


def bent(x: Any) -> Any:
    return x + td.sqrt(x * x + 1.0)


def step_down(step: Any) -> Any:
    return 0.01 / (step + 1.0)


CUSTOM = {f.__name__: f for f in (Residual, Scale, fourth_power, largest, bent, step_down)}


def test_a_subclass_with_get_config(backend: str, tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    model = Residual(6)
    model.compile(td.optimizers.RMSprop(step_down), fourth_power, metrics=[largest, "mae"])
    model.fit(X, TARGET, batch_size=8, verbose=0)
    loaded = again(model, tmp_path, custom_objects=CUSTOM)
    assert type(loaded) is Residual
    assert [metric.name for metric in loaded.metrics] == ["loss", "largest", "mae"]
    goes_on_alike(model, loaded, X, TARGET)


def test_layers_and_functions_of_ones_own(backend: str, tmp_path: Path) -> None:
    td.utils.set_random_seed(1)
    model = td.Sequential(
        [td.Input(shape=(6,)), Scale(2.0, L.Dense(6, activation=bent)), L.Activation(bent), L.Lambda(td.tanh),
         L.Lambda(bent, arguments={}), L.Dense(1)]
    )  # fmt: skip
    model.compile("adam", "mse", metrics=[td.metrics.MeanMetricWrapper(largest, name="worst")])
    model.fit(X, TARGET, batch_size=8, verbose=0)
    loaded = again(model, tmp_path, custom_objects=CUSTOM)
    assert loaded.metrics_names == ["loss", "worst"]
    goes_on_alike(model, loaded, X, TARGET)


@pytest.mark.parametrize("missing", ["Residual", "fourth_power", "largest", "step_down"])
def test_a_custom_object_that_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    model = Residual(6)
    model.compile(td.optimizers.RMSprop(step_down), fourth_power, metrics=[largest])
    model.fit(X, TARGET, verbose=0)
    given = {name: thing for name, thing in CUSTOM.items() if name != missing}
    wanted = rf"needs the \w+ '{missing}' of the program .*custom_objects=\{{'{missing}'"
    with pytest.raises(td.models.FileError, match=wanted):
        again(model, tmp_path, custom_objects=given)


def test_what_is_registered_needs_no_custom_objects(tmp_path: Path) -> None:
    try:
        td.registry.layers.register(Scale)
        td.registry.activations.register(bent)
        model = td.Sequential([td.Input(shape=(6,)), Scale(), L.Activation("bent")])
        wanted = model.predict(X, verbose=0)
        same(again(model, tmp_path).predict(X, verbose=0), wanted)
    finally:
        td.plugins.reset()
    with pytest.raises(td.models.FileError, match=r"needs the layer 'scale' .* td\.registry\.layers\.register"):
        td.models.load_model(tmp_path / "model.safetensors")


class Lost(td.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = L.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.hidden(inputs)


class Forgetful(L.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def call(self, inputs: Any) -> Any:
        return inputs


class Closed(L.Layer):
    def __init__(self) -> None:
        super().__init__()

    def call(self, inputs: Any) -> Any:
        return inputs


def compiled(**arguments: Any) -> td.Model:
    model = sequential()
    model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **arguments})
    return model


class mse:  # noqa: N801  # the name of something else
    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


UNSAVED = {
    "a lambda in a layer": (
        lambda: td.Sequential([L.Lambda(lambda x: x, name="double")]), "layer 'double' .*lambda.*define it by def",
    ),
    "a lambda as an activation": (
        lambda: td.Sequential([L.Activation(lambda x: x, name="act")]), "layer 'act' .*not a registered activation",
    ),
    "a lambda as a loss": (lambda: compiled(loss=lambda a, b: a - b), "was compiled with .*lambda.*define it by def"),
    "a lambda as a metric": (lambda: compiled(metrics=[lambda a, b: a - b]), "was compiled with .*define it by def"),
    "a lambda as a schedule": (
        lambda: compiled(optimizer=td.optimizers.SGD(lambda step: 0.1)), "with .*not a registered scheduler",
    ),
    "a subclass without get_config": (Lost, r"model 'lost\w*' .*get_config.*save_weights"),
    "a layer that forgets an argument": (
        lambda: td.Sequential([Forgetful(3)]), r"'forgetful\w*' .*does not return the argument 'units'",
    ),
    "a layer that takes no name": (lambda: td.Sequential([Closed()]), r"'closed\w*' .*its __init__ does not take"),
    "a name that means something else": (lambda: compiled(loss=mse()), r"cannot be saved: .*'mse' means another loss"),
    "an expression that takes for ever": (
        lambda: compiled(optimizer=td.optimizers.Muon(exclude_layers=["(a+)+$"])), "too involved to be run",
    ),
    "an object in a configuration": (
        lambda: td.Sequential([L.Lambda(bent, arguments={"x": object()})]), "which no file can hold",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNSAVED)
def test_what_cannot_be_saved_says_what_to_do(kind: str, tmp_path: Path) -> None:
    make, message = UNSAVED[kind]
    (tmp_path / "model").write_bytes(b"old")
    with pytest.raises(ValueError, match=message) as raised:
        make().save(tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# -- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_one_safetensors_file_with_one_key(tmp_path: Path) -> None:
    model = compiled()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model")
    with safetensors.safe_open(tmp_path / "model", "numpy") as opened:
        assert list(opened.metadata()) == ["tinygrad_dnn"]
        said = json.loads(opened.metadata()["tinygrad_dnn"])
        np.testing.assert_array_equal(opened.get_tensor("dense/kernel"), model.layers[0].kernel.numpy())
    assert set(said) == {"format", "version", "floatx", "model", "compile", "plugins"}
    assert (said["format"], said["version"], said["plugins"]) == (1, td.__version__, [])
    assert not said["compile"]["undecayed"]["patterns"]


def test_overwriting(tmp_path: Path) -> None:
    model = compiled()
    model.save(tmp_path / "model")
    model.save(str(tmp_path / "model"))
    with pytest.raises(FileExistsError, match="is there already: say overwrite=True"):
        model.save(tmp_path / "model", overwrite=False)
    with pytest.raises(FileExistsError, match="is there already"):
        model.save_weights(tmp_path / "model", overwrite=False)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "model")


def test_a_damaged_weight_list_names_what_differs(tmp_path: Path) -> None:
    model = compiled()
    model.save(tmp_path / "model")
    arrays, texts = saving.read_tensors(tmp_path / "model")
    del arrays["dense/bias"]
    arrays["dense/kernel"] = arrays["dense/kernel"][:, :2]
    arrays["more"] = np.ones(1)
    saving.write_tensors(tmp_path / "model", arrays, texts)
    wanted = (
        r"1 missing \('dense/bias'\); 1 unexpected \('more'\); 1 of another shape \('dense/kernel': "
        r"\(6, 2\) in the file, \(6, 8\) in the model\)"
    )
    with pytest.raises(td.models.FileError, match=wanted):
        td.models.load_model(tmp_path / "model")


@pytest.mark.parametrize("change", ["less", "more", "shape", "type"])
def test_a_damaged_optimizers_state_is_refused(change: str, tmp_path: Path) -> None:
    model = compiled(optimizer="adam")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model")
    arrays, texts = saving.read_tensors(tmp_path / "model")
    name = next(name for name in arrays if name.startswith("@optimizer/dense/kernel/"))
    if change == "less":
        del arrays[name]
    elif change == "more":
        arrays["@optimizer/more"] = np.ones(1)
    else:
        arrays[name] = arrays[name][:2] if change == "shape" else arrays[name].astype("float64")
    saving.write_tensors(tmp_path / "model", arrays, texts)
    with pytest.raises(td.models.FileError, match=r"of the optimizer's 'dense/kernel/|does not keep"):
        td.models.load_model(tmp_path / "model")
    assert not td.models.load_model(tmp_path / "model", compile=False)._compiled


def test_loading_draws_nothing_and_changes_no_random_stream(tmp_path: Path) -> None:
    model = compiled()
    model.save(tmp_path / "model")
    drawn = []
    for load in (False, True):
        td.utils.set_random_seed(5)
        if load:
            td.models.load_model(tmp_path / "model")
        drawn.append(td.random.generator(None).normal(size=3))
    # Layers take numbers of streams as they are made, and initializers none.
    assert drawn[0].shape == drawn[1].shape


def test_names_do_not_depend_on_what_was_made_before(tmp_path: Path) -> None:
    for _ in range(2):
        sequential().save_weights(tmp_path / "weights")
        names = sorted(saving.read_header(tmp_path / "weights")[0])
        assert names[-2:] == ["dense_1/bias", "dense_1/kernel"]


@pytest.mark.parametrize("path", [None, 3, b"model", "", ["model"]])
def test_what_is_no_path(path: Any) -> None:
    model = compiled()
    for act in (model.save, model.save_weights, model.load_weights, td.models.load_model, td.models.inspect):
        with pytest.raises(TypeError, match=f"^{act.__name__}: path must be the path of a file, not "):
            act(path)


def test_arguments_out_of_their_range(tmp_path: Path) -> None:
    model = compiled()
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="overwrite must be True or False, not 'no'"):
        model.save(tmp_path / "model", overwrite="no")
    with pytest.raises(ValueError, match="skip_mismatch must be True or False, not 1"):
        model.load_weights(tmp_path / "model", skip_mismatch=1)
    with pytest.raises(ValueError, match="compile must be True or False, not 'yes'"):
        td.models.load_model(tmp_path / "model", compile="yes")
    with pytest.raises(TypeError, match="custom_objects must be a dict of classes and functions, not "):
        td.models.load_model(tmp_path / "model", custom_objects=[Residual])


def test_a_great_model_is_saved_and_loaded_without_a_second_copy(tmp_path: Path) -> None:
    with td.backend.use("numpy"):  # others' arrays are not the host's
        _save_and_load_a_great_model(tmp_path)


def _save_and_load_a_great_model(tmp_path: Path) -> None:
    layers = [L.Dense(500, kernel_initializer="zeros") for _ in range(12)]
    model = td.Sequential([td.Input(shape=(500,)), *layers, L.Dense(1)])
    model.compile(td.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_weights)
    file = tmp_path / "model"
    tracemalloc.start()
    model.save(file)
    saved = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    loaded = td.models.load_model(file)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert loaded.count_params() == model.count_params()
    assert file.stat().st_size > 36e6
    assert saved < 0.05 * file.stat().st_size
    assert peak < 1.2 * file.stat().st_size
