"""Many calls at once, in threads, with nothing lost when one of them ends the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

X = TypeVar("X")
Y = TypeVar("Y")


def in_parallel(function: Callable[[X], Y], items: Iterable[X], threads: int) -> Iterator[tuple[X, Y]]:
    """Yield (item, function(item)) as completed, at most `threads` at once, taking `items` as needed.

    As many again wait ready, so that the threads stay busy while the caller deals with a result. After an
    exception of `function` or of `items` nothing further is started; what is under way is finished and
    yielded (a write has happened, whoever records it must learn of it), then the first exception is raised.
    """
    source = iter(items)
    under_way: dict[Future[Y], X] = {}
    failed: BaseException | None = None
    with ThreadPoolExecutor(threads, thread_name_prefix="alma") as pool:
        try:
            while True:
                if failed is None:
                    try:
                        for item in islice(source, 2 * threads - len(under_way)):
                            under_way[pool.submit(function, item)] = item
                    except Exception as error:  # noqa: BLE001  the source may make calls as well; raised below
                        failed = error
                if not under_way:
                    break
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    item = under_way.pop(future)
                    raised = future.exception()
                    if raised is None:
                        yield item, future.result()
                    else:
                        failed = failed or raised
                if failed is not None:
                    for waiting in [each for each in under_way if each.cancel()]:
                        del under_way[waiting]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if failed is not None:
        raise failed
