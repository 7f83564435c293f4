"""Which texts are the same, and which nearly: exact digests, and MinHash over runs of three words with banding.

Near means an estimated Jaccard likeness of at least ``NEAR``. Streamed: texts are not kept, only their signatures.
"""

import hashlib
import re
import zlib
from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt

HASHES, BANDS = 32, 8
NEAR = 0.8
_WORD = re.compile(r"\w+")


class Likeness:
    """``add`` every text, then ask for ``exact`` and ``near``. About 160 bytes a text."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._factor = rng.integers(1, 1 << 63, HASHES, dtype=np.uint64)[:, None] | np.uint64(1)
        self._shift = rng.integers(0, 1 << 63, HASHES, dtype=np.uint64)[:, None]
        self._digests: Counter[bytes] = Counter()
        self._signatures: list[npt.NDArray[np.uint32]] = []

    def add(self, text: str) -> None:
        """Multiply-shift hashing (Dietzfelbinger et al. 1997) of each run of three words, the smallest value per hash kept."""
        words = _WORD.findall(text.lower())
        self._digests[hashlib.blake2b(" ".join(words).encode(), digest_size=12).digest()] += 1
        runs = {zlib.crc32(" ".join(words[place : place + 3]).encode()) for place in range(max(1, len(words) - 2))}
        values = np.fromiter(runs, np.uint64, len(runs))
        hashed = (self._factor * values + self._shift) >> np.uint64(32)
        self._signatures.append(hashed.min(1).astype(np.uint32))

    def exact(self) -> int:
        """Texts that repeat an earlier one word for word."""
        return sum(count - 1 for count in self._digests.values())

    def near(self) -> int:
        """Texts that are nearly, or exactly, like an earlier one."""
        rows = HASHES // BANDS
        buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        found = 0
        for index, signature in enumerate(self._signatures):
            keys = [(band, signature[band * rows : (band + 1) * rows].tobytes()) for band in range(BANDS)]
            others = {other for key in keys for other in buckets[key]}
            found += any(float(np.mean(self._signatures[other] == signature)) >= NEAR for other in others)
            for key in keys:
                if len(buckets[key]) < 50:
                    buckets[key].append(index)
        return found
