"""A real cluster of two processes gives the run that one process makes, whatever happens to its
workers.
"""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import spikesam
from spikesam.backends.event.backend import EventBackend
from spikesam.common.errors import InputError
from spikesam.pipeline import run
from spikesam.pipeline.engine.cluster import connected, distribute
from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.job import RASTER, Job, JobSpec, raster_header, read_spec
from spikesam.pipeline.engine.merge import merge
from spikesam.pipeline.engine.range_file import RangeFile
from spikesam.pipeline.networks.open_samples import open_samples
from tests.hostile import hostile_folder
from tests.pipeline.engine.jobs import digests, results
from tests.pipeline.engine.trouble import Trouble
from tests.pipeline.small_networks import run_words, small_checkpoint

pytestmark = pytest.mark.alone

pytest.importorskip("distributed", reason="dask.distributed is not installed")

N = 70  # five ranges
ROOT = Path(__file__).parents[3]
LINUX = Path("/proc/self/maps").exists()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with connected("local:2", tmp_path_factory.mktemp("dask")) as client:
        yield client


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> spikesam.Network:
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    small_checkpoint(path)
    return spikesam.load(path).network


@pytest.fixture(scope="module")
def spikes(network: spikesam.Network) -> np.ndarray:
    return np.random.default_rng(0).random((network.timesteps, N, *network.input_shape)) < 0.2


@pytest.fixture(scope="module")
def expected(network: spikesam.Network, spikes: np.ndarray) -> str:
    return spikesam.simulate(network, spikes, backend="event").raster_digest


def begun_job(network: spikesam.Network, spikes: np.ndarray, out: Path) -> Job:
    from spikesam.pipeline.networks.precisions import in_precision

    graph, source = in_precision(network, "fixed"), open_samples(spikes, network)
    spec = JobSpec(raster_header(graph, EventBackend(1), source.name, 0), source.table, RASTER)
    return begin(out, Job(spec, graph, source.part, EventBackend(1), ("event", "auto", {})))


def troubled(job: Job, at: int, folder: Path, times: int, sends: int) -> Job:
    """The job, whose samples are read with trouble."""
    folder.mkdir()
    read: Any = Trouble(job.read, at, folder, times, sends)
    return replace(job, read=read)


def test_with_a_client(
    client: Any, network: spikesam.Network, spikes: np.ndarray, expected: str, tmp_path: Path
) -> None:
    with spikesam.simulate(
        network, spikes, out=tmp_path / "run", backend="event", client=client
    ) as raster:
        assert raster.raster_digest == expected
        assert raster.n_samples == N
        raster.verify()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "raster.h5",
        "network.safetensors",
    }


@pytest.mark.parametrize("sends", [signal.SIGKILL, 0], ids=["killed", "disk full"])
def test_a_worker_that_dies_or_fails_is_replaced(
    client: Any,
    network: spikesam.Network,
    spikes: np.ndarray,
    expected: str,
    tmp_path: Path,
    sends: int,
) -> None:
    job = begun_job(network, spikes, tmp_path / "run")
    done: list[int] = []
    distribute(
        client, tmp_path / "run", troubled(job, 32, tmp_path / "happened", 1, sends), done.append
    )
    assert len(list((tmp_path / "happened").iterdir())) == 1
    assert sum(done) == N
    assert merge(tmp_path / "run", job.spec).raster_digest == expected


def test_a_stopped_worker_is_replaced(
    network: spikesam.Network,
    spikes: np.ndarray,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spikesam.pipeline.engine.cluster.PATIENCE", 5.0)
    job, done = begun_job(network, spikes, tmp_path / "run"), list[int]()
    with connected("local:2", tmp_path) as client:
        distribute(
            client,
            tmp_path / "run",
            troubled(job, 32, tmp_path / "happened", 1, signal.SIGSTOP),
            done.append,
        )
    assert sum(done) == N
    assert merge(tmp_path / "run", job.spec).raster_digest == expected


def test_a_cluster_that_never_says_that_it_has_ended_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("spikesam.pipeline.engine.cluster.CLOSING", 1.0)
    with connected("local:1", tmp_path) as client:
        [worker] = client.run(os.getpid).values()
        monkeypatch.setattr(type(client.cluster), "_close", never)
    assert not psutil.pid_exists(worker)


def test_workers_are_not_replaced_where_dasks_own_close_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(cluster: Any) -> None:
        raise OSError("broken pipe")

    with connected("local:2", tmp_path) as client:
        workers = list(client.run(os.getpid).values())
        nannies = list(client.cluster.workers.values())
        monkeypatch.setattr(type(client.cluster), "_close", broken)
    assert [nanny.status.name for nanny in nannies] == ["closed", "closed"]
    assert not any(map(psutil.pid_exists, workers))


def test_workers_that_do_not_start_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "multiprocessing.spawn.get_command_line", lambda **_: [sys.executable, "-c", "exit(3)"]
    )
    with pytest.raises(InputError, match=r"^dask: the workers cannot be started \(.+\)$"):
        connected("local:1", tmp_path).__enter__()
    assert not list(tmp_path.iterdir())


def test_a_range_that_always_fails_is_reported_and_the_rest_finishes(
    client: Any, network: spikesam.Network, spikes: np.ndarray, expected: str, tmp_path: Path
) -> None:
    job = begun_job(network, spikes, tmp_path / "run")
    done: list[int] = []
    with pytest.raises(
        InputError,
        match=r"^1 of 5 ranges failed 3 times each \(range 1: .*o space left.*resume=True",
    ):
        distribute(
            client, tmp_path / "run", troubled(job, 16, tmp_path / "happened", 99, 0), done.append
        )
    assert len(list((tmp_path / "happened").iterdir())) == 3
    assert sum(done) == N - 16
    with pytest.raises(InputError, match=r"1 of 5 ranges are not finished \(1\)"):
        merge(tmp_path / "run", job.spec)
    distribute(client, tmp_path / "run", job)  # started again: only the one that failed is computed
    assert merge(tmp_path / "run", job.spec).raster_digest == expected


@pytest.mark.parametrize("address", ["local:0", "localhost", "tcp://"])
def test_no_cluster_is_one_line(address: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    arguments = ["--samples", "2", "--out", str(tmp_path / "run"), "--dask", address]
    assert "expected tcp://HOST:PORT, tls://HOST:PORT, or local:N" in refused(run.main, *arguments)
    assert not (tmp_path / "run").exists()


def test_dask_itself_computes_as_before_beside_a_client(client: Any) -> None:
    import dask

    assert client.status == "running"
    assert dask.config.get("scheduler", None) is None


def test_nobody_without_the_certificate_connects_to_a_local_cluster(client: Any) -> None:
    from distributed import Client

    careless = ssl.create_default_context()  # takes any scheduler for the right one
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    for address in (client.scheduler.address, *client.scheduler_info()["workers"]):
        place = address.removeprefix("tls://")
        with pytest.raises(OSError, match=r"Connection reset|closed"):
            Client(f"tcp://{place}", timeout=2, set_as_default=False)
        host, _, port = place.partition(":")
        with (
            socket.create_connection((host, int(port))) as plain,
            careless.wrap_socket(plain) as encrypted,
            pytest.raises(ssl.SSLError, match="(?i)certificate.required"),
        ):
            encrypted.recv(1)


def listening() -> set[tuple[str, int]]:
    """Hosts and ports at which this process and all that it started, and so on, listen."""
    this, places = psutil.Process(), set[tuple[str, int]]()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a child of another test that has ended meanwhile
            for socket_of_process in process.net_connections("inet"):
                if socket_of_process.status == psutil.CONN_LISTEN:
                    places.add(tuple(socket_of_process.laddr))
    return places


def answer(host: str, port: int, request: str) -> bytes:
    """The first bytes that a server answers to plain HTTP; none if it ends the connection, or has
    ended itself.
    """
    with suppress(ConnectionError), socket.create_connection((host, port)) as plain:
        plain.sendall(f"GET {request} HTTP/1.0\r\n\r\n".encode())
        plain.settimeout(10)
        return plain.recv(100)
    return b""


def test_a_local_cluster_listens_on_this_machine_alone_and_answers_no_browser(client: Any) -> None:
    places = listening()
    assert len(places) >= 3  # the scheduler, and who watches over each of two workers
    assert {host for host, _ in places} == {"127.0.0.1"}
    for request in ("/status", "/health", "/info/main/workers.html", "/"):
        assert {place: answer(*place, request) for place in places} == dict.fromkeys(places, b"")


def test_local_workers_run_nothing_of_the_current_folder(tmp_path: Path) -> None:
    hostile = hostile_folder(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from pathlib import Path\nfrom spikesam.pipeline.engine.cluster import connected\n"
        "if __name__ == '__main__':\n"
        f"    with connected('local:1', Path({str(tmp_path)!r})) as client:\n"
        "        print(client.submit(sum, [1, 2]).result())\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=hostile, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    assert not (tmp_path / "mark").exists()


def test_simulate_needs_a_folder_that_workers_see(
    client: Any, network: spikesam.Network, spikes: np.ndarray
) -> None:
    with pytest.raises(InputError, match="client: needs out"):
        spikesam.simulate(network, spikes, backend="event", client=client)


def test_workers_without_the_project_are_refused(
    client: Any,
    network: spikesam.Network,
    spikes: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spikesam.pipeline.engine.cluster._version", lambda: "99.0")
    with pytest.raises(
        InputError,
        match=r"worker tls://\S+ has spikesam \S+, expected 99\.0; install the same versio",
    ):
        distribute(client, tmp_path, begun_job(network, spikes, tmp_path))


def command(out: Path) -> tuple[list[str], list[str]]:
    """Words of a run of 40 samples; those with which a cluster computes it in `out`."""
    options = run_words(out.parent, per_class=14)
    options += ["--samples", "40", "--figures", "0", "--no-report", "--backend", "event"]
    return options, ["--out", str(out), "--dask", "local:2"]


def begun(words: list[str], until: Callable[[], bool]) -> subprocess.Popen[str]:
    """The command in a group of processes of its own, when something is so."""
    command = [sys.executable, "-m", "spikesam.pipeline.run", *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not until() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


def members(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def expect_none(group: int) -> None:
    """All processes of a group must end."""
    deadline = time.monotonic() + 10
    while found := members(group):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def test_a_command_that_is_killed_and_started_again(tmp_path: Path) -> None:
    options, cluster = command(out := tmp_path / "cluster")
    process = begun([*options, *cluster], lambda: any(out.glob("raster.parts/0*.range")))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if LINUX:
        expect_none(process.pid)
    assert list(out.glob("raster.parts/0*.range"))
    run.main([*options, *cluster, "--resume"])
    run.main([*options, "--out", str(tmp_path / "alone")])
    assert digests(out) == digests(tmp_path / "alone")
    assert results(out) == results(tmp_path / "alone")
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }


@pytest.mark.skipif(not LINUX, reason="watches processes as Linux shows them")
@pytest.mark.parametrize("until", [".dask-*", ".dask-*/*worker-*", "0*.range"])
def test_ctrl_c_is_one_line_and_keeps_what_is_finished(tmp_path: Path, until: str) -> None:
    options, cluster = command(out := tmp_path / "cluster")
    process = begun([*options, *cluster], lambda: any(out.glob(f"raster.parts/{until}")))
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[1]
    records = [
        RangeFile(path, read_spec(out / "raster.parts" / "job.json"))
        for path in out.rglob("0*.range")
    ]
    kept = sum(each.record.count for each in records)
    assert (
        said
        == f"interrupted; {kept} of 40 samples are kept in {out}, and --resume goes on from there\n"
    )
    assert process.returncode == 130
    expect_none(process.pid)
    assert not list(out.rglob(".dask*"))


@pytest.fixture
def other_cluster() -> Iterator[Any]:
    """Starts a cluster of somebody else, whose worker is in this process; gives its address."""
    from distributed import LocalCluster

    with ExitStack() as stack:

        def start(protocol: str, security: Any = None) -> str:
            options = {
                "n_workers": 1,
                "threads_per_worker": 1,
                "processes": False,
                "dashboard_address": "127.0.0.1:0",
            }
            cluster = LocalCluster(
                **options, protocol=protocol, security=security, host="127.0.0.1"
            )
            address: str = stack.enter_context(cluster).scheduler_address
            return address

        yield start


def test_an_open_cluster_is_warned_of(
    other_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, _ = command(tmp_path / "run")
    address = other_cluster("tcp")
    run.main([*options, "--out", str(tmp_path / "run"), "--dask", address])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{address}: the connection is not protected") and line.endswith(
        "use tls://"
    )


def test_tls_with_the_configuration_of_dask(
    other_cluster: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    import dask
    from distributed.security import Security

    made = Security.temporary()
    files = {"ca-file": made.tls_ca_file, "key": made.tls_client_key, "cert": made.tls_client_cert}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    tls = {"distributed.comm.tls.ca-file": str(tmp_path / "ca-file")}
    for who in ("client", "scheduler", "worker"):
        tls |= {
            f"distributed.comm.tls.{who}.{name}": str(tmp_path / name) for name in ("key", "cert")
        }
    options, _ = command(tmp_path / "run")
    with dask.config.set(tls):
        address = other_cluster("tls", Security())
        run.main([*options, "--out", str(tmp_path / "run"), "--dask", address])
    assert capsys.readouterr().err == ""
    run.main([*options, "--out", str(tmp_path / "alone")])
    assert digests(tmp_path / "run") == digests(tmp_path / "alone")
    said = refused(run.main, *options, "--out", str(tmp_path / "other"), "--dask", address)
    assert f"cannot connect to {address}" in said and "TLS configuration" in said
