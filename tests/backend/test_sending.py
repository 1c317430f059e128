"""Arrays on their way to a GPU: a stand-in with streams that run when it pleases them, in the worst order allowed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend import sending
from tinygrad_dnn.backend.sending import Sender, current_sender


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        self.gpu: Gpu | None = None
        self.done = False

    def synchronize(self) -> None:
        assert self.gpu is not None
        self.gpu.waits += not self.done
        self.gpu.run(lambda: self.done)


class Stream:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.queue: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        gpu.streams.append(self)

    def ask(self, action: Callable[[], None], ready: Callable[[], bool] = lambda: True) -> None:
        self.queue.append((ready, action))

    def record(self, event: Event) -> Event:
        event.gpu = self.gpu
        self.ask(lambda: setattr(event, "done", True))
        return event

    def wait_event(self, event: Event) -> None:
        self.ask(lambda: None, lambda: event.done)


class Array:
    """Memory of the GPU, which holds what is written on it when the stream comes to it."""

    def __init__(self, gpu: Gpu, data: np.ndarray) -> None:
        self.gpu, self.data, self.dtype = gpu, data, data.dtype

    def __getitem__(self, index: slice) -> Array:
        return Array(self.gpu, self.data[index])

    def set(self, host: np.ndarray, stream: Stream) -> None:
        assert host.shape == self.data.shape
        assert host.dtype == self.dtype
        stream.ask(lambda: np.copyto(self.data, host))


class Gpu:
    """What the package uses of the module ``cupy``; streams named first run as far as they can before the others."""

    def __init__(self, copies_first: bool) -> None:
        self.streams: list[Stream] = []
        self.current = Stream(self)
        self.copies_first = copies_first
        self.waits = 0
        self.locked: list[bytearray] = []
        self.cuda = SimpleNamespace(
            Stream=lambda non_blocking: Stream(self), Event=Event, get_current_stream=lambda: self.current,
            alloc_pinned_memory=self.lock, runtime=SimpleNamespace(getDevice=lambda: 0),
        )  # fmt: skip
        self.block: np.ndarray | None = None

    def lock(self, size: int) -> bytearray:
        self.locked.append(bytearray(size))
        return self.locked[-1]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Give the same memory each time, if there is a block that was given back: CuPy's pool does."""
        if self.block is not None:
            return Array(self, self.block.view(dtype)[: int(np.prod(shape))].reshape(shape))
        return Array(self, np.full(shape, 99, dtype))

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let the streams go on until something is so, or nothing is left that can."""
        order = self.streams[::-1] if self.copies_first else self.streams
        while not until():
            for stream in order:
                if stream.queue and stream.queue[0][0]():
                    stream.queue.pop(0)[1]()
                    break
            else:
                return


@pytest.fixture(params=[True, False], ids=["copies first", "copies last"])
def gpu(request: pytest.FixtureRequest) -> Gpu:
    return Gpu(request.param)


def test_what_is_taken_is_there_when_it_is_read(gpu: Gpu) -> None:
    host = np.arange(12, dtype=np.float32).reshape(4, 3)
    sender = Sender(gpu)
    arriving = sender.send(host)
    expected = host.copy()
    host[...] = 0  # the caller may write on it at once
    array, read = arriving(), []
    gpu.current.ask(lambda: read.append(array.data.copy()))
    gpu.run()
    np.testing.assert_array_equal(read[0], expected)
    assert gpu.waits == 0


@pytest.mark.parametrize(
    "host", [np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.eye(3)), np.ones((0, 3))]
)
def test_arrays_of_any_layout_will_do(gpu: Gpu, host: np.ndarray) -> None:
    array = Sender(gpu).send(host)()
    gpu.run()
    np.testing.assert_array_equal(array.data, host)
    assert array.dtype.isnative


def test_memory_is_not_written_on_while_the_step_before_still_reads_it(gpu: Gpu) -> None:
    sender, read = Sender(gpu), []
    gpu.block = np.zeros(4, np.float32)
    for number in range(5):
        array = sender.send(np.full(4, number, np.float32))()
        gpu.current.ask(lambda array=array: read.append(array.data.tolist()))
        del array  # the next one is given its memory
    gpu.run()
    assert read == [[number] * 4 for number in range(5)]


def test_memory_that_nobody_took_is_used_again_only_after_the_copy(gpu: Gpu) -> None:
    gpu.block = np.zeros(4, np.float32)
    arriving = Sender(gpu).send(np.full(4, 7, np.float32))
    del arriving
    other = gpu.empty((4,), np.dtype(np.float32))
    gpu.current.ask(lambda: other.data.fill(1))
    gpu.run()
    assert other.data.tolist() == [1] * 4


def test_the_copy_waits_for_no_step_that_was_asked_for_later() -> None:
    gpu = Gpu(copies_first=True)
    done: list[str] = []
    arriving = Sender(gpu).send(np.ones(3))
    gpu.current.ask(lambda: done.append("step"))
    gpu.streams[1].ask(lambda: done.append("copy"))
    gpu.run()
    assert done == ["copy", "step"]
    del arriving


def test_the_host_waits_only_where_too_much_is_under_way(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_UNDER_WAY", 100)
    sender = Sender(gpu)
    waits = []
    for _ in range(6):
        sender.send(np.ones(40, np.uint8))()
        waits.append(gpu.waits)
    assert waits == [0, 0, 1, 2, 3, 4]
    gpu.run()
    sender.send(np.ones(200, np.uint8))()  # nothing is under way any more: more than the bound comes alone
    assert gpu.waits == 4


def test_a_large_array_comes_in_pieces(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PIECE", 64)
    for host in (np.arange(70, dtype=np.int32).reshape(35, 2), np.arange(40, dtype=np.int64).reshape(2, 20)):
        gpu.locked.clear()
        array, read = Sender(gpu).bring(host), []
        gpu.current.ask(lambda array=array, read=read: read.append(array.data.copy()))
        gpu.run()
        np.testing.assert_array_equal(read[0], host)
        assert max(map(len, gpu.locked)) == max(64, host[:1].nbytes)


def test_a_thread_that_ends_waits_for_what_is_under_way(gpu: Gpu) -> None:
    sender = Sender(gpu)
    arriving = sender.send(np.ones(3, np.float32))
    assert gpu.waits == 0
    del sender
    assert gpu.waits == 1, "page-locked memory was let go of while it was read"
    arriving()


def test_each_module_has_one_sender_to_its_gpu() -> None:
    first, second = Gpu(True), Gpu(True)
    senders = [current_sender(gpu) for gpu in (first, first, second)]
    assert senders[0] is senders[1]
    assert all(a is not b for a, b in itertools.pairwise(senders[1:]))
