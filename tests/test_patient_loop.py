"""The clock by which tests judge what takes how long."""

import asyncio
import time


async def test_only_waiting_takes_time_on_the_loops_clock() -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    for _ in range(3):
        time.sleep(0.1)  # noqa: ASYNC251 - stands for a machine that is busy
        await asyncio.sleep(0)
    assert clock() == began
    await asyncio.sleep(0.05)
    assert clock() - began >= 0.05


async def test_received_data_is_handled_before_a_deadline_that_passed_meanwhile() -> None:
    async with asyncio.timeout(0.1):
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(None, lambda: "answer")
        time.sleep(0.3)  # noqa: ASYNC251 - stands for a machine that is busy
        assert await asked == "answer"
