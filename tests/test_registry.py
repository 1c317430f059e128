"""The registry: names, one ``get`` for all kinds, saved forms, origins, and own registrations."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.plugin_fixtures.host import make_host
from tinygrad_dnn import hookspecs, registry
from tinygrad_dnn.plugins import BuiltinError
from tinygrad_dnn.registration import Batch
from tinygrad_dnn.registry import KINDS, Origin, UnknownNameError

ROOT = Path(__file__).resolve().parents[1]
KIND = {kind.plural: kind for kind in KINDS}


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return registries with small built-ins, where no plugin is loaded."""
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    return make_host()


def builtin(name: str) -> object:
    """Return what a module of small built-ins defines; that module is imported by then."""
    module, _, attribute = name.partition(".")
    return getattr(sys.modules[f"tests.plugin_fixtures.builtin_{module}"], attribute)


# The table of kinds


def test_each_kind_has_a_registry_a_hook_and_a_module() -> None:
    assert len(KINDS) == 10
    for kind in KINDS:
        assert getattr(registry, kind.plural).kind == kind.plural
        assert kind.hook == f"register_{kind.plural}"
        assert kind.module == f"tinygrad_dnn.{kind.plural}"
        assert hasattr(getattr(hookspecs, kind.hook), "tinygrad_dnn_spec")


def test_importing_the_registry_imports_no_plugin_machinery() -> None:
    code = "import sys, tinygrad_dnn.registry; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "tinygrad_dnn.registry" in modules
    assert not {"pluggy", "importlib.metadata", "tinygrad_dnn.plugins", "tinygrad_dnn.activations"} & set(modules)


def test_builtins_are_loaded_a_kind_at_a_time(
    kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("activations", "initializers", "optimizers"):
        monkeypatch.delitem(sys.modules, f"tests.plugin_fixtures.builtin_{kind}", raising=False)
    kinds.activations.get("relu")
    assert "tests.plugin_fixtures.builtin_activations" in sys.modules
    assert not {f"tests.plugin_fixtures.builtin_{kind}" for kind in ("initializers", "optimizers")} & set(sys.modules)


def test_builtin_is_found_without_discovery(
    kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds.host, "load_plugins", lambda: pytest.fail("discovered"))
    relu = kinds.activations.get("relu")
    assert kinds.activations.serialize(relu) == "relu"
    assert "Rectifier" in kinds.activations
    assert kinds.activations.origin("tinygrad-dnn:relu").distribution == "tinygrad-dnn"
    with pytest.raises(pytest.fail.Exception, match="discovered"):
        kinds.activations.get("rellu")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("losses", "OSError: the disk is gone"),
        ("constraints", "it must implement register_constraints and no other hook; got register_regularizers"),
        ("layers", "No module named 'tests.plugin_fixtures.builtin_layers'"),
    ],
)
def test_builtins_that_fail_raise_at_each_lookup(kinds: SimpleNamespace, kind: str, reason: str) -> None:
    for _ in range(2):
        message = rf"the built-in {kind} \(tests.*\) cannot be loaded: .*{reason}"
        with pytest.raises(BuiltinError, match=message) as caught:
            getattr(kinds, kind).get("length")
        assert caught.value.__cause__ is not None
    assert kinds.activations.get("relu")


# Names


@pytest.mark.parametrize(
    ("class_name", "alias"),
    [
        ("HeNormal", "he_normal"), ("SGD", "sgd"), ("L1L2", "l1_l2"), ("L2", "l2"), ("MaxNorm", "max_norm"),
        ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"), ("ReLU", "relu"), ("PReLU", "p_relu"),
        ("BatchNormalization", "batch_normalization"), ("LeakyReLU", "leaky_relu"), ("CSVLogger", "csv_logger"),
        ("TopKCategoricalAccuracy", "top_k_categorical_accuracy"), ("F1Score", "f1_score"), ("AdamW", "adamw"),
        ("GlobalMaxPooling2D", "global_max_pooling2d"), ("KLDivergence", "kl_divergence"), ("AUC", "auc"),
        ("MCDropout", "mc_dropout"), ("snake_case", "snake_case"),
    ],
)
def test_class_goes_by_its_lower_case_name_and_by_snake_case(class_name: str, alias: str) -> None:
    batch = Batch(KIND["callbacks"], (), "dist")
    made = batch.register(type(class_name, (), {"on_epoch_end": lambda self, epoch, logs=None: None}))
    names = batch.close()
    assert set(names) == {class_name.lower(), alias}
    assert {entry.obj for entry in names.values()} == {made}
    assert names[alias].origin.name == class_name.lower()


def test_automatic_alias_gives_way_to_a_name(kinds: SimpleNamespace) -> None:
    get = kinds.activations.get
    assert get("leaky_relu") is builtin("activations.leaky_relu")
    assert isinstance(get("LeakyReLU"), builtin("activations.LeakyReLU"))
    assert kinds.activations.serialize(get("leaky_relu")) == "leaky_relu"
    # and so does that of a class of somebody else's, which did not ask for the built-in name
    mine = kinds.activations.register(type("HardTanh", (), {"__call__": lambda self, x: x}))
    assert isinstance(get("HardTanh"), mine)
    assert get("hard_tanh") is builtin("activations.hard_tanh")
    assert "local:hard_tanh" not in kinds.activations


def test_name_in_a_plugin_belongs_to_one_object() -> None:
    batch = Batch(KIND["activations"], (), "dist")
    batch.register(math.sqrt, aliases=("root",))
    with pytest.raises(ValueError, match="'root' is registered twice by the same plugin"):
        batch.register(math.exp, name="ROOT")
    with pytest.raises(ValueError, match=r"'wurzel' is registered already, as 'sqrt': use aliases"):
        batch.register(math.sqrt, name="wurzel")
    batch.close()
    with pytest.raises(RuntimeError, match="register_activations has returned"):
        batch.register(math.exp)


class Half:
    def __init__(self):
        self.half = 0.5

    def init(self, param):
        return {}


class Nearly:
    update_state = result = lambda self: None
    reset_state = None


@pytest.mark.parametrize(
    ("kind", "obj", "names", "message"),
    [
        ("activations", 3, {"name": "three"}, "an activation must be a function, or a class whose objects can be"),
        ("activations", Half, {}, "an activation must be a function"),
        ("activations", None, {}, "got None"),
        ("activations", lambda x: x, {}, "has no name of its own"),
        ("activations", functools.partial(max, 0), {}, "has no name of its own"),
        ("activations", math.sqrt, {"name": "a name"}, "a name is made of letters.*got 'a name'"),
        ("activations", math.sqrt, {"name": ""}, "a name is made of letters"),
        ("activations", math.sqrt, {"name": "dist:sqrt"}, "a name is made of letters"),
        ("activations", math.sqrt, {"name": 7}, "a name is made of letters"),
        ("activations", math.sqrt, {"aliases": "root"}, "aliases must be a tuple of names; got the string 'root'"),
        ("activations", math.sqrt, {"aliases": (7,)}, "a name is made of letters"),
        ("activations", math.sqrt, {"name": "RELU"}, "the name 'relu' is a built-in activation's"),
        ("activations", math.sqrt, {"aliases": ("elu",)}, "the name 'elu' is a built-in activation's"),
        ("initializers", 0.5, {"name": "half"}, "an initializer must be"),
        ("optimizers", Half, {}, "an optimizer must be a class with the methods init, update"),
        ("optimizers", math.sqrt, {}, "an optimizer must be a class"),
        ("schedulers", Half, {}, "a scheduler must be a function, or"),
        ("regularizers", "l2", {}, "a regularizer must be a function, or"),
        ("constraints", Half, {}, "a constraint must be a function, or"),
        ("losses", {}, {}, "a loss must be a function, or"),
        ("metrics", Nearly, {}, "a metric must be a class with the methods update_state, result, reset_state"),
        ("layers", Half, {}, "a layer must be a class with the methods build, call"),
        ("callbacks", Half, {}, "a callback must be a class with the method on_epoch_end"),
    ],
)
def test_registration_refuses(kind: str, obj: object, names: dict[str, object], message: str) -> None:
    batch = Batch(KIND[kind], ("relu", "elu"), "dist")
    with pytest.raises((TypeError, ValueError), match=message):
        batch.register(obj, **names)
    assert not batch.entries


def test_registration_refuses_an_abstract_class() -> None:
    import abc

    class Optimizer(abc.ABC):
        def init(self, param):
            return {}

        @abc.abstractmethod
        def update(self, param, grad, state, learning_rate): ...

    with pytest.raises(TypeError, match="is abstract: it lacks update"):
        Batch(KIND["optimizers"], (), "dist").register(Optimizer)


# get


def test_get_takes_names_in_any_case(kinds: SimpleNamespace) -> None:
    relu = kinds.activations.get("relu")
    assert relu is builtin("activations.relu")
    assert relu is kinds.activations.get("ReLU") is kinds.activations.get("RECTIFIER")
    for name in ("henormal", "HeNormal", "he_normal", "HE_NORMAL"):
        assert type(kinds.initializers.get(name)) is builtin("initializers.HeNormal")
    assert kinds.activations.names() == ["elu", "hard_tanh", "leaky_relu", "leakyrelu", "relu"]
    assert kinds.metrics.names() == []


def test_get_takes_none_objects_and_classes(kinds: SimpleNamespace) -> None:
    assert kinds.activations.get(None) is None
    assert kinds.activations.get(math.sqrt) is math.sqrt
    initializer = kinds.initializers.get("he_normal")
    assert kinds.initializers.get(initializer) is initializer
    assert type(kinds.initializers.get(type(initializer), seed=3)) is type(initializer)


def test_get_passes_arguments_on(kinds: SimpleNamespace) -> None:
    assert kinds.initializers.get("he_normal", seed=7).seed == 7
    assert kinds.activations.get("elu", alpha=2.0)(-1) == -2.0
    with pytest.raises(TypeError, match="seeds"):
        kinds.initializers.get("he_normal", seeds=7)
    with pytest.raises(TypeError, match="is made already and takes no arguments; got seed"):
        kinds.initializers.get(kinds.initializers.get("he_normal"), seed=7)


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        ("activations", 3), ("activations", b"relu"), ("activations", ["relu"]), ("activations", Half),
        ("initializers", 0.5), ("optimizers", math.sqrt), ("optimizers", Half), ("optimizers", Half()),
        ("metrics", math.sqrt),
    ],
)
def test_get_refuses_what_is_not_of_the_kind(kinds: SimpleNamespace, kind: str, obj: object) -> None:
    with pytest.raises(TypeError, match=f"{KIND[kind].one} must be given as a name, .*got "):
        getattr(kinds, kind).get(obj)


def test_get_takes_configurations(kinds: SimpleNamespace) -> None:
    config = {"seed": 7}
    assert kinds.initializers.get({"class_name": "HeNormal", "config": config}).seed == 7
    assert config == {"seed": 7}
    assert kinds.initializers.get({"class_name": "he_normal"}).seed is None
    relu = kinds.activations.get("relu")
    assert kinds.activations.get({"class_name": "relu", "config": {}}) is relu
    assert kinds.activations.get({"class_name": "elu", "config": {"alpha": 3}})(-1) == -3


@pytest.mark.parametrize(
    "config",
    [{}, {"config": {}}, {"class_name": 3}, {"class_name": "he_normal", "config": [7]},
     {"class_name": "he_normal", "config": None}],
)
def test_get_refuses_malformed_configurations(kinds: SimpleNamespace, config: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"the configuration of an initializer is \{'class_name'"):
        kinds.initializers.get(config)


def test_get_refuses_configurations_that_cannot_be_built(kinds: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="and seed"):
        kinds.initializers.get({"class_name": "he_normal"}, seed=7)
    with pytest.raises(TypeError, match=r"SGD.* cannot be made from a configuration: it has no from_config"):
        kinds.optimizers.get({"class_name": "sgd", "config": {}})
    with pytest.raises(UnknownNameError, match=r"'os\.system' is not a known activation"):
        kinds.activations.get({"class_name": "os.system", "config": {"command": "true"}})


def test_unknown_name_lists_near_matches_and_all_names(kinds: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="rellu") as caught:
        kinds.activations.get("rellu")
    assert type(caught.value) is UnknownNameError
    assert str(caught.value).startswith("'rellu' is not a known activation. Did you mean 'relu'")
    assert "Known activations: elu, hard_tanh, leaky_relu, leakyrelu, relu." in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"'precision' is not a known metric\. Known metrics: none"):
        kinds.metrics.get("precision")
    for name in ("", ":", "nobody:relu", "x" * 10_000):
        assert name not in kinds.activations
        with pytest.raises(UnknownNameError) as caught:
            kinds.activations.get(name)
        assert len(str(caught.value)) < 300


# serialize, origin


def test_serialize_is_undone_by_get(kinds: SimpleNamespace) -> None:
    serialize = kinds.activations.serialize
    assert serialize(None) is None
    assert serialize(kinds.activations.get("rectifier")) == "relu"
    saved = serialize(kinds.activations.get("elu", alpha=2.0))
    assert saved == {"class_name": "elu", "config": {"alpha": 2.0}}
    assert kinds.activations.get(saved)(-1) == -2.0
    saved = kinds.initializers.serialize(kinds.initializers.get("he_normal", seed=7))
    assert saved == {"class_name": "henormal", "config": {"seed": 7}}
    assert kinds.initializers.get(saved).seed == 7
    assert kinds.initializers.serialize(builtin("initializers.HeNormal")) == "henormal"


def test_serialize_refuses_what_has_no_name(kinds: SimpleNamespace) -> None:
    kinds.initializers.get("he_normal")

    class Mine(builtin("initializers.HeNormal")):
        pass

    with pytest.raises(ValueError, match=r"Mine object.* is not a registered initializer: register it"):
        kinds.initializers.serialize(Mine())
    with pytest.raises(ValueError, match="sqrt> is not a registered activation"):
        kinds.activations.serialize(math.sqrt)
    with pytest.raises(ValueError, match="sqrt> is not a registered activation"):
        kinds.activations.serialize(functools.partial(math.sqrt))
    with pytest.raises(ValueError, match=r"SGD object.* cannot be saved: its class has no get_config"):
        kinds.optimizers.serialize(kinds.optimizers.get("sgd"))


def test_origin_is_kept_by_the_registry_and_on_the_object(kinds: SimpleNamespace) -> None:
    import tinygrad_dnn

    initializer = kinds.initializers.get("he_normal")
    version, module = tinygrad_dnn.__version__, type(initializer).__module__
    origin = Origin("initializers", "henormal", "tinygrad-dnn", version, "initializers", module)
    assert kinds.initializers.origin("HE_normal") == origin
    assert kinds.initializers.origin(initializer) == origin
    assert kinds.initializers.origin(type(initializer)) == origin
    assert type(initializer).__tinygrad_dnn_origin__ == origin
    kinds.activations.register(math.sqrt)  # takes no attribute
    assert kinds.activations.origin(math.sqrt) == Origin("activations", "sqrt", "local", "", "", "math")
    with pytest.raises(ValueError, match="not a registered activation"):
        kinds.activations.origin(math.exp)
    with pytest.raises(UnknownNameError):
        kinds.activations.origin("exp")


def test_origin_stays_its_first_owners(kinds: SimpleNamespace) -> None:
    relu = kinds.activations.get("relu")
    kinds.activations.register(relu, name="my_relu")
    assert relu.__tinygrad_dnn_origin__.distribution == "tinygrad-dnn"
    assert kinds.activations.serialize(relu) == "relu"

    @kinds.activations.register(name="wrapped")
    @functools.wraps(relu)  # copies the attribute too
    def wrapped(x):
        return relu(x)

    assert wrapped.__tinygrad_dnn_origin__.distribution == "local"


# register, for this process alone


def test_register_directly_and_as_a_decorator(kinds: SimpleNamespace) -> None:
    register, get = kinds.activations.register, kinds.activations.get

    @register
    def one(x):
        return x

    @register(name="Second", aliases=["zwei"])
    def two(x):
        return x

    assert register(math.sqrt, "root") is math.sqrt
    assert get("one") is one
    assert get("second") is get("zwei") is get("local:second") is two
    assert "two" not in kinds.activations
    assert kinds.activations.serialize(two) == "second"
    assert get("root") is math.sqrt
    assert {"one", "root", "second"} <= set(kinds.activations.names())


def test_registering_again_replaces(kinds: SimpleNamespace) -> None:
    register, get = kinds.activations.register, kinds.activations.get
    register(math.sqrt, name="mine", aliases=("old",))
    register(math.exp, name="mine")
    assert get("mine") is math.exp
    assert "old" not in kinds.activations
    register(math.log, name="theirs", aliases=("mine",))
    assert get("mine") is math.log


def test_automatic_alias_takes_no_registered_name(kinds: SimpleNamespace) -> None:
    kinds.activations.register(math.sqrt, name="my_root")
    kinds.activations.register(type("MyRoot", (), {"__call__": lambda self, x: x}))
    assert kinds.activations.get("my_root") is math.sqrt
    assert kinds.activations.get("MyRoot")(4) == 4


def test_register_does_not_shadow_a_builtin(kinds: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="the name 'relu' is a built-in activation's: choose another"):
        kinds.activations.register(math.sqrt, name="relu")
    with pytest.raises(TypeError, match="got None"):
        kinds.activations.register(None)
    assert kinds.activations.get("relu") is builtin("activations.relu")
