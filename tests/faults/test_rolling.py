"""Nobody notices a rolling update; and the judge of one notices whoever is cut off."""

import asyncio
from pathlib import Path

import pytest

from libs.common.web.client import Client
from tests.faults.balancer import HOST, Balancer, Replica
from tests.faults.deployment import silent
from tests.faults.rolling import SHORT, failed, rolled
from tests.faults.supervisor import Program

SEED = 20_261_124
YES = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Answering:
    """A replica that is ready, answers, and is cut off in the middle when it is told to."""

    def __init__(self) -> None:
        self.cuts = False
        self.served = 0

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, HOST, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/health/ready" not in head:
                    self.served += 1
                    if self.cuts:
                        return
                writer.write(YES)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


async def test_what_was_surely_not_sent_goes_elsewhere_and_what_was_cut_off_is_counted() -> None:
    replicas = [Answering(), Answering()]
    servers = [await one.start() for one in replicas]
    places = [
        Replica(str(n), server.sockets[0].getsockname()[1]) for n, server in enumerate(servers)
    ]
    async with Balancer(places).running() as balancer, Client(HOST, balancer.port, 1) as client:
        await balancer.all_ready()
        for _ in range(4):
            assert (await client.request("GET", "/")).status == 200
        assert [one.served for one in replicas] == [2, 2]
        for line in places[0].idle:
            line.writer.close()
        servers[0].close()  # it has just ended, and the gateway has not been told yet
        for _ in range(4):
            assert (await client.request("GET", "/")).status == 200
        assert balancer.told["sent elsewhere"]
        assert not list(failed(balancer.told))
        replicas[1].cuts = True
        assert (await client.request("POST", "/")).status in (502, 503)
        assert [finding.rule for finding in failed(balancer.told)] == ["noticed"]
    servers[1].close()


def test_no_read_may_fail_not_even_one_that_may_come_again() -> None:
    told = {"GET 200": 900, "GET 404": 20, "POST 503": 5, "sent elsewhere": 3}
    assert not list(failed(told))
    assert [one.what for one in failed(told | {"GET 503": 1})] == ["GET 503, 1 times"]
    assert [one.what for one in failed(told | {"GET 500": 2})] == ["GET 500, 2 times"]


@pytest.mark.engines
async def test_every_process_is_replaced_under_load_and_nobody_notices(tmp_path: Path) -> None:
    report = await rolled(tmp_path, SEED, silent, SHORT)
    assert report.good, report


@pytest.mark.engines
async def test_a_service_that_is_cut_off_instead_of_stopped_is_noticed(tmp_path: Path) -> None:
    form = SHORT._replace(parts=("referrals-api",))
    report = await rolled(tmp_path, SEED, silent, form, stop=Program.kill)
    rules = {finding.rule for finding in report.findings}
    assert rules == {"stop", "noticed"} or rules == {"stop", "noticed", "answer"}, report
