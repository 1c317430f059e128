"""The plugin host: discovery, isolation of what is broken, the user's choice, and a package really installed."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.plugin_fixtures.host import activation, install, make_host
from tinygrad_dnn import plugins
from tinygrad_dnn.plugins import BuiltinError, PluginError, PluginWarning
from tinygrad_dnn.registry import AmbiguousNameError, Origin, UnknownNameError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "plugins" / "tinygrad-dnn-bent-identity"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder to install plugins in, where no other distribution is seen."""
    before = set(sys.modules)
    elsewhere = [path for path in sys.path if "-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *elsewhere])
    monkeypatch.delenv("TINYGRAD_DNN_PLUGINS", raising=False)
    monkeypatch.delenv("TINYGRAD_DNN_PLUGINS_STRICT", raising=False)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def kinds(site: Path) -> SimpleNamespace:
    """Return registries, with a host of their own, that discover what is installed in ``site``."""
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
    install(
        site,
        "dist",
        activation("bent")
        + """
    class Sevens:
        def __call__(self, shape, dtype=None):
            return 7

    @hookimpl
    def register_initializers(register):
        register(Sevens, aliases=("seven",))
    """,
    )
    assert kinds.initializers.get("seven")(()) == 7
    assert kinds.activations.get("bent")
    assert [origin.kind for origin in kinds.host.report().loaded[0].registered] == ["activations", "initializers"]
    assert "tests.plugin_fixtures.builtin_optimizers" not in sys.modules


# Broken plugins: each is installed between two good ones

HOOK = "@hookimpl\ndef register_activations(register):\n    "
GOOD = "def fine(x):\n    return x\n"
BROKEN: dict[str, tuple[str, str]] = {
    "import error": ("import a_library_that_is_not_there", "ModuleNotFoundError: No module named 'a_library_that"),
    "syntax error": ("def register_activations(register:", "SyntaxError"),
    "raises at import": ("raise OSError('no licence file')", "OSError: no licence file"),
    "SystemExit at import": ("import sys\nsys.exit('use Linux')", "SystemExit: use Linux"),
    "exception of its own kind": ("class Stop(BaseException):\n    pass\nraise Stop", "Stop"),
    "exception that cannot be shown": (
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute",
        "Mute: its message cannot be shown",
    ),
    "argument of another name": (
        "@hookimpl\ndef register_activations(registry):\n    pass",
        "PluginValidationError: .*'registry'.* can not be found in the hookspec",
    ),
    "one argument too many": ("@hookimpl\ndef register_activations(register, td):\n    pass", "PluginValidationError"),
    "no argument": ("@hookimpl\ndef register_activations():\n    pass", "must take one argument, named register"),
    "keyword-only argument": (
        "@hookimpl\ndef register_activations(*, register):\n    pass", "must take one argument, named register"
    ),
    "misspelt hook": (
        "@hookimpl\ndef register_activation(register):\n    pass",
        "there is no hook register_activation: did you mean register_activations",
    ),
    "hook of no kind": (
        "@hookimpl\ndef setup(register):\n    pass", "there is no hook setup: the hooks are register_activations, "
    ),
    "misspelt hook by specname": (
        "@hookimpl(specname='register_actives')\ndef hook(register):\n    pass", "there is no hook register_actives"
    ),
    "misspelt hook beside a good one": (
        f"{GOOD}{HOOK}register(fine)\n@hookimpl\ndef register_loss(register):\n    pass",
        "there is no hook register_loss: did you mean register_losses",
    ),
    "hook without the marker": (
        "def register_activations(register):\n    pass", "register_activations is not marked with @hookimpl"
    ),
    "another project's marker": (
        "import pluggy\nhookimpl = pluggy.HookimplMarker('tinygrad')\n"
        "@hookimpl\ndef register_activations(register):\n    pass",
        "register_activations is not marked with @hookimpl",
    ),
    "no hook at all": (GOOD, "<module 'broken'.*> has no function marked with @hookimpl"),
    "raises in the hook": (f"{HOOK}raise KeyError('tanh')", "KeyError: 'tanh'"),
    "raises after it registered": (f"{GOOD}{HOOK}register(fine)\n    1 / 0", "ZeroDivisionError: division by zero"),
    "raises in its second hook": (
        f"{GOOD}{HOOK}register(fine)\n@hookimpl\ndef register_optimizers(register):\n    1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "SystemExit in the hook": (f"{HOOK}raise SystemExit(3)", "SystemExit: 3"),
    "endless recursion": (f"{HOOK}register_activations(register)", "RecursionError"),
    "returns a list": (f"{GOOD}{HOOK}return [fine]", r"register_activations returned \[<function fine"),
    "returns a dict": (f"{GOOD}{HOOK}return {{'fine': fine}}", r"register_activations returned \{'fine'"),
    "returns nothing true": (f"{HOOK}return 0", r"register_activations returned 0: it must call register"),
    "yields": (f"{GOOD}{HOOK}yield fine", "register_activations returned <generator"),
    "wrapper that yields nothing": (
        "@hookimpl(wrapper=True)\ndef register_activations(register):\n    pass", "PluginValidationError"
    ),
    "registers a name twice": (
        f"{GOOD}def other(x):\n    return x\n{HOOK}register(fine)\n    register(other, name='FINE')",
        "ValueError: the activation 'fine' is registered twice by the same plugin",
    ),
    "registers an object twice": (
        f"{GOOD}{HOOK}register(fine)\n    register(fine, name='good')", "ValueError: 'good' is registered already, as"
    ),
    "takes a built-in name": (
        f"{GOOD}{HOOK}register(fine, name='ReLU')", "ValueError: the name 'relu' is a built-in activation's"
    ),
    "takes a built-in alias": (
        f"{GOOD}{HOOK}register(fine, aliases=('rectifier',))", "the name 'rectifier' is a built-in activation's"
    ),
    "registers what is no activation": (f"{HOOK}register(0.5, name='half')", "TypeError: an activation must be a fun"),
    "registers nothing": (f"{HOOK}register(None)", "TypeError: an activation must be .*got None"),
    "registers a lambda": (f"{HOOK}register(lambda x: x)", "has no name of its own"),
    "registers an impossible name": (f"{GOOD}{HOOK}register(fine, name='mine:fine')", "a name is made of letters"),
    "aliases in one string": (f"{GOOD}{HOOK}register(fine, aliases='good')", "aliases must be a tuple of names"),
    "wrong keyword": (f"{GOOD}{HOOK}register(fine, alias='good')", "TypeError: .*unexpected keyword argument 'alias'"),
    "optimizer without update": (
        "class Lazy:\n    def init(self, param):\n        return {}\n"
        "@hookimpl\ndef register_optimizers(register):\n    register(Lazy)",
        "an optimizer must be a class with the methods init, update; got <class 'broken.Lazy'>",
    ),
    "optimizer that is a function": (
        f"{GOOD}@hookimpl\ndef register_optimizers(register):\n    register(fine)", "an optimizer must be a class"
    ),
    "metric without reset_state": (
        "class Count:\n    update_state = result = lambda self: 0\n"
        "@hookimpl\ndef register_metrics(register):\n    register(Count)",
        "a metric must be a class with the methods update_state, result, reset_state",
    ),
    "keeps register for later": (
        f"{GOOD}kept = []\n{HOOK}kept.append(register)\n"
        "@hookimpl\ndef register_optimizers(register):\n    kept[0](fine)",
        "RuntimeError: register_activations has returned",
    ),
}
TARGETS: dict[str, tuple[str, str]] = {
    "no such module": ("brokn", "ModuleNotFoundError: No module named 'brokn'"),
    "no such object": ("broken:plugin", "AttributeError: .*'plugin'"),
    "malformed": ("broken plugin", "is not of the form 'module' or 'module:object'"),
    "empty": ("", "is not of the form 'module' or 'module:object'"),
    "a function": ("broken:fine", "<function fine.*> has no function marked with @hookimpl"),
    "None": ("broken:nothing", "None has no function marked with @hookimpl"),
    "a number": ("broken:number", "an object without __eq__; got 3"),
    "an object with equality": ("broken:value", r"an object without __eq__; got Value\(\)"),
    "a class that takes arguments": ("broken:Needy", "TypeError: .*missing 1 required positional argument: 'path'"),
}
SOURCE_OF_TARGETS = f"""
import dataclasses
nothing, number = None, 3
{GOOD}
class Needy:
    def __init__(self, path): ...
@dataclasses.dataclass
class Value:
    @hookimpl
    def register_activations(self, register):
        register(fine)
value = Value()
"""
CASES = [
    *(pytest.param(source, "broken", reason, id=name) for name, (source, reason) in BROKEN.items()),
    *(
        pytest.param(SOURCE_OF_TARGETS, target, reason, id=f"entry point: {name}")
        for name, (target, reason) in TARGETS.items()
    ),
]


@pytest.mark.parametrize(("source", "target", "reason"), CASES)
def test_broken_plugin_harms_nobody(
    site: Path, kinds: SimpleNamespace, source: str, target: str, reason: str
) -> None:
    install(site, "tinygrad-dnn-a", activation("first"))
    install(site, "tinygrad-dnn-broken", source, version="2.3rc1", module="broken", entry_points={"main": target})
    install(site, "tinygrad-dnn-c", activation("last"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UnknownNameError) as unknown:
            kinds.activations.get("fine")
        assert kinds.activations.get("relu")(-1) == 0
        assert kinds.activations.get("first")(3) == kinds.activations.get("last")(3) == 3
        assert kinds.activations.names() == ["elu", "first", "hard_tanh", "last", "leaky_relu", "leakyrelu", "relu"]
        assert kinds.optimizers.names() == ["sgd"]
        assert kinds.metrics.names() == []
        report = kinds.host.discover()
    (failed,) = report.failed
    assert (failed.distribution, failed.version, failed.entry_point) == ("tinygrad-dnn-broken", "2.3rc1", "main")
    assert re.search(reason, failed.reason), failed.reason
    if "is not of the form" not in failed.reason:
        assert "Traceback (most recent call last)" in failed.traceback
    assert [plugin.distribution for plugin in report.loaded] == ["tinygrad-dnn-a", "tinygrad-dnn-c"]
    (warning,) = [each for each in caught if issubclass(each.category, PluginWarning)]
    told = f"tinygrad-dnn-broken 2.3rc1 (entry point main = {target}): {failed.reason}"
    assert str(warning.message) == f"a plugin was left out: {told}"
    assert f"Not loaded: {told}" in str(unknown.value)
    assert f"failed: {told}" in str(report)
    registered = [name for name, _ in kinds.host._manager.list_name_plugin() if not name.startswith("tinygrad-dnn:")]
    assert registered == ["tinygrad-dnn-a:main", "tinygrad-dnn-c:main"]


def test_cases_are_many() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize("broken", ["entry_points.txt", "METADATA", "no METADATA", "encoding", "version"])
def test_broken_metadata_harms_nobody(site: Path, kinds: SimpleNamespace, broken: str) -> None:
    install(site, "tinygrad-dnn-a", activation("first"))
    install(site, "tinygrad-dnn-broken", activation("fine"))
    info = site / "tinygrad_dnn_broken-1.0.dist-info"
    if broken == "entry_points.txt":
        (info / "entry_points.txt").write_text("[tinygrad_dnn]\nmain\n", encoding="utf-8")
        name, version, reason = "tinygrad-dnn-broken", "1.0", "its entry_points.txt cannot be read"
    elif broken == "encoding":
        (info / "entry_points.txt").write_bytes(b"[tinygrad_dnn]\nm\xe4in = m\xe4in\n")
        name, version, reason = "tinygrad-dnn-broken", "1.0", "its entry_points.txt cannot be read"
    elif broken == "version":
        (info / "METADATA").write_text("Name: tinygrad-dnn-broken\n", encoding="utf-8")
        (site / "tinygrad_dnn_broken.py").write_text("1 / 0", encoding="utf-8")
        name, version, reason = "tinygrad-dnn-broken", "unknown", "ZeroDivisionError"
    else:
        (info / "METADATA").unlink()
        name, version, reason = f"a distribution in {site}", "unknown", "its metadata has no name"
        if broken == "METADATA":
            (info / "METADATA").write_text("Version: 1.0\n", encoding="utf-8")
            version = "1.0"
    importlib.invalidate_caches()
    with pytest.warns(PluginWarning, match=reason):
        assert kinds.activations.get("first")
    (failed,) = kinds.host.report().failed
    assert (failed.distribution, failed.version) == (name, version)
    assert reason in failed.reason
    assert kinds.activations.get("relu")


def test_unreadable_metadata_of_others_is_nothing_to_us(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "other", "", entry_points="[tool]\nmain\n")
    install(site, "encoded", "")
    (site / "encoded-1.0.dist-info" / "entry_points.txt").write_bytes(b"[tool]\nm\xe4in = m\xe4in\n")
    assert kinds.host.discover(strict=True).loaded == ()


def test_same_target_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"), entry_points={"one": "dist", "two": "dist"})
    with pytest.warns(PluginWarning, match=r"dist 1.0 \(entry point two = dist\): it is there already, as dist:one"):
        assert kinds.activations.get("bent")


def test_same_entry_point_twice_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    text = "[tinygrad_dnn]\nmain = dist\nmain = dist:plugin\n"
    install(site, "dist", activation("bent") + "\n    plugin = lambda: None\n", entry_points=text)
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
    source = "import os\nif os.environ.get('INTERRUPT'):\n    raise KeyboardInterrupt\n"
    install(site, "dist-b", source + activation("bent").replace("\n    ", "\n"))
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
    sought = "from kinds_under_test import activations\n{}\ndef %s(x):\n    return x\n" + HOOK + "register(%s)\n"
    install(site, "dist-a", activation("first"))
    install(site, "dist-b", (sought % ("second", "second")).format("assert activations.get('relu')(-1) == 0"))
    install(site, "dist-c", (sought % ("third", "third")).format("assert activations.get('first')(3) == 3"))
    install(site, "dist-d", (sought % ("fourth", "fourth")).format("activations.get('fifth')"))
    install(site, "dist-e", activation("fifth"))
    with pytest.warns(PluginWarning, match="dist-d 1.0 .*: UnknownNameError: 'fifth' is not a known activation"):
        assert kinds.activations.get("fifth")
    assert [plugin.distribution for plugin in kinds.host.report().loaded] == ["dist-a", "dist-b", "dist-c", "dist-e"]


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


@pytest.mark.parametrize("backwards", [False, True])
def test_order_does_not_depend_on_the_path(site: Path, kinds: SimpleNamespace, backwards: bool) -> None:
    names = ["dist-c", "Dist_B", "dist.a"]
    folders = [site / name for name in names]
    for folder, name in zip(folders, names, strict=True):
        folder.mkdir()
        module = name.replace("-", "_").replace(".", "_").lower()
        targets = {"z": module, "a": f"{module}_too"}
        install(folder, name, activation("bent"), entry_points=targets, module=module)
        (folder / f"{module}_too.py").write_text("1 / 0", encoding="utf-8")
    for folder in folders[:: -1 if backwards else 1]:
        sys.path.insert(0, str(folder))
    with pytest.warns(PluginWarning):
        report = kinds.host.discover()
    assert [plugin.distribution for plugin in report.loaded] == ["dist-a", "dist-b", "dist-c"]
    assert [plugin.entry_point for plugin in report.failed] == ["a", "a", "a"]
    assert report.conflicts[0].owners == ("dist-a", "dist-b", "dist-c")


def test_distribution_installed_twice_counts_once(site: Path, kinds: SimpleNamespace) -> None:
    for version in ("1.0", "2.0"):
        folder = site / version
        folder.mkdir()
        install(folder, "dist", activation("bent"), version=version, entry_points={version: "dist"})
        sys.path.insert(0, str(folder))
    assert kinds.activations.get("bent").__tinygrad_dnn_origin__.version == "2.0"
    assert [plugin.version for plugin in kinds.host.report().loaded] == ["2.0"]


def test_shadowed_distribution_does_not_count(site: Path, kinds: SimpleNamespace) -> None:
    install(site, "dist", activation("bent"))
    (site / "new").mkdir()
    install(site / "new", "dist", "", version="2.0", entry_points={})  # no plugin any more
    (site / "new" / "dist-2.0.dist-info" / "entry_points.txt").unlink()
    sys.path.insert(0, str(site / "new"))
    assert "bent" not in kinds.activations
    assert kinds.host.report().failed == ()


# The user's choice


@pytest.mark.parametrize(
    ("choice", "imported"),
    [
        (None, {"dist_a", "dist_b", "dist_b_too", "dist_c"}),
        ("", set()),
        (" , ", set()),
        ("dist-a", {"dist_a"}),
        ("Dist.C,dist_a", {"dist_a", "dist_c"}),
        (" dist-b , ", {"dist_b", "dist_b_too"}),
        ("dist-b:two,dist-c:main", {"dist_b_too", "dist_c"}),
    ],
)
def test_environment_chooses_plugins_and_the_rest_is_not_imported(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, choice: str | None, imported: set[str]
) -> None:
    install(site, "dist-a", activation("a"))
    install(site, "dist-b", activation("b"), entry_points={"one": "dist_b", "two": "dist_b_too"})
    text = (site / "dist_b.py").read_text(encoding="utf-8")
    (site / "dist_b_too.py").write_text(text.replace("def b(", "def b2(").replace("(b)", "(b2)"), encoding="utf-8")
    install(site, "dist-c", activation("c"))
    if choice is not None:
        monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", choice)
    names = {"dist_a": "a", "dist_b": "b", "dist_b_too": "b2", "dist_c": "c"}
    builtins = {"elu", "hard_tanh", "leaky_relu", "leakyrelu", "relu"}
    assert set(kinds.activations.names()) == builtins | {names[module] for module in imported}
    assert {module for module in names if module in sys.modules} == imported
    report = kinds.host.report()
    assert len(report.skipped) == 4 - len(imported)
    assert report.failed == ()
    if "dist_c" not in imported:
        with pytest.raises(UnknownNameError, match=r"Not loaded: .*dist-c 1\.0 .*: TINYGRAD_DNN_PLUGINS switches it"):
            kinds.activations.get("c")


def test_choice_of_what_is_not_installed_is_told(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dist-a", activation("a"))
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "dist-a,dist-a:other,dist-b")
    with pytest.warns(PluginWarning, match="TINYGRAD_DNN_PLUGINS names it, and no such plugin is installed"):
        assert kinds.activations.get("a")
    assert [plugin.distribution for plugin in kinds.host.report().failed] == ["dist-a:other", "dist-b"]


def test_broken_plugin_switched_off_is_not_complained_of(
    site: Path, kinds: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dist-a", "1 / 0")
    install(site, "dist-b", "", entry_points="[tinygrad_dnn]\nmain\n")
    monkeypatch.setenv("TINYGRAD_DNN_PLUGINS", "")
    assert kinds.host.discover(strict=True).problems == ()


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


@pytest.mark.parametrize("value", ["", "0"])
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
    source = "import time\ncount = globals().get('count', 0) + 1\ntime.sleep(0.05)\n"
    install(site, "dist-a", source + activation("bent").replace("\n    ", "\n"))
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
    assert importlib.import_module("dist_a").count == 1
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
