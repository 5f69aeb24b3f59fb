"""Celery with the server as broker and as result backend. Usage: celery_app.py PORT

Started as a script it starts a worker of its own (this module again), and uses it.
"""

import os
import subprocess
import sys
import time

from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout

PORT = os.environ.get("OCHRE_PORT") or sys.argv[1]
app = Celery("celery_app", broker=f"redis://127.0.0.1:{PORT}/0", backend=f"redis://127.0.0.1:{PORT}/1")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="work",
    result_expires=600,
    worker_prefetch_multiplier=2,
)


@app.task
def add(a, b):
    return a + b


@app.task
def total(values):
    return sum(values)


@app.task(bind=True, max_retries=3)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def fails():
    raise ValueError("on purpose")


def use():
    assert add.delay(2, 3).get(timeout=30) == 5
    assert group(add.s(i, i) for i in range(20))().get(timeout=30) == [2 * i for i in range(20)]
    assert chain(add.s(1, 2), add.s(10))().get(timeout=30) == 13
    assert chord((add.s(i, 1) for i in range(10)), total.s())().get(timeout=30) == 55
    assert stubborn.delay().get(timeout=30) == 2
    began = time.monotonic()
    assert add.apply_async((1, 1), countdown=0.5).get(timeout=30) == 2
    assert time.monotonic() - began >= 0.4
    result = fails.delay()
    try:
        result.get(timeout=30)
        raise AssertionError("it should have failed")
    except ValueError as error:
        assert str(error) == "on purpose"
    assert result.status == "FAILURE"
    # One that is revoked before its time is never run.
    late = add.apply_async((1, 1), countdown=60)
    late.revoke()
    try:
        late.get(timeout=0.3)
        raise AssertionError("it should not have run")
    except (CeleryTimeout, TaskRevokedError):
        pass
    assert app.control.ping(timeout=5), "no worker answers"
    # Priorities are queues of their own.
    assert add.apply_async((3, 4), priority=6).get(timeout=30) == 7


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    environment = dict(os.environ, OCHRE_PORT=PORT)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-l", "warning", "-c", "2"]
        + ["--without-heartbeat", "-P", "threads"],
        cwd=here,
        env=environment,
    )
    try:
        use()
    finally:
        worker.terminate()
        worker.wait(30)
