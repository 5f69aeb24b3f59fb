"""RQ: jobs, results, failures, dependencies, schedules. Usage: rq_jobs.py PORT"""

import os
import sys
from datetime import timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry


def double(n):
    return 2 * n


def fails():
    raise ValueError("on purpose")


def main(port):
    # The worker looks the functions up by the name of a module.
    import rq_jobs as jobs

    connection = Redis(port=port)
    connection.flushall()
    queue = Queue("work", connection=connection)
    first = [queue.enqueue(jobs.double, i) for i in range(20)]
    after = queue.enqueue(jobs.double, 100, depends_on=first[-1])
    failing = queue.enqueue(jobs.fails)
    again = queue.enqueue(jobs.fails, retry=Retry(max=1))
    front = queue.enqueue(jobs.double, 7, at_front=True)
    assert queue.get_job_ids()[0] == front.id
    later = queue.enqueue_in(timedelta(minutes=10), jobs.double, 5)
    worker = SimpleWorker([queue], connection=connection)
    assert worker.work(burst=True, logging_level="ERROR")
    assert [job.return_value(refresh=True) for job in first] == [2 * i for i in range(20)]
    assert after.return_value(refresh=True) == 200
    assert front.return_value(refresh=True) == 14
    assert failing.get_status(refresh=True) == JobStatus.FAILED
    assert again.get_status(refresh=True) == JobStatus.FAILED
    assert failing.id in FailedJobRegistry(queue=queue)
    assert first[0].id in FinishedJobRegistry(queue=queue)
    assert later.id in ScheduledJobRegistry(queue=queue)
    later.cancel()
    assert Job.fetch(later.id, connection=connection).get_status() == JobStatus.CANCELED
    cancelled = queue.enqueue(jobs.double, 1)
    cancelled.delete()
    assert len(queue) == 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
