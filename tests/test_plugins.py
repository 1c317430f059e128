"""The plugin host: what a plugin may be, what two may claim, strictness, and a package that is really installed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import tinygrad_dnn as td
from tests.plugin_fixtures.host import activation, install, make_host, only_site
from tinygrad_dnn import graph, plugins
from tinygrad_dnn.plugins import BuiltinError, PluginError, PluginWarning
from tinygrad_dnn.registry import AmbiguousNameError, Origin

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "plugins" / "tinygrad-dnn-bent-identity"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from only_site(tmp_path, monkeypatch)


@pytest.fixture
def kinds(site: Path) -> SimpleNamespace:
    return make_host()


# A good plugin


def test_plugin_is_found_by_name(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "Tinygrad_DNN.Good", activation("bent"), version="2.3", module="good")
    bent = kinds.activations.get("BENT")
    assert bent(3) == 3
    assert "bent" in kinds.activations
    assert kinds.activations.get("Tinygrad_DNN.Good:bent") is bent
    assert kinds.activations.get("tinygrad-dnn-good:main:bent") is bent
    assert kinds.activations.serialize(bent) == "bent"
    origin = Origin("activations", "bent", "tinygrad-dnn-good", "2.3", "main", "good")
    assert kinds.activations.origin(bent) == kinds.activations.origin("bent") == bent.__tinygrad_dnn_origin__ == origin
    report = kinds.host.report()
    assert str(report) == "loaded: tinygrad-dnn-good 2.3 (entry point main = good): activations bent"
    assert report.loaded[0].registered == (origin,)
    assert report.problems == ()


def test_object_that_takes_no_attribute_is_found_all_the_same(site: Path, kinds: SimpleNamespace) -> None:
    source = """
class Closed:
    def __call__(self, x):
        return x

    def __setattr__(self, name, value):
        raise OSError("read only")


@hookimpl
def register_activations(register):
    register(Closed(), name="closed")
"""
    install(site, "dist", source)
    assert kinds.activations.get("closed")(3) == 3
    assert kinds.activations.origin("closed").distribution == "dist"
    assert kinds.host.discover(strict=True).problems == ()


def test_object_of_a_plugin_is_saved_though_no_name_was_looked_up(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    assert kinds.activations.serialize(importlib.import_module("dist").bent) == "bent"


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("dist", "@hookimpl\ndef register_activations(register):\n    register(bent)"),
        ("dist", "@hookimpl(specname='register_activations')\ndef hook(register):\n    register(bent)"),
        (
            "dist:Plugin",
            "class Plugin:\n    @hookimpl\n    def register_activations(self, register):\n        register(bent)",
        ),
        (
            "dist:plugin",
            "class Plugin:\n    @hookimpl\n    def register_activations(self, register):\n        register(bent)\n"
            "plugin = Plugin()",
        ),
        (
            "dist:Plugin",
            "class Plugin:\n    @staticmethod\n    @hookimpl\n    def register_activations(register):\n"
            "        register(bent)",
        ),
        (
            "dist:Outer.plugin",
            "class Plugin:\n    @classmethod\n    @hookimpl\n    def register_activations(cls, register):\n"
            "        register(bent)\nclass Outer:\n    plugin = Plugin()",
        ),
        (
            "dist",
            "@hookimpl\ndef register_activations(register):\n    register(bent)\n"
            "@hookimpl(optionalhook=True)\ndef register_kind_of_a_later_version(register):\n    1 / 0",
        ),
    ],
    ids=["module", "specname", "class", "object", "static method", "class method", "optional hook"],
)
def test_entry_point_names_a_module_an_object_or_a_class(
    site: Path, kinds: SimpleNamespace, target: str, source: str
) -> None:
    install(site, "dist", f"def bent(x):\n    return x\n{source}\n", entry_points={"main": target})
    assert kinds.activations.get("bent")(3) == 3
    assert kinds.host.report().failed == ()


def test_plugin_of_several_kinds_loads_only_their_builtins(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tests.plugin_fixtures.builtin_optimizers", raising=False)
    sevens = """
class Sevens:
    def __call__(self, shape, dtype=None):
        return 7


@hookimpl
def register_initializers(register):
    register(Sevens, aliases=("seven",))
"""
    install(site, "dist", activation("bent") + sevens)
    assert kinds.initializers.get("seven")(()) == 7
    assert kinds.activations.get("bent")
    assert [origin.kind for origin in kinds.host.report().loaded[0].registered] == ["activations", "initializers"]
    assert "tests.plugin_fixtures.builtin_optimizers" not in sys.modules


def test_same_target_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"), entry_points={"one": "dist", "two": "dist"})
    with pytest.warns(PluginWarning, match=r"dist 1.0 \(entry point two = dist\): it is there already, as dist:one"):
        assert kinds.activations.get("bent")


def test_same_entry_point_twice_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    text = "[tinygrad_dnn]\nmain = dist\nmain = dist:plugin\n"
    install(site, "dist", activation("bent", "plugin = lambda: None"), entry_points=text)
    with pytest.warns(PluginWarning, match="it is there already, as dist:main"):
        assert kinds.activations.get("bent")
    assert len(kinds.host.report().loaded) == 1


def test_warning_made_an_error_leaves_the_rest_usable(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist-a", "1 / 0")
    install(site, "dist-b", activation("bent"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning, match="dist-a"):
            kinds.activations.get("bent")
        assert kinds.activations.get("bent")


def test_broken_builtin_is_not_blamed_on_a_plugin(site: Path, kinds: SimpleNamespace) -> None:
    source = "@hookimpl\ndef register_losses(register):\n    register(len)\n"
    install(site, "dist", source)
    for _ in range(2):
        with pytest.raises(BuiltinError, match=r"the built-in losses .* cannot be loaded: OSError: the disk is gone"):
            kinds.activations.get("bent")


def test_interrupt_passes_and_discovery_begins_anew(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dist-a", activation("first"))
    interrupt = "import os\nif os.environ.get('INTERRUPT'):\n    raise KeyboardInterrupt\n"
    install(site, "dist-b", activation("bent", interrupt))
    monkeypatch.setenv("INTERRUPT", "1")
    with pytest.raises(KeyboardInterrupt):
        kinds.activations.get("bent")
    monkeypatch.delenv("INTERRUPT")
    assert kinds.activations.get("bent")
    assert kinds.activations.get("first")


def test_lookup_while_discovering_sees_what_came_before(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kinds_under_test", kinds)
    look = "from kinds_under_test import activations\n"
    install(site, "dist-a", activation("first"))
    install(site, "dist-b", activation("second", look + "assert activations.get('relu')(-1) == 0"))
    install(site, "dist-c", activation("third", look + "assert activations.get('first')(3) == 3"))
    install(site, "dist-d", activation("fourth", look + "activations.get('fifth')"))
    install(site, "dist-e", activation("fifth"))
    with pytest.warns(PluginWarning, match="dist-d 1.0 .*: UnknownNameError: 'fifth' is not a known activation"):
        assert kinds.activations.get("fifth")
    assert [plugin.distribution for plugin in kinds.host.report().loaded] == ["dist-a", "dist-b", "dist-c", "dist-e"]


# What surrounds a look-up

MEDDLER = """
import numpy as np
import tinygrad_dnn as td

td.backend.use("strict")
td.backend.set_floatx("float64")
td.utils.set_random_seed(3)
DRAWN = td.initializers.get("he_normal")((3, 3))
HELD = td.exp(td.ones((2,)))
RELU = td.activations.get("relu")
"""


def test_import_of_a_plugin_changes_no_result(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist-a", activation("bent", MEDDLER))
    install(site, "dist-b", activation("broken", MEDDLER) + "1 / 0")

    def surroundings() -> tuple[object, ...]:
        return td.backend.current().name, td.backend.floatx(), td.is_grad_enabled(), td.random.get_state()

    with td.no_grad(), td.backend.use("numpy"), td.registry.scope({"relu": abs}) as scope:
        before = surroundings()
        with pytest.warns(PluginWarning, match="dist-b"):
            assert kinds.activations.get("bent")
        assert surroundings() == before
        assert td.activations.get("relu") is abs
        assert scope.written == []
    assert sys.modules["dist_a"].RELU is td.activations.relu
    assert sys.modules["dist_a"].HELD.backend.name == "strict"


def test_program_that_looks_a_plugin_up_does_not_record_its_import(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent", "import tinygrad_dnn as td\nHELD = td.exp(td.ones((2,)))"))
    ran: list[str] = []

    class Listener(graph.Recorder):
        def applied(self, primitive: graph.Primitive, *rest: object, **attributes: object) -> None:
            ran.append(primitive.name)

    graph.state.recorder = listener = Listener()
    try:
        kinds.activations.get("bent")
        assert graph.state.recorder is listener
    finally:
        graph.state.recorder = None
    assert sys.modules["dist"].HELD.shape == (2,)
    assert ran == []


def test_using_builtins_discovers_nothing(site: Path) -> None:
    install(site, "dist", "print('imported')\n" + activation("bent"))
    code = """
import sys
import numpy as np
import tinygrad_dnn as td

model = td.Sequential([td.layers.Dense(2, activation="elu", kernel_initializer="he_normal", input_shape=(3,))])
model.compile(optimizer="nadam", loss="mse", metrics=["mae"])
model.fit(np.zeros((8, 3)), np.zeros((8, 2)), verbose=0)
print("importlib.metadata" in sys.modules, "dist" in sys.modules)
print("bent" in td.registry.activations, "dist" in sys.modules)
"""
    assert run(site, "-c", code).splitlines()[-3:] == ["False False", "imported", "True True"]


def test_discovery_does_not_mind_a_backend_that_is_not_there(site: Path) -> None:
    install(site, "dist", activation("bent"))
    code = "import tinygrad_dnn as td; print('bent' in td.registry.activations)"
    assert run(site, "-c", code, TINYGRAD_DNN_BACKEND="abacus") == "True\n"


# Two plugins


def test_name_of_two_plugins_raises_only_when_asked_for(site: Path, kinds: SimpleNamespace) -> None:
    two = activation("bent") + activation("{}").replace("register_activations", "register_initializers")
    install(site, "tinygrad-dnn-a", two.format("one", "one"), version="1.0")
    install(site, "tinygrad-dnn-b", two.format("two", "two"), version="2.0")
    assert kinds.initializers.get("one")
    assert kinds.initializers.get("two")
    with pytest.raises(AmbiguousNameError) as caught:
        kinds.activations.get("Bent")
    assert str(caught.value) == (
        "the activation 'bent' is claimed by tinygrad-dnn-a 1.0 and tinygrad-dnn-b 2.0: "
        "ask for 'tinygrad-dnn-a:bent' or 'tinygrad-dnn-b:bent'."
    )
    a, b = kinds.activations.get("tinygrad-dnn-a:bent"), kinds.activations.get("TINYGRAD_DNN_B:bent")
    assert (a.__module__, b.__module__) == ("tinygrad_dnn_a", "tinygrad_dnn_b")
    assert kinds.activations.serialize(b) == "tinygrad-dnn-b:bent"
    assert kinds.activations.get({"class_name": "tinygrad-dnn-b:bent", "config": {}}) is b
    assert "bent" in kinds.activations
    assert kinds.activations.names().count("bent") == 1
    (conflict,) = kinds.host.report().conflicts
    assert str(conflict) == "activations: 'bent' is claimed by tinygrad-dnn-a and tinygrad-dnn-b"
    assert conflict.ways == ("tinygrad-dnn-a:bent", "tinygrad-dnn-b:bent")


def test_name_of_two_entry_points_of_one_distribution(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"), entry_points={"First_One": "dist", "two": "other"})
    (site / "other.py").write_text((site / "dist.py").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(AmbiguousNameError, match="ask for 'dist:First_One:bent' or 'dist:two:bent'"):
        kinds.activations.get("dist:bent")
    assert kinds.activations.get("dist:First_One:bent").__module__ == "dist"
    assert kinds.activations.get("dist:two:bent").__module__ == "other"


def test_own_registration_goes_before_plugins(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    plugin = kinds.activations.get("bent")
    mine = kinds.activations.register(abs, name="bent")
    assert kinds.activations.get("bent") is mine
    assert kinds.activations.get("dist:bent") is plugin
    assert kinds.activations.serialize(plugin) == "dist:bent"
    assert kinds.activations.serialize(mine) == "bent"


def test_same_entry_point_name_in_two_distributions(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist-a", activation("first"), entry_points={"main": "dist_a"})
    install(site, "dist-b", activation("last"), entry_points={"main": "dist_b"})
    assert kinds.activations.get("first")
    assert kinds.activations.get("last")


# Strictness


@pytest.mark.parametrize("by_environment", [False, True])
def test_strict_makes_every_problem_an_error(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    install(site, "dist-a", activation("bent"))
    install(site, "dist-b", activation("bent"))
    install(site, "dist-c", "1 / 0")
    if by_environment:
        monkeypatch.setenv("TINYGRAD_DNN_PLUGINS_STRICT", "1")
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            kinds.activations.get("bentt") if by_environment else kinds.host.discover(strict=True)
        assert "dist-c 1.0 (entry point main = dist_c): ZeroDivisionError" in str(caught.value)
        assert "activations: 'bent' is claimed by dist-a and dist-b" in str(caught.value)
    assert kinds.activations.get("relu")
    assert len(kinds.host.report().problems) == 2


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_strict_can_be_switched_off(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    install(site, "dist-c", "1 / 0")
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS_STRICT", value)
    with pytest.warns(PluginWarning, match="dist-c"):
        assert "bent" not in kinds.activations


# Once a process


def test_discovery_happens_once(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist-a", "1 / 0")
    with pytest.warns(PluginWarning, match="dist-a"):
        assert "bent" not in kinds.activations
    install(site, "dist-b", activation("bent"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "bent" not in kinds.activations
        assert "dist-a" in str(kinds.host.report())


def test_threads_discover_once(site: Path, kinds: SimpleNamespace) -> None:
    (site / "count.txt").touch()
    slow = f"import time\ntime.sleep(0.05)\nopen({str(site / 'count.txt')!r}, 'a').write('imported ')"
    install(site, "dist-a", activation("bent", slow))
    install(site, "dist-b", "1 / 0")
    barrier = threading.Barrier(8)
    found = []

    def look_up() -> None:
        barrier.wait()
        found.append((kinds.activations.get("bent"), kinds.initializers.get("he_normal"), kinds.activations.get("elu")))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=look_up) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    assert len({bent for bent, _, _ in found}) == 1
    assert (site / "count.txt").read_text(encoding="utf-8") == "imported "
    assert len([each for each in caught if issubclass(each.category, PluginWarning)]) == 1
    assert len(kinds.activations.third_party["bent"]) == 1


def test_reset_forgets_plugins_and_own_registrations(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist-a", activation("bent"))
    assert kinds.activations.get("bent")
    kinds.activations.register(abs)
    (site / "dist_a-1.0.dist-info" / "entry_points.txt").write_text("", encoding="utf-8")
    kinds.host.reset()
    assert "bent" not in kinds.activations
    assert "abs" not in kinds.activations
    assert kinds.activations.get("relu")
    assert str(kinds.host.report()) == "no plugins"


def test_the_process_has_one_host(site: Path) -> None:
    install(site, "dist", activation("bent_for_this_test"))
    plugins.reset()
    try:
        assert plugins.discover().loaded[0].distribution == "dist"
        assert plugins.report().problems == ()
        assert "bent_for_this_test" in plugins.HOST.registries[0]
    finally:
        plugins.reset()


# The example, installed for real


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example and install it in a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--isolated"]
    options = ["--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *options, "--target", str(target), str(EXAMPLE)], check=True)
    return target


def run(example: Path, *arguments: str, **environment: str) -> str:
    """Run Python where the example is installed, beside the tests' own environment; return what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TINYGRAD_DNN")}
    path = os.pathsep.join([str(example), str(ROOT)])
    env = kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | environment
    done = subprocess.run([sys.executable, *arguments], env=env, cwd=example, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_example_is_installed_and_used_by_name(example: Path) -> None:
    code = """
import sys
import numpy as np
import tinygrad_dnn as td

assert "tinygrad_dnn_bent_identity" not in sys.modules
dense = td.layers.Dense(4, activation="bent_identity")
x = np.ones((2, 3), np.float32)
y = dense(td.tensor(x)).numpy()
z = x @ dense.get_weights()[0]
np.testing.assert_allclose(y, (np.sqrt(z * z + 1) - 1) / 2 + z, rtol=1e-5, atol=1e-6)
print(td.plugins.report())
print(td.registry.activations.origin("bent_identity"))
"""
    told, origin = run(example, "-c", code).splitlines()
    assert told == (
        "loaded: tinygrad-dnn-bent-identity 0.1.0 (entry point bent_identity = tinygrad_dnn_bent_identity): "
        "activations bent_identity"
    )
    assert "distribution='tinygrad-dnn-bent-identity', version='0.1.0'" in origin


def test_example_passes_its_own_test(example: Path) -> None:
    config = ["-c", str(EXAMPLE / "pyproject.toml")]  # not the configuration of the repository around it
    told = run(example, "-m", "pytest", "-q", "-p", "no:cacheprovider", *config, str(EXAMPLE))
    assert "1 passed" in told


def test_example_switched_off_is_not_imported(example: Path) -> None:
    code = "import sys, tinygrad_dnn as td; print('bent_identity' in td.registry.activations, *sys.modules)"
    found, *modules = run(example, "-c", code, TINYGRAD_DNN_PLUGINS="").split()
    assert found == "False"
    assert "tinygrad_dnn.plugins" in modules
    assert "tinygrad_dnn_bent_identity" not in modules
