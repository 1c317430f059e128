"""Broken plugins of every sort: each is installed between two good ones, and harms neither them nor the built-ins."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.plugin_fixtures.host import activation, install, make_host, only_site
from tinygrad_dnn.plugins import PluginWarning
from tinygrad_dnn.registry import UnknownNameError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from only_site(tmp_path, monkeypatch)


@pytest.fixture
def kinds(site: Path) -> SimpleNamespace:
    return make_host()


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
    "registers an abstract class": (
        "import abc\nclass Half(abc.ABC):\n    @abc.abstractmethod\n    def __call__(self, x): ...\n"
        f"{HOOK}register(Half)",
        "TypeError: <class 'broken.Half'> is abstract: it lacks __call__",
    ),
    "registers what cannot be shown": (
        f"class Mute:\n    def __repr__(self):\n        raise OSError('no words')\n{HOOK}register(Mute())",
        "TypeError: an activation must be a function, .*; got <Mute>",
    ),
    "an alias that is no name": (f"{GOOD}{HOOK}register(fine, aliases=(3,))", "a name is made of letters.*got 3"),
    "asynchronous hook": (
        f"{GOOD}@hookimpl\nasync def register_activations(register):\n    register(fine)",
        "register_activations returned <coroutine",
    ),
    "two names for one hook": (
        f"{GOOD}{HOOK}register(fine)\n@hookimpl(specname='register_activations')\ndef more(register):\n    1 / 0",
        "ZeroDivisionError",
    ),
    "removes itself": ("import sys\ndel sys.modules[__name__]", "KeyError: 'broken'"),
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
