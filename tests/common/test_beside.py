"""What a process beside ours answers arrives whole."""

import fcntl
import os
import signal
import subprocess
import sys
import termios

from tests.common.doors import until

ANSWER_BYTES = 1_000_000
ANSWERS = f"""
import sys
from libs.common.beside import ends

_, answers = ends()
{{}}.write(bytes(range(250)) * ({ANSWER_BYTES} // 250))
answers.flush()
"""


async def told(through: str) -> bytes:
    """By a process that was stopped, and went on, while its answer filled the pipe."""
    command = (sys.executable, "-c", ANSWERS.format(through))
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=unbuffered) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()

        async def is_full() -> bool:
            waiting = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
            return int.from_bytes(waiting, sys.byteorder) == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)

        await until(is_full)
        for number, options in ((signal.SIGSTOP, os.WUNTRACED), (signal.SIGCONT, os.WCONTINUED)):
            process.send_signal(number)
            os.waitpid(process.pid, options)
        return process.stdout.read()


async def test_an_answer_arrives_whole_though_its_process_was_stopped() -> None:
    assert await told("answers") == bytes(range(250)) * (ANSWER_BYTES // 250)


async def test_the_output_of_sys_would_have_lost_some() -> None:
    assert len(await told("sys.stdout.buffer")) < ANSWER_BYTES
