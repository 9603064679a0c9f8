"""`west_holdings` end to end, by `dag.test()` against the sandbox."""

import pytest

pytestmark = pytest.mark.heavy


def test_delivers_every_holding_once(jobs, sandbox, connect_alma):
    alma = sandbox(titles=40, per_second=1000)
    connect_alma(alma.url, requests_per_second=500)
    run = jobs.run("west_holdings", {"chunk_size": 10})
    print(
        [
            (t.task_id, t.map_index, t.state, getattr(t, "rendered_map_index", None))
            for t in run.get_task_instances()
        ]
    )
    print([o.key for o in jobs.bucket.list("")])
    assert run.state == "success"
