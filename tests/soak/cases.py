"""What is tried on random models and files: a case is drawn by a seed, and raises an error where something differs."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dnn as td
from tests.saving import mutations
from tests.saving.state_mutations import mutated_state
from tests.soak.networks import Draw, Network, chance, described, optimizer, pick
from tests.training import resuming
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.saving import FileError, tree

# Of an array's norm, where arithmetic is not done in the same order.
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


class PassedOver(Exception):  # noqa: N818  # it is no error
    """What was drawn is nothing that could be tried."""


@contextmanager
def noted(model: td.Model) -> Iterator[None]:
    """Say in an error what the model was."""
    try:
        yield
    except PassedOver:
        raise
    except Exception as error:
        error.add_note(described(model))
        raise


def assert_equal(found: Any, expected: Any, what: str) -> None:
    """Compare arrays bit for bit, except that no not-a-number differs from another."""
    assert len(found) == len(expected), what
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), f"{what}, array {number}", strict=True)


def assert_close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Compare arrays by the norm of what is expected, to which a tenth of the greatest of all their norms counts.

    Without that, what is zero but for rounding would be compared with rounding: a sum of terms that cancel, as the
    gradient of a bias before a normalization, is known within rounding of the terms.
    """
    assert len(found) == len(expected), what
    arrays = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, expected, strict=True)]
    greatest = max((float(np.linalg.norm(b)) for _, b in arrays if b.dtype.kind == "f"), default=0.0)
    for number, (a, b) in enumerate(arrays):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{what}, array {number}"
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, f"{what}, array {number}")
            continue
        difference, size = np.linalg.norm(a - b), np.linalg.norm(b)
        most = tolerance * (size + 0.1 * greatest)
        assert difference <= most, f"{what}, array {number}: {difference:.3g} of {size:.3g}\n{a}\n{b}"


def arrays_of(tree_of_tensors: Any) -> list[np.ndarray]:
    """Return what Tensors in lists, tuples and dicts hold."""
    leaves = td.nested.leaves(tree_of_tensors)
    return [x.numpy() if isinstance(x, td.Tensor) else np.asarray(x) for x in leaves]


def state_of(model: td.Model) -> list[np.ndarray]:
    """Return weights and the optimizer's state."""
    return arrays_of([*model.weights, *model.optimizer.variables])


def predictions(model: td.Model, x: Any) -> list[np.ndarray]:
    """Return what a model predicts."""
    return arrays_of(model.predict_on_batch(x))


def require_finite(arrays: list[np.ndarray]) -> None:
    """Pass over what overflows: then rounding decides whether there is a number at all."""
    if not all(np.isfinite(x).all() and np.abs(x).max(initial=0) < 1e6 for x in arrays if x.dtype.kind == "f"):
        raise PassedOver("not finite")


def trained(draw: Draw, network: Network, steps: int = 2) -> td.Model:
    """Return a model after a few steps."""
    model = network.build(jit_compile=False)
    for number in range(steps):
        model.train_on_batch(*network.batch(model, int(draw.integers(1, 9)), number))
    return model


# -- eager, replayed, machine code, the strict backend -----------------------------------------------------------------


def replay(draw: Draw, folder: Path) -> None:
    """Steps run as programs give the same bits as single operations, whatever lengths of batches come."""
    network = Network(draw)
    lengths = [int(n) for n in draw.integers(1, 9, size=3)]
    order = [lengths[0]] * 4 + [lengths[1]] + [lengths[0]] * 2 + [lengths[1]] * 4 + [lengths[2]]
    eager, replayed = (network.build(jit_compile=way) for way in (False, "auto"))
    with noted(eager), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for number, samples in enumerate(order):
            seen = []
            for model in (eager, replayed):
                batch = network.batch(model, samples, number)
                logs = model.train_on_batch(*batch)
                found = [logs, model.test_on_batch(*batch), *predictions(model, batch[0]), *state_of(model)]
                seen.append(arrays_of(found))
            assert_equal(seen[1], seen[0], f"step {number}, {samples} samples")
    made = [entry.run for each in replayed._programs.values() for entry in each._entries.values()]
    assert any(run is not None for run in made), f"no step became a program\n{described(replayed)}"


def _compare_native(function: Any, batches: list[Any], dtype: str, what: str) -> None:
    from tinygrad_dnn.jit.native import lower

    given = [[td.tensor(x) for x in td.nested.leaves(batch)] for batch in batches]

    def step(leaves: list[td.Tensor]) -> Any:
        waiting = iter(leaves)
        return function(td.nested.map_leaves(lambda x: next(waiting), batches[0]))

    step(given[0])
    program = simplify(record(step, given[0]).program)
    changed = [tensor for tensor, _ in program.updates]
    seen = []
    for run in (Interpreted(program), lower(program)):
        before = [x.data for x in changed]
        for x in changed:
            x.data = x.data.copy()
        seen.append([np.asarray(x) for x in run([x.data for x in given[1]])] + arrays_of(changed))
        for x, data in zip(changed, before, strict=True):
            x.data = data
    require_finite(seen[0])
    assert_close(seen[1], seen[0], TOLERANCE[dtype], what)


def native(draw: Draw, folder: Path) -> None:
    """One step as machine code, from equal state, is within rounding of the same step's single operations.

    The step is one of SGD, and that of the drawn optimizer is compared on gradients of ordinary size: a rule that
    divides a gradient by its own size, as Adam's does, makes a step of what is zero but for rounding.
    """
    _require("llvmlite")
    network = Network(draw, deepest=4)
    model = network.build(optimizer=td.optimizers.SGD(0.1), jit_compile=False)
    samples = int(draw.integers(1, 9))
    batches = [tuple(network.batch(model, samples, number)) for number in range(2)]
    with noted(model):
        _compare_native(model.train_step, batches, network.dtype, "step")


def optimizers(draw: Draw, folder: Path) -> None:
    """An optimizer's step as machine code, and on the strict backend, is within rounding of its single operations."""
    dtype = td.backend.floatx()
    shapes = [tuple(int(n) for n in draw.integers(1, 7, size=draw.integers(0, 4))) for _ in range(draw.integers(1, 5))]
    values = [draw.normal(size=shape).astype(dtype) for shape in shapes]
    gradients = [[draw.normal(size=shape).astype(dtype) for shape in shapes] for _ in range(3)]
    seed = int(draw.integers(2**31))
    said = ""
    try:
        seen = []
        for backend in ("numpy", "strict"):
            with td.backend.use(backend):
                rule, weights = optimizer(np.random.default_rng(seed)), [td.Variable(x) for x in values]
                said = f"{td.registry.optimizers.serialize(rule)} on {shapes} of {dtype}"
                for given in gradients:
                    rule.apply([td.tensor(x) for x in given], weights)
                seen.append(arrays_of([*weights, *rule.variables]))
        assert_close(seen[1], seen[0], TOLERANCE[dtype], "weights on strict")
        if _has("llvmlite"):
            rule, weights = optimizer(np.random.default_rng(seed)), [td.Variable(x) for x in values]
            _compare_native(lambda given: rule.apply(given, weights), gradients[:2], dtype, "weights")
    except AssertionError as error:
        error.add_note(said)
        raise


def strict(draw: Draw, folder: Path) -> None:
    """The double that is as strict as CuPy gives what NumPy gives, within rounding.

    The steps are those of SGD, and each is made from equal weights: see ``native``.
    """
    network = Network(draw)
    lengths = [int(n) for n in draw.integers(1, 9, size=3)]
    models = []
    for backend in ("numpy", "strict"):
        with td.backend.use(backend):
            models.append(network.build(optimizer=td.optimizers.SGD(0.1)))
    with noted(models[0]):
        for number, samples in enumerate(lengths):
            seen = []
            for backend, model in zip(("numpy", "strict"), models, strict=True):
                with td.backend.use(backend):
                    batch = network.batch(model, samples, number)
                    logs = model.train_on_batch(*batch)
                    seen.append(arrays_of(logs) + arrays_of(model.weights) + predictions(model, batch[0]))
            require_finite(seen[0])
            assert_close(seen[1], seen[0], TOLERANCE[network.dtype], f"step {number}, {samples} samples")
            with td.backend.use("strict"):
                models[1].set_weights([weight.numpy() for weight in models[0].weights])


# -- files -------------------------------------------------------------------------------------------------------------


def saved(draw: Draw, folder: Path) -> None:
    """A saved model predicts the same bits, goes on learning the same, and its weights alone fit a new one."""
    network = Network(draw)
    model = trained(draw, network)
    with noted(model):
        path, weights = folder / "model", folder / "weights"
        model.save(path)
        model.save_weights(weights)
        loaded, other = td.models.load_model(path), network.build()
        other.load_weights(weights)
        x = network.batch(model, 5, 9)[0]
        expected = predictions(model, x)
        assert_equal(predictions(loaded, x), expected, "loaded model")
        assert_equal(predictions(other, x), expected, "loaded weights")
        loaded.save(folder / "again")
        assert (folder / "again").read_bytes() == path.read_bytes(), "saved again, it is another file"
        for number in range(3):
            for each in (model, loaded):
                each.train_on_batch(*network.batch(each, 4, 20 + number))
            assert_equal(state_of(loaded), state_of(model), f"step {number} after loading")


def resumed(draw: Draw, folder: Path) -> None:
    """An interrupted training that goes on from its backup ends with the same bits as one that ran straight through."""
    network = Network(draw, deepest=4)
    way = pick(draw, (False, "auto", "auto", True)) if _has("llvmlite") else "auto"
    samples, batch = int(draw.integers(5, 20)), int(draw.integers(2, 7))
    model = network.build()
    x, y, weight = network.data(model, samples)
    options: dict[str, Any] = {
        "x": x, "y": y, "batch_size": batch, "shuffle": chance(draw, 0.7), "epochs": 3,
        "sample_weight": weight if network.weighted else None,
    }  # fmt: skip
    if chance(draw, 0.4):
        options["validation_split"] = 0.25
    steps = 3 * 2 * -(-samples // batch)
    places = sorted(int(place) for place in draw.integers(1, steps, size=draw.integers(1, 3)))
    frequency = pick(draw, ("epoch", 1, 2, 3))

    def build() -> td.Model:
        return network.build(jit_compile=way)

    def callbacks() -> list[Any]:
        # ReduceLROnPlateau sets the learning rate, and refuses to where a schedule does.
        made = resuming.callbacks()
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        scheduled = isinstance(optimizer.get_config()["learning_rate"], dict)
        return [one for one in made if not (scheduled and isinstance(one, td.callbacks.ReduceLROnPlateau))]

    with noted(model):
        expected = resuming.straight(build, callbacks, **options)
        got = resuming.resumed(build, folder / "backup", places, frequency, callbacks, **options)
        differ = [key for key in expected if got.get(key) != expected[key]]
        assert not differ, f"{differ} differ: interrupted at {places}, saved every {frequency}, jit_compile={way}"


def model_file(draw: Draw, folder: Path) -> None:
    """A changed model file is refused in our own words, or still is a model."""
    model = trained(draw, Network(draw), 1)
    model.save(folder / "model")
    content = (folder / "model").read_bytes()
    for _ in range(10):
        changed = mutations.mutated(content, draw)
        (folder / "changed").write_bytes(changed)
        for read in (td.models.load_model, td.models.inspect, tree.read_state):
            _refused_or_read(read, folder / "changed", len(changed))


def _refused_or_read(read: Callable[[Path], Any], file: Path, size: int) -> None:
    with warnings.catch_warnings(), memory_of(2 * size + (64 << 20)):
        warnings.simplefilter("ignore")
        try:
            read(file)
            return
        except FileError as error:
            said = str(error)
    assert str(file) in said
    assert len(said) < 2000


@contextmanager
def memory_of(most: int) -> Iterator[None]:
    """Let the process take so many more bytes at most; an allocation beyond that raises MemoryError."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # elsewhere than on Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def backup_file(draw: Draw, folder: Path) -> None:
    """A changed backup, its checksum made to fit in some, is refused in our own words, or training goes on from it."""
    network = Network(draw, deepest=2)
    model = network.build(jit_compile=False)
    x, y, _ = network.data(model, 6)
    backups = folder / "backups"
    keep = td.callbacks.BackupAndRestore(backups, delete_checkpoint=False, keep=1)
    stop = td.callbacks.EarlyStopping("loss", patience=9)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[keep, stop])
    (path,) = backups.glob("backup-*")
    content = path.read_bytes()
    for _ in range(6):
        changed = mutated_state(content, draw)
        for each in backups.glob("backup-*"):
            each.unlink()
        path.write_bytes(changed)
        _refused_or_read(tree.read_state, path, len(changed))
        again = network.build(jit_compile=False)
        stop = td.callbacks.EarlyStopping("loss", patience=9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                again.fit(x, y, epochs=2, verbose=0, callbacks=[keep, stop])
                continue
            except ValueError as error:
                said = str(error)
        assert str(backups) in said


# -- made again --------------------------------------------------------------------------------------------------------


def remade(draw: Draw, folder: Path) -> None:
    """A clone with the same weights predicts the same bits; a fused model the same within rounding."""
    network = Network(draw, favourite="batchnormalization")
    model = trained(draw, network)
    with noted(model):
        x = network.batch(model, 5, 9)[0]
        expected = predictions(model, x)
        clone = td.models.clone_model(model)
        clone.set_weights(model.get_weights())
        assert_equal(predictions(clone, x), expected, "clone")
        try:
            fused = td.fuse(model)
        except ValueError as error:
            if "nothing to fuse" in str(error):
                return
            raise PassedOver(f"fuse: {error}") from None
        require_finite(expected)
        # Scales of a batch normalisation are folded into kernels, in float32: two roundings instead of one.
        assert_close(predictions(fused, x), expected, 3 * TOLERANCE[network.dtype], "fused")


def exported(draw: Draw, folder: Path) -> None:
    """An ONNX file gives what the model predicts."""
    _require("onnx")
    _require("onnxruntime")
    import onnxruntime

    td.backend.set_floatx("float32")  # onnxruntime lacks some operations in double precision
    network = Network(draw)
    model = trained(draw, network)
    with noted(model):
        path = folder / "model.onnx"
        td.export.onnx(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for samples in (1, 4):
            x = network.batch(model, samples, 9)[0]
            expected = predictions(model, x)
            require_finite(expected)
            given = dict(zip(model.input_names, x if isinstance(x, list) else [x], strict=True))
            assert_close(session.run(None, given), expected, TOLERANCE["float32"], f"{samples} samples")


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(package: str) -> None:
    if not _has(package):
        raise PassedOver(f"{package} is not installed")


KINDS: dict[str, Callable[[Draw, Path], None]] = {
    case.__name__: case
    for case in (
        replay, native, optimizers, strict, saved, resumed, model_file, backup_file, remade, exported,
    )
}  # fmt: skip


def run(kind: str, seed: int, number: int, folder: Path) -> None:
    """Try one case.

    Raises:
        PassedOver: What was drawn is nothing that could be tried.
        Exception: Something is not as it must be.
    """
    draw = np.random.default_rng([seed, list(KINDS).index(kind), number])
    before = td.backend.floatx()
    td.backend.set_floatx("float64" if chance(draw, 0.3) else "float32")
    try:
        with td.backend.use("numpy"), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.filterwarnings("ignore", "EarlyStopping watches")
            KINDS[kind](draw, folder)
    finally:
        td.backend.set_floatx(before)
