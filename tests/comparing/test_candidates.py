"""Candidates and budgets: what is read from a text, what is made of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_dnn as td
from tests.plugin_packages.packages import PACKAGES, in_this_process
from tinygrad_dnn.comparing import Budget, Candidate, everything, split
from tinygrad_dnn.comparing.candidates import checked


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "site").mkdir()
    with in_this_process(tmp_path / "site", PACKAGES.values()):
        yield


@pytest.mark.parametrize(
    ("text", "name", "arguments", "label"),
    [
        ("Nadam", "nadam", {}, "nadam"),
        (" sgd( momentum = .9 , nesterov=True)", "sgd", {"momentum": 0.9, "nesterov": True},
         "sgd(momentum=0.9, nesterov=True)"),
        ("tinygrad-dnn:adam()", "tinygrad-dnn:adam", {}, "tinygrad-dnn:adam"),
    ],
)  # fmt: skip
def test_read(text: str, name: str, arguments: dict, label: str) -> None:
    found = Candidate.read("optimizers", text)
    assert (found, found.label) == (Candidate("optimizers", name, arguments), label)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("optimizers", "nadm", r"'nadm' is not a known optimizer\. Did you mean 'nadam'"),
        ("optimizers", "sgd(0.9)", "cannot be read"),
        ("optimizers", "sgd(momentum=__import__('os'))", "cannot be read"),
        ("optimizers", "sgd(momentum=0.9", "is no name"),
        ("optimizers", "sgd(**{})", "cannot be read"),
        ("optimizers", "sgd(momentum={1})", "cannot be read"),
        ("optimizers", "sgd(momentum=1e999)", "cannot be read"),
        ("regularizers", "none(l2=1)", "'none' is not a known regularizer"),
        ("optimizers", "", "is no name"),
        ("optimizers", "sgd(learning_rate=1)", "gives learning_rate, which is what is tuned"),
        ("schedulers", "one_cycle(max_lr=1)", "gives max_lr, which is what is tuned"),
        ("optimizers", "none", "not a known optimizer"),
        ("losses", "mse", "the kind is one of optimizers"),
    ],
)
def test_refused(kind: str, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Candidate.read(kind, text)


def test_split() -> None:
    assert split("a(b=[1, 2], c='),('),d , ,e") == ["a(b=[1, 2], c='),(')", "d", "e"]


def test_twice_or_nothing() -> None:
    with pytest.raises(ValueError, match="'he_normal' is there twice"):
        checked("initializers", ["HeNormal", "he_normal"])
    with pytest.raises(ValueError, match="nothing to compare"):
        checked("optimizers", [])
    with pytest.raises(ValueError, match="'relu' is one of the activations"):
        checked("optimizers", ["sgd", Candidate("activations", "relu")])
    found, _ = checked("optimizers", "sgd, sgd(momentum=0.9)")
    assert [each.label for each in found] == ["sgd", "sgd(momentum=0.9)"]


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("cosine_decay", {"initial_learning_rate": 0.5, "decay_steps": 70}),
        ("one_cycle(pct_start=0.2)", {"max_lr": 0.5, "total_steps": 70, "pct_start": 0.2}),
        ("linear_warmup(warmup_steps=9)", {"warmup_target": 0.5, "warmup_steps": 9}),
        ("torch.cosine_annealing", {"learning_rate": 0.5, "T_max": 70}),
        ("wsd", {"learning_rate": 0.5, "total_steps": 70}),
    ],
)
def test_a_schedule_has_the_tuned_rate_and_the_length_of_the_training(packages: None, text: str, config: dict) -> None:
    made = Candidate.read("schedulers", text).identifier(0.5, 70)
    assert made == {"class_name": text.partition("(")[0], "config": config}
    assert float(td.schedulers.get(made)(0)) <= 0.5


def test_a_schedule_without_a_rate_is_a_shape() -> None:
    text = "piecewise_constant_decay(boundaries=[10], values=[1, 0.1])"
    schedule = td.schedulers.get(Candidate.read("schedulers", text).identifier(0.5, 70))
    assert [round(float(schedule(step)), 6) for step in (0, 60)] == [0.5, 0.05]
    text = "linear_warmup(warmup_target=1, warmup_steps=10)"
    schedule = td.schedulers.get(Candidate.read("schedulers", text).identifier(0.5, 70))
    assert [round(float(schedule(step)), 6) for step in (5, 60)] == [0.25, 0.5]
    assert Candidate.read("schedulers", "none").identifier(0.5, 70) == 0.5


def test_what_needs_an_argument_says_so() -> None:
    with pytest.raises(ValueError, match=r"needs warmup_steps: give it arguments, as 'linear_warmup\(warmup_steps="):
        Candidate.read("schedulers", "linear_warmup").identifier(0.5, 70)
    with pytest.raises(ValueError, match=r"as 'threshold\(threshold=\.\.\., default_value=\.\.\.\)'"):
        Candidate.read("activations", "threshold").identifier(0.5, 70)
    made = Candidate.read("activations", "threshold(threshold=1, default_value=0)").identifier(0.5, 70)
    assert td.activations.get(made)([0.5, 2.0]).numpy().tolist() == [0.0, 2.0]


def test_everything(packages: None) -> None:
    made, left_out = everything("optimizers")
    assert {"nadam", "sgd", "torch.nadam", "ademamix"} <= {each.name for each in made}
    assert not left_out
    made, left_out = everything("schedulers")
    assert {"none", "cosinedecay", "torch.cosine_annealing", "wsd"} <= {each.name for each in made}
    reasons = {each["name"]: each["reason"] for each in left_out}
    assert "needs step_size" in reasons["torch.step"]
    assert {each.name for each in made} | set(reasons) == {"none", *td.registry.schedulers.names()}


def test_everything_leaves_out_what_cannot_be_made() -> None:
    @td.registry.optimizers.register
    class Broken(td.optimizers.SGD):
        def __init__(self, learning_rate: float = 0.1) -> None:
            raise OSError("no\nsuch device")

    try:
        made, left_out = everything("optimizers")
    finally:
        td.plugins.reset()
    assert left_out == [{"name": "broken", "reason": "no such device"}]
    assert "sgd" in [each.name for each in made]


@pytest.mark.parametrize("text", ["60s", "1h", "2 minutes", "0epochs", "epochs", "10", "-1steps", "1.5epochs", ""])
def test_no_budget(text: str) -> None:
    told = "depends on the machine" if text in ("60s", "1h", "2 minutes") else "is no budget"
    with pytest.raises(ValueError, match=told):
        Budget.read(text)


def test_budget() -> None:
    assert [Budget.read(text).steps(10) for text in ("3epochs", "1 epoch", "25STEPS")] == [30, 10, 25]
    assert str(Budget.read("10epochs").third()) == "4 epochs"
