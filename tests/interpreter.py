"""Triton's interpreter, made to prepare itself once a launch."""

from __future__ import annotations

from functools import lru_cache
from inspect import ismodule


@lru_cache(maxsize=1)
def prepare_once_a_launch() -> None:
    """Let the interpreter put its functions into Triton's language once a launch.

    It does so anew at every call of a device function, which is half of its time, and finds
    everything in its place. Functions of Triton's own see another of its modules: it has its turn.
    """
    from triton import language
    from triton.runtime import interpreter

    prepare = interpreter._patch_lang
    ready: set[str] = set()
    seen_by: dict[str, set[str]] = {}

    def once(function):
        seen = seen_by.get(function.__module__)
        if seen is None:
            names = {part.__name__ for part in (language, language.core)}
            loaded = filter(ismodule, function.__globals__.values())
            seen = seen_by[function.__module__] = names & {part.__name__ for part in loaded}
        if ready and seen <= ready:
            return None  # of a device function nobody takes it
        scope = prepare(function)
        if not ready:  # the launch, which takes everything back at its end
            restore = scope.restore

            def take_back() -> None:
                ready.clear()
                restore()

            scope.restore = take_back
        ready.update(seen)
        return scope

    interpreter._patch_lang = once
