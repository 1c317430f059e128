"""Tiles: how many threads share the work of one result, and how many blocks there are, from the lengths alone.

No choice looks at the device or at the clock: the same program adds up in the same order wherever it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

THREADS = 256
"""How many threads a block has."""

WARP = 32
"""How many threads run in step."""

_MOST_BLOCKS = 2048
_MOST_SEGMENTS = 64
# A thread that adds up fewer elements than these alone waits longer for the others than it works.
_ALONE = 4
# So many blocks keep a large card busy; fewer, with long sums, are better made more by parting the sums.
_ENOUGH_BLOCKS = 128
_PER_SEGMENT = 16
# To go over fewer elements takes no longer than the launch that adds up the parts.
_WHOLE = 64


@dataclass(frozen=True)
class Tile:
    """What one block does.

    Attributes:
        lanes: How many threads go over the elements of one result, a power of 2.
        results: How many results a block makes; lanes times results is the number of threads.
        together: Whether lanes that are next to each other are threads that are so: else results are.
        blocks: How many blocks all results take.
        segments: Into how many parts the elements of each result are divided, each for a block of its own.
    """

    lanes: int
    results: int
    together: bool
    blocks: int
    segments: int = 1


def map_blocks(count: int) -> int:
    """Return how many blocks do something for so many elements; each thread may do it for several."""
    return min(-(-count // THREADS), _MOST_BLOCKS)


def tile(results: int, length: int, together: bool, may_part: bool) -> Tile:
    """Return how results of so many elements each are made.

    Args:
        results: How many results there are.
        length: How many elements each goes over.
        together: Whether a result's elements lie together, rather than the results' elements at one place.
        may_part: Whether the elements of a result may be divided among blocks.

    Example:
        >>> from tinygrad_dnn.jit.cuda.tiles import tile
        >>> tile(32, 100, True, True)
        Tile(lanes=32, results=8, together=True, blocks=4, segments=1)
        >>> tile(100, 32, False, True)
        Tile(lanes=8, results=32, together=False, blocks=4, segments=1)
    """
    if together:
        lanes = min(_power_of_two(-(-length // _ALONE)), THREADS)
    else:
        # Eight results that lie together are a sector, the least that memory is read by.
        lanes = min(max(_power_of_two(-(-length // _ALONE)), THREADS // WARP), WARP)
        lanes = max(lanes, THREADS // min(_power_of_two(results), THREADS))
    per_block = THREADS // lanes
    blocks = -(-results // per_block)
    segments = 1
    if may_part and blocks < _ENOUGH_BLOCKS and length > lanes * _WHOLE:
        most = -(-length // (lanes * _PER_SEGMENT))
        segments = max(1, min(most, _ENOUGH_BLOCKS // blocks, _MOST_SEGMENTS))
    return Tile(lanes, per_block, together, blocks, segments)


def one_thread(results: int) -> Tile:
    """Return how results are made of which each is one thread's, whose elements come in order."""
    return Tile(1, THREADS, True, -(-results // THREADS))


def _power_of_two(x: int) -> int:
    """Return the least power of 2 that is not less."""
    return 1 << (x - 1).bit_length()
