"""The plugin host: it brings in the built-ins, finds installed plugins, and lets no broken one harm the rest.

Which plugins are used is the user's choice: ``TINYGRAD_DNN_PLUGINS`` unset means all, empty none, and a list of
distributions (or ``distribution:entry_point``), parted by commas, only those; with a minus before each, all but those.
The others are not even imported. With ``TINYGRAD_DNN_PLUGINS_STRICT=1`` any problem is an error instead of a warning.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pluggy

from tinygrad_dnn import backend, environment, graph, hookspecs
from tinygrad_dnn.discovery import CHOICE, Conflict, Plugin, Report, chosen, installed
from tinygrad_dnn.hookspecs import PROJECT
from tinygrad_dnn.ops import random
from tinygrad_dnn.registration import DISTRIBUTION, Batch, shown
from tinygrad_dnn.registry import REGISTRIES, Registry
from tinygrad_dnn.scopes import no_scope

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "BuiltinError", "Conflict", "Host", "Plugin", "PluginError", "PluginWarning", "Report",
    "discover", "report", "reset",
]

STRICT = "TINYGRAD_DNN_PLUGINS_STRICT"


class PluginWarning(UserWarning):
    """A plugin was left out because something is wrong with it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", td.plugins.PluginWarning)
        >>> issubclass(td.plugins.PluginWarning, UserWarning)
        True
    """


class PluginError(Exception):
    """What is wrong with a plugin, or, when strict, with the plugins.

    Example:
        >>> str(td.plugins.PluginError("it has no hook"))
        'it has no hook'
    """


class BuiltinError(ImportError):
    """The built-ins of a kind could not be loaded: the installation, not a plugin, is at fault.

    Example:
        >>> issubclass(td.plugins.BuiltinError, ImportError)
        True
    """


class Host:
    """Loads built-ins a kind at a time, and installed plugins all at once, into its registries.

    Args:
        registries: One registry a kind, with ``row.hook`` among the hooks of ``hookspecs``.

    Example:
        >>> host = td.plugins.Host([])
        >>> host.registries
        ()
    """

    def __init__(self, registries: Iterable[Registry]) -> None:
        self.registries = tuple(registries)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        # Two locks: a thread may import built-ins while another, discovering, imports a plugin that needs them.
        self._manager_lock = threading.RLock()
        self._discovery_lock = threading.RLock()
        self._started = False
        self._found = Report()

    def load_builtins(self, registry: Registry) -> None:
        """Bring in the built-ins of one kind, once, through the hook that plugins use too.

        Raises:
            BuiltinError: Their module is missing, or raises, or does not implement the kind's hook.
        """
        kind = registry.row
        try:
            # Outside the lock: whoever is importing this module in another thread may come to wait for the lock.
            module = importlib.import_module(kind.module)
            version = getattr(importlib.import_module(PROJECT), "__version__", "unknown")
            with self._manager_lock:
                if registry.builtin is None:
                    builtins = Plugin(DISTRIBUTION, version, kind.plural, kind.module)
                    for owner, batch in self._call_hooks(module, builtins, only=registry):
                        owner.adopt(batch, builtin=True)
        except Exception as error:
            reason = _reason(error)
            raise BuiltinError(f"the built-in {kind.plural} ({kind.module}) cannot be loaded: {reason}") from error

    def load_plugins(self) -> Sequence[str]:
        """Discover, and return a sentence for each plugin that is not used: what a failed look-up tells."""
        found = self.discover()
        off = [replace(plugin, reason=f"{CHOICE} switches it off") for plugin in found.skipped]
        return [str(plugin) for plugin in (*found.failed, *off)]

    def discover(self, strict: bool = False) -> Report:
        """Load the installed plugins, once; see the module's function."""
        failed = self._discover_once()
        strict = strict or environment.flag(STRICT)
        if strict and self._found.problems:
            raise PluginError("; ".join(self._found.problems))
        self._warn(failed)
        return self._found

    def report(self) -> Report:
        """Load the installed plugins, once, and say what became of them; see the module's function."""
        self._warn(self._discover_once())
        return self._found

    def reset(self) -> None:
        """Forget all but the built-ins; see the module's function."""
        with self._discovery_lock:
            self._forget_plugins()
            for registry in self.registries:
                registry.local = {}

    def _warn(self, failed: Iterable[Plugin]) -> None:
        for plugin in failed:
            warnings.warn(f"a plugin was left out: {plugin}", PluginWarning, stacklevel=3)

    def _discover_once(self) -> tuple[Plugin, ...]:
        """Discover, unless that was done or this very thread is at it; return what failed, to be warned about.

        The warnings are the caller's, when nothing is half done any more: one may be made to raise.
        """
        with self._discovery_lock:
            if self._started:
                return ()
            self._started = True
            try:
                with _apart():
                    self._found = self._discover()
            except BaseException:  # Ctrl-C, or a built-in that cannot be loaded: the next look-up begins anew
                self._forget_plugins()
                raise
            return self._found.failed

    def _forget_plugins(self) -> None:
        with self._manager_lock:
            for name, _ in self._manager.list_name_plugin():
                if not name.startswith(f"{DISTRIBUTION}:"):
                    self._manager.unregister(name=name)
        for registry in self.registries:
            registry.third_party = {}
        self._started, self._found = False, Report()

    def _discover(self) -> Report:
        loaded, failed, skipped = [], [], []
        found = installed()
        choice = chosen()
        for plugin, entry_point in found:
            if not choice.takes(plugin):
                skipped.append(plugin)
                continue
            if entry_point is None:
                failed.append(plugin)
                continue
            try:
                batches = self._call_hooks(_loaded(entry_point), plugin)
            except (KeyboardInterrupt, BuiltinError):
                raise
            except BaseException as error:  # a plugin may raise anything, and SystemExit is as likely as the rest
                failed.append(replace(plugin, reason=_reason(error), traceback=traceback.format_exc()))
                continue
            for registry, batch in batches:
                registry.adopt(batch)
            origins = dict.fromkeys(entry.origin for _, batch in batches for entry in batch.entries.values())
            loaded.append(replace(plugin, registered=tuple(origins)))
        absent = choice.names.difference(*(plugin.names for plugin, _ in found))
        reason = f"{CHOICE} names it, and no such plugin is installed"
        failed += [Plugin(name, "", reason=reason) for name in sorted(absent)]
        return Report(tuple(loaded), tuple(failed), tuple(skipped), tuple(self._conflicts()))

    def _conflicts(self) -> Iterator[Conflict]:
        for registry in self.registries:
            for name, entries in sorted(registry.third_party.items()):
                if len(entries) > 1:
                    owners = tuple(entry.origin.distribution for entry in entries)
                    yield Conflict(
                        registry.kind, name, owners, tuple(registry.qualified(entry, name) for entry in entries)
                    )

    def _call_hooks(
        self, module: object, plugin: Plugin, only: Registry | None = None
    ) -> list[tuple[Registry, Batch]]:
        """Register one plugin with pluggy and call its hooks, no other's; return what it asks to register."""
        name = f"{plugin.distribution}:{plugin.entry_point}"
        with self._manager_lock:
            self._admit(module, name)
        try:
            batches = []
            for registry in self._hooked(module, only):
                hook = registry.row.hook
                if only is None:
                    self.load_builtins(registry)
                source = plugin.distribution, plugin.version, plugin.entry_point
                batch = Batch(registry.row, registry.builtin or (), *source)
                with self._manager_lock:
                    others = self._manager.get_plugins() - {module}
                    caller = self._manager.subset_hook_caller(hook, others)
                if returned := caller(register=batch.register):
                    raise PluginError(f"{hook} returned {shown(returned[0])}: it must call register instead")
                batch.close()
                batches.append((registry, batch))
            return batches
        except BaseException:
            with self._manager_lock:
                self._manager.unregister(name=name)
            raise

    def _admit(self, module: object, name: str) -> None:
        # pluggy compares and hashes plugins: one that has its own idea of equality would break the others.
        if type(module).__eq__ is not object.__eq__ or type(module).__hash__ is not object.__hash__:
            raise PluginError(
                f"the entry point must name a module, a class, or an object without __eq__; got {shown(module)}"
            )
        for known, other in self._manager.list_name_plugin():
            if other is module or known == name:
                raise PluginError(f"it is there already, as {known}")
        self._manager.register(module, name)

    def _hooked(self, module: object, only: Registry | None) -> list[Registry]:
        """Return the registries whose hooks a plugin implements; raise where a hook would be ignored."""
        hooks = {registry.row.hook: registry for registry in self.registries}
        callers = {caller.name: caller for caller in self._manager.get_hookcallers(module) or ()}
        for name, caller in callers.items():
            own = [each for each in caller.get_hookimpls() if each.plugin is module]
            if name not in hooks and not all(each.optionalhook for each in own):
                near = difflib.get_close_matches(name, hooks, n=1)
                hint = f"did you mean {near[0]}" if near else f"the hooks are {', '.join(hooks)}"
                raise PluginError(f"there is no hook {name}: {hint}")
            if name in hooks and any(each.argnames != ("register",) for each in own):
                raise PluginError(f"{name} must take one argument, named register")
        for name in sorted((hooks.keys() - callers.keys()) & set(dir(module))):
            if inspect.getattr_static(module, name, None) is not None:
                raise PluginError(f"{name} is not marked with @hookimpl")
        if not callers:
            raise PluginError(f"{shown(module)} has no function marked with @hookimpl")
        found = [registry for name, registry in hooks.items() if name in callers]
        if only is not None and found != [only]:
            raise PluginError(f"it must implement {only.row.hook} and no other hook; got {', '.join(callers)}")
        return found


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Load plugins apart from what this thread is at, so that what their modules do at import changes no result.

    A program being recorded does not take them for a part of it, a file's custom objects mean nothing to them, and
    the backend, the floating-point type and the random numbers to come stay what they were.
    """
    floatx, seed, recorder = backend.floatx(), random.get_state(), graph.state.recorder
    graph.state.recorder = None
    try:
        with no_scope(), _same_backend(), graph.enable_grad():
            yield
    finally:
        graph.state.recorder = recorder
        random.set_state(seed)
        backend.set_floatx(floatx)


def _same_backend() -> contextlib.AbstractContextManager[object]:
    try:
        return backend.use(backend.current().name)
    except (RuntimeError, ValueError):  # the environment names one that does not work here: who makes a Tensor is told
        return contextlib.nullcontext()


def _loaded(entry_point: EntryPoint) -> object:
    """Import what an entry point names; of a class, make an object."""
    named = entry_point.load()
    return named() if isinstance(named, type) else named


def _reason(error: BaseException) -> str:
    """Return an exception in one line, even where it cannot be shown."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "its message cannot be shown"
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


HOST = Host(REGISTRIES)


def discover(strict: bool = False) -> Report:
    """Load the installed plugins now, rather than at the first look-up that needs them; done once a process.

    Args:
        strict: Whether any problem is an error; ``TINYGRAD_DNN_PLUGINS_STRICT=1`` says so for every look-up.

    Returns:
        What was found; a plugin that failed is also warned about, once, with a ``PluginWarning``.

    Raises:
        PluginError: A plugin failed or two claim one name, and this is strict.
        ValueError: The environment variable says neither yes nor no.

    Example:
        >>> td.plugins.discover().failed
        ()
    """
    return HOST.discover(strict)


def report() -> Report:
    """Return which plugins are used, which failed and why, and which names are in conflict; never strict.

    Example:
        >>> [plugin.distribution for plugin in td.plugins.report().failed]
        []
    """
    return HOST.report()


def reset() -> None:
    """Forget all plugins and what this process registered itself; the next look-up discovers anew. For tests.

    Modules that were imported stay imported.

    Example:
        >>> td.plugins.reset()
    """
    HOST.reset()
