"""What a daemon takes from its surroundings: the wall clock and randomness.

Nothing else in the package reads either, so that an embedder (or a test with a seed) decides both.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable

from mdsdaemon import records


@records.frozen
class Host:
    """The wall clock and the sources of randomness.

    Attributes:
        wall: seconds since the epoch, for what is written or compared with other machines.
        randbytes: unpredictable bytes, for keys, challenges, nonces and cookies.
        rng: jitter and back-off, where predictability does no harm.
    """

    wall: Callable[[], float]
    randbytes: Callable[[int], bytes] = records.field(repr=False)
    rng: random.Random = records.field(repr=False)

    @classmethod
    def system(cls) -> Host:
        """The clock and the randomness of the machine."""
        return cls(time.time, secrets.token_bytes, random.Random())

    @classmethod
    def seeded(cls, seed: int, wall: Callable[[], float] = lambda: 1_700_000_000.0) -> Host:
        """Everything drawn from one seed: for tests and replays, never for real keys."""
        rng = random.Random(seed)
        return cls(wall, rng.randbytes, rng)

    def random_u32(self) -> int:
        """An unpredictable non-zero 32-bit number, such as a messenger's nonce."""
        return int.from_bytes(self.randbytes(4), "little") or 1

    def random_u64(self) -> int:
        """An unpredictable non-zero 64-bit number, such as a cookie."""
        return int.from_bytes(self.randbytes(8), "little") or 1
