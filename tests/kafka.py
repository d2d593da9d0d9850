"""A real broker: Kafka in KRaft mode, one process on this machine, out of its jars on Maven Central."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

VERSION = "4.3.1"
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
_CONFIG = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={folder}/data
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
"""
# a broker that was killed is let in again only when its session has ended: nine seconds, if nobody says otherwise
USER, PASSWORD = "hindsight", "a word"
_SECURED = """listeners=INTERNAL://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=INTERNAL://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secured}
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/server.p12
ssl.keystore.password=changeit
"""


def classpath(folder: Path) -> str:
    """The broker's jars in the cache of Ivy, fetched where they are not there; Ivy comes along with Spark."""
    (ivy,) = (Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar")
    found = folder / "classpath"
    asked = ["-dependency", "org.apache.kafka", "kafka_2.13", VERSION, "-confs", "default", "-cachepath", str(found)]
    _run(["java", "-Xmx256m", "-jar", str(ivy), "-cache", str(Path.home() / ".ivy2.5.2" / "cache"), *asked])
    return found.read_text().strip()


@dataclass
class Broker:
    """A broker that can be stopped and started again, on the same port and over the same data.

    `secured`: the port of a second listener, of TLS and SCRAM, which trusts in the certificate `ca.pem` of its folder; None for none.
    """

    folder: Path
    port: int = 0
    secured: int | None = None
    jars: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", self.jars]
        config = self.folder / "server.properties"
        if not config.exists():
            self.jars = java[-1] = classpath(self.folder)
            self.port, controller, secured = _free_ports(3)
            text, users = _CONFIG, list[str]()
            if self.secured is not None:
                self.secured, text = secured, _CONFIG + _SECURED  # of two lines of one name the last counts
                users = ["--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"]
                certify(self.folder)
            config.write_text(text.format(port=self.port, controller=controller, secured=secured, folder=self.folder))
            _run([*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(config), *users])
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen([*java, "kafka.Kafka", str(config)], stdout=log, stderr=log, start_new_session=True)
        self._wait()

    def stop(self) -> None:
        """At once, as a machine that loses its power."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _wait(self) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0, "reconnect.backoff.max.ms": 200})
        for _ in range(60):
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "broker.log").read_text()[-2000:]
            with suppress(KafkaException):
                client.list_topics(timeout=2)
                return
            time.sleep(0.2)
        raise AssertionError("the broker did not come up")


def certify(folder: Path) -> None:
    """A certificate authority, `ca.pem`, and what a server of this machine shows of it, `server.p12`."""
    ca, key, asked, found = (str(folder / name) for name in ("ca.pem", "ca.key", "server.csr", "server.pem"))
    own = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    _run(["openssl", "req", "-x509", *own, "-subj", "/CN=an authority", "-keyout", key, "-out", ca])
    _run(["openssl", "req", *own[:3], "-subj", "/CN=127.0.0.1", "-keyout", f"{found}.key", "-out", asked])
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    _run(["openssl", "x509", "-req", "-in", asked, "-CA", ca, "-CAkey", key, "-CAcreateserial", "-days", "2", "-out", found,
          "-extfile", str(folder / "names")])  # fmt: skip
    _run(["openssl", "pkcs12", "-export", "-in", found, "-inkey", f"{found}.key", "-out", str(folder / "server.p12"),
          "-passout", "pass:changeit"])  # fmt: skip


@contextmanager
def broker(folder: Path, *, secured: bool = False) -> Iterator[Broker]:
    """A broker that makes topics as they are written to, of one partition each."""
    found = Broker(folder, secured=0 if secured else None)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def messages(address: str, topic: str) -> list[tuple[str, str]]:
    """Key and value of all that a topic holds, in its order."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "tests", "enable.auto.commit": False, "log_level": 0})
    try:
        part = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(part, timeout=10)
        consumer.assign([part])
        found = consumer.consume(end, timeout=10) if end else []
        assert len(found) == end
        return [(message.key().decode(), message.value().decode()) for message in found]
    finally:
        consumer.close()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)[:200]}:\n{(done.stdout + done.stderr)[-2000:]}"
