"""The flight record: the last events of a daemon."""

from mdsdaemon.recorder.ring import DEFAULT_CAPACITY, FlightRecorder

__all__ = ["DEFAULT_CAPACITY", "FlightRecorder"]
