"""Comparisons: equal budgets, failures that stop nobody, going on after an interruption, what the manifest says."""

from __future__ import annotations

import json
import math
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import tinygrad_dnn as td
from tests.comparing.small import NETWORK, arguments, without_times
from tests.plugin_packages.packages import PACKAGES, in_this_process
from tinygrad_dnn import comparing
from tinygrad_dnn.comparing import compare, plan


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    return arguments(tmp_path)


@pytest.fixture
def own() -> Iterator[None]:
    """Register optimizers that go wrong, each in its own way."""

    class Raises(td.optimizers.SGD):
        def update(self, param, grad, state, learning_rate):
            raise ZeroDivisionError("in the\nplugin")

    class Diverges(td.optimizers.SGD):
        def update(self, param, grad, state, learning_rate):
            return param * math.nan, state

    class Needs(td.optimizers.SGD):
        def __init__(self, size, learning_rate=0.1):
            super().__init__(learning_rate)

    class Still(td.optimizers.SGD):
        def update(self, param, grad, state, learning_rate):
            return param, state

    class Exits(td.optimizers.SGD):
        def update(self, param, grad, state, learning_rate):
            raise SystemExit(3)

    for each in (Raises, Diverges, Needs, Still, Exits):
        td.registry.optimizers.register(each)
    yield
    td.plugins.reset()


def test_one_that_learns_ranks_before_one_that_does_not(asked: dict[str, Any], own: None, backend: str) -> None:
    found = compare("optimizers", ["still", "adam"], **asked | {"budget": "6epochs", "seeds": 6})
    assert [(each.name, each.rank, each.tied) for each in found.standings] == [("adam", 1, ()), ("still", 2, ())]
    assert found.plan.backend == backend
    (difference,) = found.differences
    assert difference.interval.mean < -0.3
    assert not difference.tied


def test_each_candidate_has_the_same_budget(asked: dict[str, Any]) -> None:
    asked |= {"budget": "7steps", "tuning_seeds": 2}
    found = compare("optimizers", ["sgd", "adam", "sgd(momentum=0.9)"], **asked).manifest()
    for result in found["results"]:
        assert len(result["trials"]) == 4
        assert len({trial["learning_rate"] for trial in result["trials"]}) == 4
        assert [run["seed"] for run in result["runs"]] == [44, 45, 46]
        assert {tuple(run["steps"]) for run in result["runs"]} == {(3, 6, 7)}
        losses = {}
        for trial in result["trials"]:
            assert [training["seed"] for training in trial["trainings"]] == [42, 43]
            assert [training["steps"] for training in trial["trainings"]] == [[3], [3]]
            losses[trial["learning_rate"]] = sum(t["history"]["val_loss"][-1] for t in trial["trainings"]) / 2
            assert trial["loss"] == pytest.approx(losses[trial["learning_rate"]])
        assert result["learning_rate"] == min(losses, key=losses.__getitem__)
    assert found["steps"] == {"an epoch": 3, "a trial": 3, "a run": 7}


def test_a_run_is_what_fit_gives(asked: dict[str, Any]) -> None:
    found = compare("optimizers", ["adam"], **asked).manifest()["results"][0]
    data = np.load(asked["dataset"])
    td.utils.set_random_seed(44)
    model = td.Sequential([
        td.layers.Dense(8, activation="elu", kernel_initializer="he_normal", input_shape=(4,)),
        td.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(td.optimizers.Adam(found["learning_rate"]), "sparse_categorical_crossentropy", metrics=["accuracy"])
    valid = data["x_valid"], data["y_valid"]
    history = model.fit(data["x_train"], data["y_train"], epochs=3, verbose=0, validation_data=valid).history
    assert found["runs"][1]["history"] == history
    test = model.evaluate(data["x_test"], data["y_test"], verbose=0, return_dict=True)
    assert found["runs"][1]["test"] == test


def test_same_seed_same_weights_whoever_trains(asked: dict[str, Any]) -> None:
    asked |= {"rates": [1e-30], "trials": 1}
    runs = [each["runs"] for each in compare("optimizers", ["sgd", "adam"], **asked).manifest()["results"]]
    assert [run["test"] for run in runs[0]] == [run["test"] for run in runs[1]]
    assert runs[0][0]["test"] != runs[0][1]["test"]


def test_a_failure_is_told_and_stops_nobody(asked: dict[str, Any], own: None) -> None:
    found = compare("optimizers", ["raises", "sgd", "diverges", "needs", "exits"], **asked)
    assert [each.name for each in found.standings] == ["sgd"]
    reasons = {each["candidate"]: each["reason"] for each in found.manifest()["results"]}
    assert reasons == {
        "sgd": "",
        "raises": "ZeroDivisionError: in the plugin",
        "diverges": "diverged at each of 4 learning rates, 0.0001 to 0.1",
        "needs": reasons["needs"],
        "exits": "SystemExit: 3",
    }
    assert "size" in reasons["needs"]
    raised = next(each for each in found.manifest()["results"] if each["candidate"] == "raises")
    assert "in update" in raised["trials"][0]["trainings"][0]["traceback"]
    assert found.done == found.total == 4 + 3 + 4 + 4 + 4 + 4
    json.dumps(found.manifest(), allow_nan=False)
    alone = compare("optimizers", ["sgd"], **asked).manifest()["results"]
    both = [each for each in found.manifest()["results"] if each["candidate"] == "sgd"]
    assert [run["history"] for run in alone[0]["runs"]] == [run["history"] for run in both[0]["runs"]]


def test_a_run_that_diverges_keeps_a_candidate_from_its_rank(asked: dict[str, Any]) -> None:
    runs = {"count": 0}

    @td.registry.optimizers.register
    class Moody(td.optimizers.SGD):
        def __init__(self, learning_rate=0.1):
            super().__init__(learning_rate)
            runs["count"] += 1
            self.bad = runs["count"] == 7  # the second run: one of the plan's, four trials, and one before

        def update(self, param, grad, state, learning_rate):
            return param * (math.nan if self.bad else 1.0), state

    try:
        found = compare("optimizers", ["moody"], **asked | {"rates": [0.1], "trials": 4})
        (result,) = found.manifest()["results"]
    finally:
        td.plugins.reset()
    assert [run["status"] for run in result["runs"]].count("diverged") == 1
    assert result["reason"].startswith("diverged in 1 of 3 runs: the loss was no number after")
    assert result["rank"] is None
    assert not found.standings


def test_going_on_gives_what_a_run_straight_through_gives(asked: dict[str, Any], tmp_path: Path) -> None:
    asked |= {"trials": 2, "tuning_seeds": 2}
    straight = compare("optimizers", ["sgd", "adam"], **asked).manifest()

    def stops(after: int):
        def progress(comparison, job, result, recalled):
            if job is not None and not recalled and comparison.done >= after:
                raise KeyboardInterrupt

        return progress

    folder = tmp_path / "kept"
    for after in (1, 6, 11):
        with pytest.raises(KeyboardInterrupt):
            compare("optimizers", ["sgd", "adam"], folder=folder, progress=stops(after), **asked)
        assert len([*folder.rglob("runs/*/*.json")]) == after
        assert not (folder / "manifest.json").exists()
        assert not (folder / "lock").exists()
    recalled = []
    last = compare("optimizers", ["sgd", "adam"], folder=folder, **asked,
                   progress=lambda comparison, job, result, kept: recalled.append(kept))  # fmt: skip
    assert recalled.count(True) == 11
    assert without_times(last.manifest()) == without_times(straight)
    assert json.loads((folder / "manifest.json").read_text()) == last.manifest()


def test_more_candidates_and_seeds_use_what_is_there(asked: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    compare("optimizers", ["sgd"], folder=folder, **asked)
    fresh = []

    def progress(comparison, job, result, recalled):
        fresh.extend([job] * (job is not None and not recalled))

    found = compare("optimizers", ["adam", "sgd"], folder=folder, progress=progress, **asked | {"seeds": 4})
    assert [(job.label, job.tested) for job in fresh if job.label == "sgd"] == [("sgd", True)]
    expected = compare("optimizers", ["adam", "sgd"], **asked | {"seeds": 4})
    assert without_times(found.manifest()) == without_times(expected.manifest())


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"budget": "2epochs"}, "the budget '3 epochs', and this one has '2 epochs'"),
        ({"batch_size": 16}, "the batch size 32"),
        ({"trials": 3}, "the trials 4"),
        ({"rates": [1e-3, 1e-1]}, "the rates"),
        ({"seed": 1}, "the seed 42"),
        ({"tuning_seeds": 2}, "the tuning seeds 1"),
        ({"tuning_budget": "3epochs"}, "the tuning budget"),
        ({"samples": 50}, "the samples None"),
        ({"network": "elu"}, "the network"),
        ({"dataset": "other.npz"}, "the dataset 'three.npz, SHA-256"),
        ({"backend": "strict"}, "the backend 'numpy'"),
    ],
)
def test_a_changed_option_is_refused(
    asked: dict[str, Any], tmp_path: Path, change: dict, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    asked |= {"seeds": 1, "trials": 2, "backend": "numpy"} | ({"trials": 4} if "trials" in change else {})
    compare("optimizers", ["sgd"], folder=folder, **asked)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if "dataset" in change:
        arrays = dict(np.load(asked["dataset"]))
        np.savez(tmp_path / "other.npz", **arrays | {"x_train": arrays["x_train"] * 2})
        change = {"dataset": tmp_path / "other.npz"}
    with pytest.raises(ValueError, match=rf"kept holds a comparison with {option}"):
        compare("optimizers", ["sgd"], folder=folder, **asked | change)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_versions_are_refused(asked: dict[str, Any], tmp_path: Path) -> None:
    folder, site = tmp_path / "kept", tmp_path / "site"
    site.mkdir()
    asked |= {"seeds": 1, "trials": 2}
    with in_this_process(site, [PACKAGES["tinygrad-dnn-torch"]]):
        compare("optimizers", ["torch.nadam"], folder=folder, **asked)
        options = json.loads((folder / "options.json").read_text())
        options["origins"]["torch.nadam"][0]["version"] = "0.0.9"
        (folder / "options.json").write_text(json.dumps(options))
        told = r"trainings of torch\.nadam from tinygrad-dnn-torch 0\.0\.9, and here it is from tinygrad-dnn-torch 0"
        with pytest.raises(ValueError, match=told):
            compare("optimizers", ["torch.nadam"], folder=folder, **asked)
    options["asked"]["version of numpy"] = "1.0"
    (folder / "options.json").write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r"the version of numpy '1\.0'"):
        compare("optimizers", ["sgd"], folder=folder, **asked)


def test_another_version_of_a_plugin_in_the_network_is_refused(asked: dict[str, Any], tmp_path: Path) -> None:
    folder, site = tmp_path / "kept", tmp_path / "site"
    site.mkdir()
    asked = arguments(tmp_path, NETWORK.replace('"elu"', '"bent_identity"')) | {"seeds": 1, "trials": 2}
    with in_this_process(site, [PACKAGES["tinygrad-dnn-bent-identity"]]):
        compare("optimizers", ["sgd"], folder=folder, **asked)
        options = json.loads((folder / "options.json").read_text())
        assert options["asked"]["network's plugins"] == ["bent_identity from tinygrad-dnn-bent-identity 0.1.0"]
        options["asked"]["network's plugins"] = ["bent_identity from tinygrad-dnn-bent-identity 0.0.9"]
        (folder / "options.json").write_text(json.dumps(options))
        with pytest.raises(ValueError, match=r"the network's plugins .*0\.0\.9"):
            compare("optimizers", ["sgd"], folder=folder, **asked)


def test_the_version_of_cupy_counts_where_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(__version__="14.2.0"))
    assert plan.versions("cupy") == plan.versions() | {"cupy": "14.2.0"}


def test_the_data_may_be_named_otherwise_and_move(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    asked |= {"seeds": 1, "trials": 2}
    before = compare("optimizers", ["sgd"], folder=folder, **asked).manifest()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(asked["dataset"], tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    recalled = []
    found = compare("optimizers", ["sgd"], folder=folder, **asked | {"dataset": "elsewhere/three.npz"},
                    progress=lambda comparison, job, result, kept: recalled.append(kept))  # fmt: skip
    assert recalled == [False, True, True, True]
    assert found.manifest() == before


def test_data_that_were_written_anew_are_read_anew(asked: dict[str, Any]) -> None:
    before = compare("optimizers", ["sgd"], **asked).manifest()
    arrays = dict(np.load(asked["dataset"]))
    np.savez(asked["dataset"], **arrays | {"x_train": arrays["x_train"] * 2})
    after = compare("optimizers", ["sgd"], **asked).manifest()
    assert after["options"]["dataset"] != before["options"]["dataset"]
    assert after["results"][0]["runs"][0]["history"] != before["results"][0]["runs"][0]["history"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job": {}, "result": {}}'])
def test_a_damaged_file_is_named(asked: dict[str, Any], tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "kept"
    asked |= {"seeds": 1, "trials": 2}
    compare("optimizers", ["sgd"], folder=folder, **asked)
    file = folder / "runs" / "sgd" / "run-seed-43.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"run-seed-43\.json is .*: delete it"):
        compare("optimizers", ["sgd"], folder=folder, **asked)
    file.unlink()
    compare("optimizers", ["sgd"], folder=folder, **asked)
    (folder / "options.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"options\.json is damaged"):
        compare("optimizers", ["sgd"], folder=folder, **asked)


def test_what_failed_is_tried_again(asked: dict[str, Any], own: None, tmp_path: Path) -> None:
    compare("optimizers", ["raises"], folder=tmp_path / "kept", **asked)
    assert not [*(tmp_path / "kept").rglob("runs/*/*.json")]


def test_rates_that_look_alike_stay_apart(asked: dict[str, Any], tmp_path: Path) -> None:
    asked |= {"seeds": 1, "trials": 2, "rates": [0.01234561, 0.01234562]}
    found = compare("optimizers", ["sgd"], folder=tmp_path / "kept", **asked)
    assert len(found.manifest()["results"][0]["trials"]) == 2
    assert len([*(tmp_path / "kept").rglob("trial-*.json")]) == 2


def test_names_that_files_cannot_have_stay_apart(asked: dict[str, Any], tmp_path: Path) -> None:
    asked |= {"seeds": 1, "trials": 2}
    compare("optimizers", ["sgd(momentum=0.9)", "sgd(momentum=0.8)", "sgd"], folder=tmp_path / "kept", **asked)
    assert len([*(tmp_path / "kept" / "runs").iterdir()]) == 3


def test_manifest(asked: dict[str, Any], tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    network = NETWORK.replace('"elu"', '"bent_identity"')
    asked = arguments(tmp_path, network)
    with in_this_process(site, [PACKAGES["tinygrad-dnn-torch"], PACKAGES["tinygrad-dnn-bent-identity"]]):
        said = compare("optimizers", ["sgd", "torch.nadam"], folder=tmp_path / "kept", **asked).manifest()
    assert said == json.loads((tmp_path / "kept" / "manifest.json").read_text())
    assert said["versions"] == {**said["versions"], "numpy": np.__version__, "tinygrad_dnn": td.__version__}
    torch = {"name": "torch.nadam", "kind": "optimizers", "distribution": "tinygrad-dnn-torch", "version": "0.1.0",
             "entry_point": "torch"}  # fmt: skip
    assert torch in said["plugins"]
    assert {row["name"] for row in said["plugins"]} == {"torch.nadam", "bent_identity"}
    assert next(each["from"] for each in said["results"] if each["name"] == "torch.nadam") == [torch]
    assert said["options"]["candidates"] == ["sgd", "torch.nadam"]
    assert (said["options"]["seeds"], said["options"]["budget"]) == (3, "3 epochs")
    for result in said["results"]:
        scores = [run["test"]["accuracy"] for run in result["runs"]]
        assert (result["mean"], result["half"]) == pytest.approx(comparing.interval(scores))
        for run in result["runs"]:
            assert set(run["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
            assert all(len(values) == 3 for values in run["history"].values())


def test_judged_by_loss(tmp_path: Path) -> None:
    asked = arguments(tmp_path, 'metric = "loss"\n' + NETWORK)
    found = compare("optimizers", ["sgd(momentum=0.9)", "adagrad"], **asked | {"seeds": 4})
    assert found.standings[0].score.mean < found.standings[1].score.mean
    assert found.plan.resolution == 0
    before = matplotlib.get_backend()
    matplotlib.use("svg")
    try:
        comparing.draw(found, tmp_path / "curves.png")
        assert matplotlib.get_backend() == "svg", "the program's own figures are its own"
    finally:
        matplotlib.use(before)


def test_accuracies_are_counted_in_samples(asked: dict[str, Any]) -> None:
    found = compare("optimizers", ["sgd", "sgd(momentum=0.0)"], **asked | {"seeds": 2})
    assert found.plan.resolution == 1 / 60
    (difference,) = found.differences
    assert difference.interval == pytest.approx((0, 12.7062 / 60 / math.sqrt(2)), rel=1e-5)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"])
def test_regularizers_are_judged_without_what_they_add(tmp_path: Path, loss: str) -> None:
    loss = f'loss = {{ class_name = "{loss}", config = {{}} }}\n' if loss[0].isupper() else f'loss = "{loss}"\n'
    asked = arguments(tmp_path, 'metric = "loss"\n' + loss + NETWORK) | {"batch_size": 7}
    found = compare("regularizers", ["none", "l2(l2=0.5)"], **asked | {"rates": [1e-30], "trials": 1})
    none, l2 = (each.runs for each in found.contests)
    for seed, run in none.items():  # nothing was learnt: the networks are the same
        assert l2[seed]["test"]["loss"] == pytest.approx(run["test"]["loss"], rel=1e-6)
        assert l2[seed]["history"]["val_loss"] == pytest.approx(run["history"]["val_loss"], rel=1e-6)
        assert l2[seed]["test"]["penalized_loss"] > 1.5 * run["test"]["loss"]
    assert found.contests[0].losses == pytest.approx(found.contests[1].losses, rel=1e-6)


@pytest.mark.parametrize("kind", ["schedulers", "regularizers", "constraints"])
def test_none_is_a_candidate(asked: dict[str, Any], kind: str) -> None:
    other = {"schedulers": "cosine_decay", "regularizers": "l2(l2=0.1)", "constraints": "max_norm(max_value=0.1)"}
    found = compare(kind, ["none", other[kind]], **asked | {"trials": 2}).manifest()["results"]
    plain = compare("optimizers", ["nadam"], **asked | {"trials": 2}).manifest()["results"][0]
    by_name = {each["candidate"]: [run["history"] for run in each["runs"]] for each in found}
    assert by_name["none"] == [run["history"] for run in plain["runs"]]
    assert by_name[other[kind]] != by_name["none"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 0}, "compare: seeds must be an integer in"),
        ({"tuning_seeds": 0}, "compare: tuning_seeds must be"),
        ({"seed": -1}, "compare: seed must be"),
        ({"trials": 1}, r"compare: trials must be an integer in \[2, 14\], not 1"),
        ({"trials": 15}, "compare: trials must be"),
        ({"rates": []}, "compare: rates must be one or more"),
        ({"rates": [1e-3, 1e-3]}, "compare: rates must be one or more different"),
        ({"rates": [0.0]}, "compare: each rate must be a number above 0"),
        ({"batch_size": 0}, "compare: batch_size must be"),
        ({"samples": 0}, "compare: samples must be"),
        ({"workers": -1}, "compare: workers must be"),
        ({"budget": "1h"}, "budget: '1h' is a time"),
        ({"tuning_budget": "1s"}, "tuning budget: '1s' is a time"),
        ({"dataset": "sampel"}, "did you mean 'sample'"),
        ({"dataset": "nowhere.npz"}, "an .npz file that is there"),
        ({"backend": "cuda"}, "unknown backend 'cuda'"),
    ],
)
def test_refused(asked: dict[str, Any], change: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compare("optimizers", ["sgd"], **asked | change)


def test_what_this_program_registered_is_known_to_no_worker(asked: dict[str, Any], own: None) -> None:
    with pytest.raises(ValueError, match=r"registered 'raises' itself.*workers=0"):
        compare("optimizers", ["raises"], **asked | {"workers": 2})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays: arrays.pop("x_test"), "has no array x_test"),
        (lambda arrays: arrays.update(y_valid=arrays["y_valid"][:3]), "x_valid of shape"),
        (lambda arrays: arrays.update(x_test=arrays["x_test"][:, :2]), "x_test of shape"),
        (lambda arrays: arrays.update(x_test=np.array([{}])), "is no .npz file"),
    ],
)
def test_a_file_of_other_arrays_is_refused(asked: dict[str, Any], tmp_path: Path, change: Any, told: str) -> None:
    arrays = dict(np.load(asked["dataset"]))
    change(arrays)
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(ValueError, match=told):
        compare("optimizers", ["sgd"], **asked | {"dataset": tmp_path / "wrong.npz"})
    shutil.copyfile(asked["network"], tmp_path / "text.npz")
    with pytest.raises(ValueError, match=r"is no \.npz file"):
        compare("optimizers", ["sgd"], **asked | {"dataset": tmp_path / "text.npz"})


def test_standardized_by_what_is_trained_on(asked: dict[str, Any]) -> None:
    raw = comparing.samples.find(str(asked["dataset"]), 50, False)
    scaled = comparing.samples.find(str(asked["dataset"]), 50, True)
    mean, std = raw.x_train.mean(0), raw.x_train.std(0)
    whole = np.load(asked["dataset"])
    for part in ("x_train", "y_train"):
        np.testing.assert_array_equal(getattr(raw, part), whole[part][:50])
    for part in ("x_train", "x_valid", "x_test"):
        np.testing.assert_allclose(getattr(scaled, part), (getattr(raw, part) - mean) / std, rtol=1e-4, atol=1e-5)
