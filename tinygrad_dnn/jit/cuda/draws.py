"""Draws: the counter-based random numbers of the backends in CUDA C, one block of four words from its number."""

from __future__ import annotations

# Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011: Philox4x64 with ten rounds.
PHILOX = r"""
static __device__ __forceinline__ void philox(
    unsigned long long seed, unsigned long long stream, unsigned long long step, unsigned long long number,
    unsigned long long* word)
{
    unsigned long long c0 = number + 1, c1 = 0, c2 = step, c3 = 0;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned long long low0 = 0xD2E7470EE14C6C93ULL * c0, high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0);
        const unsigned long long low1 = 0xCA5A826395121157ULL * c2, high1 = __umul64hi(0xCA5A826395121157ULL, c2);
        c0 = high1 ^ c1 ^ seed;
        c1 = low1;
        c2 = high0 ^ c3 ^ stream;
        c3 = low0;
        seed += 0x9E3779B97F4A7C15ULL;
        stream += 0xBB67AE8584CAA73BULL;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}
"""
